"""Disturbances of records: they change what they should, keep the form, and leave other rows alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances import RecordDisturber
from harmgauge_models.data.record_disturbances.categories import KNOWN, Categories
from harmgauge_models.data.record_disturbances.numbers import Numbers
from harmgauge_models.data.record_disturbances.part import RecordPart
from harmgauge_models.data.record_disturbances.text import TEXT
from harmgauge_models.data.record_disturbances.texts import Texts
from harmgauge_models.data.record_disturbances.tokens import Tokens
from harmgauge_models.data.record_disturbers import record_disturber, record_layout
from harmgauge_models.graphs import records
from tests.support.named_classifiers import CITIES, PAD, mixed, mixed_rows, token_rows

PARTS: dict[str, Callable[[], tuple[Array, RecordPart]]] = {
    "numbers": lambda: ((x := mixed_rows(200)[0]), Numbers(x, ["age"], missing=False)),
    "categories": lambda: ((x := mixed_rows(200)[0]), Categories(x, ["city"])),
    "tokens": lambda: ((x := token_rows(200)), Tokens(x, "input_ids", {"input_ids": PAD, "attention_mask": 0})),
    "texts": lambda: ((x := _texts(200)), Texts(x, ["note"])),
}


def _texts(rows: int) -> Array:
    random = np.random.default_rng(3)
    words = np.array(["alpha", "beta", "Gamma,", "delta 42", "epsilon!", "zeta"], object)
    notes = [" ".join(random.choice(words, 6)) for _ in range(rows)]
    return records.make_records({"note": np.array(notes, object)[:, None], "age": np.zeros((rows, 1), np.float32)})


@pytest.fixture(params=list(PARTS))
def part(request: pytest.FixtureRequest) -> tuple[Array, RecordPart]:
    return PARTS[request.param]()


def _differ(some: Array, others: Array) -> Array:
    return np.array(
        [any(np.any(a[name] != b[name]) for name in records.fields(some)) for a, b in zip(some, others, strict=True)]
    )


def test_every_family_changes_rows_and_keeps_their_form(part: tuple[Array, RecordPart]) -> None:
    x, changes = part
    before = x.copy()
    for name in changes.families:
        made = changes.change(x, name, np.random.default_rng(0))
        assert made.dtype == x.dtype
        assert _differ(made, x).mean() > 0.2, name
    assert not _differ(before, x).any()


def test_a_kind_alone_changes_more_at_a_higher_strength(part: tuple[Array, RecordPart]) -> None:
    x, changes = part
    shares = []
    for strength in (0.1, 1.0):
        made = [changes.alone(x, name, strength, np.random.default_rng(1)) for name in changes.families]
        shares.append(np.mean([_differ(some, x).mean() for some in made]))
    assert shares[1] >= shares[0]
    assert shares[1] > 0.6


def test_tags_tell_which_disturbances_were_applied() -> None:
    x, _ = mixed_rows(300)
    disturber = RecordDisturber([Numbers(x, ["age"], missing=False), Categories(x, ["city"])])
    made, tags = disturber(x, np.random.default_rng(5), ["noise", "commonest_category"])
    wanted = {disturber.families.index(name) for name in ("noise", "commonest_category")}
    assert set(tags[:, 0].tolist()) == wanted
    assert 0.2 < (tags[:, 1] >= 0).mean() < 0.4
    only_city = (tags[:, 0] == disturber.families.index("commonest_category")) & (tags[:, 1] < 0)
    assert (made["age"][only_city] == x["age"][only_city]).all()
    assert len(set(made["city"][only_city].ravel().tolist())) == 1


def test_without_unknown_categories_all_strings_are_known() -> None:
    x, _ = mixed_rows(300)
    disturber = RecordDisturber([Categories(x, ["city"], known_only=True)])
    assert disturber.families == KNOWN
    made, _ = disturber(x, np.random.default_rng(0))
    assert set(made["city"].ravel().tolist()) <= set(CITIES)


def test_token_rows_keep_their_ends_and_their_padding() -> None:
    x = token_rows(300, width=16)
    disturber = RecordDisturber([Tokens(x, "input_ids", {"input_ids": PAD, "attention_mask": 0})])
    made, _ = disturber(x, np.random.default_rng(2))
    lengths = records.row_lengths(made)
    assert lengths is not None
    assert (made["input_ids"][:, 0] == 1).all()
    assert (made["input_ids"][np.arange(len(made)), lengths - 1] == 2).all()
    after = np.arange(16) >= lengths[:, None]
    assert (made["input_ids"][after] == PAD).all()
    assert (made["attention_mask"] == ~after).all()
    assert len(set(lengths.tolist())) > 5


@pytest.mark.parametrize("name", list(TEXT))
@given(text=st.text(max_size=60), strength=st.floats(0.02, 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_disturbed(name: str, text: str, strength: float, seed: int) -> None:
    made = TEXT[name](text, strength, ["other words", ""], np.random.default_rng(seed))
    made.encode()
    assert len(made) <= 20 * len(text) + 200


def test_a_disturbance_of_texts_is_the_same_for_the_same_seed() -> None:
    for change in TEXT.values():
        some, again = (
            change("Call 0800 123 now, it's free", 0.5, ["a b c"], np.random.default_rng(4)) for _ in range(2)
        )
        assert some == again


def test_the_disturber_of_a_model_that_takes_everything(tmp_path: Path) -> None:
    x, _ = mixed_rows(200)
    inputs = (
        Input(name="age", dtype="float32", shape=(1,)),
        Input(name="city", dtype="string", shape=(1,), categories=CITIES),
    )
    assert record_layout(x, inputs) == "table"
    free = record_disturber(mixed(tmp_path / "c.onnx"), "logits", x, inputs, None)
    assert "unseen_category" in free.families
