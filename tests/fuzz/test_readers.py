"""Every reader on its corpus and on a few hundred new cases; `make fuzz` runs 200,000 each."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, reader
from tests.fuzz.target import CORPUS, corpus

# as in the running service, where warnings of numpy and Pillow about odd files do not matter
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_taken_or_refused(name: str) -> None:
    target = reader(name)
    outcomes = {target.check(seed) for seed in target.seeds}
    assert any(outcome.startswith(("taken", "200")) for outcome in outcomes)


@pytest.mark.parametrize(("name", "file"), [(name, file.name) for name in READERS for file in corpus(name)], ids=str)
def test_what_was_found_stays_mended(name: str, file: str) -> None:
    reader(name).check((CORPUS / name / file).read_bytes())


@pytest.mark.parametrize("name", READERS)
def test_mutated_cases(name: str) -> None:
    target = reader(name)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(seed=st.integers(0, 2**64))
    def check(seed: int) -> None:
        for number in range(4):
            case = target.case(Random(seed + number))
            try:
                target.check(case)
            except Exception as error:
                raise AssertionError(f"{name}: {case!r}") from error

    check()
