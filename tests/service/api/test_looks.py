"""Crowds of readers: one computation for all of them, none for those that left, and probes that wait for nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import Message, Scope

from harmgauge.api import score
from harmgauge.api.answer import JSON_BYTES
from harmgauge.api.body.decode import Parameters
from harmgauge.api.places import Pieces, PlacedResponse, Places
from harmgauge.api.shared import Shared
from harmgauge.api.views import views_of
from harmgauge.app import Service, build
from harmgauge.errors import CallerLeft, Overloaded
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.settings import Settings
from tests.support.loop_time import ask
from tests.support.toy import instances, toy_bundle

pytestmark = pytest.mark.anyio

CLASSES = 1000
SHAPE = (4, 4, 3)
RAW = "application/octet-stream"


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("wide"), shape=SHAPE, classes=CLASSES, error_probability=True)


@pytest.fixture
async def service(bundle_path: Path) -> AsyncIterator[Service]:
    made = build(Settings(bundle=bundle_path, workers=1))
    made.readiness.ready()
    yield made
    made.switch.current.close()


async def test_a_crowd_of_scrapes_takes_one_rendering_or_two(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd, asked, rendered = 40, 0, 0
    all_asked = threading.Event()
    shared = views_of(service.switch.current.components).looks.metrics
    get, exposition = shared.get, BundleMetrics.exposition

    async def counted_get() -> bytes:
        nonlocal asked
        asked += 1
        if asked == crowd:
            all_asked.set()
        return await get()

    def held_exposition(self: BundleMetrics, *known: Any) -> bytes:
        nonlocal rendered
        rendered += 1
        assert all_asked.wait(30)
        return exposition(self, *known)

    monkeypatch.setattr(shared, "get", counted_get)
    monkeypatch.setattr(BundleMetrics, "exposition", held_exposition)
    answers = await asyncio.gather(*(ask(service, "GET", "/metrics") for _ in range(crowd)))
    assert {status for status, _ in answers} == {200}
    assert rendered in (1, 2)


async def test_a_scrape_has_all_that_was_answered_before_it(service: Service) -> None:
    for rows in range(1, 4):
        before = await scored_rows(service)
        assert (await ask(service, "POST", "/score", instances(rows, SHAPE).tobytes(), RAW))[0] == 200
        assert await scored_rows(service) == before + rows


async def scored_rows(service: Service) -> float:
    text = (await views_of(service.switch.current.components).looks.metrics.get()).decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("harmgauge_instances_total{"))


async def test_a_probe_waits_for_no_look(service: Service) -> None:
    done: list[str] = []

    async def noted(path: str) -> None:
        await ask(service, "GET", path)
        done.append(path)

    looks = [asyncio.create_task(noted("/nothing")) for _ in range(50)]
    await asyncio.sleep(0)
    await noted("/livez")
    assert len(done) < 25
    await asyncio.gather(*looks)


async def test_a_look_whose_client_left_while_it_waited_is_not_answered(service: Service) -> None:
    answers = await asyncio.gather(*(ask(service, "GET", "/info", has_left=True) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [*[0] * 19, 200], "the first did not wait"


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("probabilities", [True, False])
async def test_an_answer_is_no_larger_than_its_bound(service: Service, rows: int, probabilities: bool) -> None:
    x = instances(rows, SHAPE)
    path = f"/score?error_probability=true&probabilities={str(probabilities).lower()}"
    status, pieces = await ask(service, "POST", path, x.tobytes(), RAW)
    assert status == 200
    assert (len(pieces) > 2) == (rows * probabilities == 64)
    asked = Parameters(probabilities=probabilities, error_probability=True)
    size, most = sum(map(len, pieces)), score.most_answer_bytes(rows, CLASSES, asked)
    assert most / 4 - 4096 < size <= most
    document = json.loads(b"".join(pieces))
    assert len(document["scores"]) == rows
    expected = service.switch.current.components.runtime.run(x)
    assert expected.error_probability is not None
    np.testing.assert_allclose(document["error_probability"], expected.error_probability, rtol=1e-5)
    if probabilities:
        np.testing.assert_allclose(document["probabilities"], expected.probabilities, rtol=1e-5)


def test_the_bound_counts_each_number_that_is_asked_for() -> None:
    for rows in (1, 10**6):
        plain, more = (score.most_answer_bytes(rows, CLASSES, Parameters(error_probability=on)) for on in (False, True))
        assert more - plain == rows * JSON_BYTES["float64"]


async def test_few_large_answers_are_sent_at_a_time() -> None:
    made, sending = 0, 0
    most_sending = 0
    taken = asyncio.Event()

    async def make() -> Pieces:
        nonlocal made
        made += 1
        return Pieces([b"a", b"b"])

    async def send(message: Message) -> None:
        nonlocal sending, most_sending
        if message["type"] == "http.response.start":
            sending += 1
            most_sending = max(most_sending, sending)
            await taken.wait()
        elif not message["more_body"]:
            sending -= 1

    places, shared = Places(2, wait_seconds=30.0), Shared(make)
    scope: Scope = {"type": "http"}
    answers = [
        asyncio.create_task(PlacedResponse(places, shared, "a/b")(scope, receive_nothing, send)) for _ in range(9)
    ]
    while sending < 2:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert made <= 2, "those that wait for a place have nothing made for them"
    places.wait_seconds = 0.01
    with pytest.raises(Overloaded):
        await PlacedResponse(places, shared, "a/b")(scope, receive_nothing, send)
    taken.set()
    await asyncio.gather(*answers)
    assert most_sending == 2


async def test_who_takes_an_answer_too_slowly_loses_the_place() -> None:
    async def make() -> Pieces:
        return Pieces([b"a"])

    async def stuck(_: Message) -> None:
        await asyncio.Event().wait()

    places = Places(1, send_seconds=0.01)
    for _ in range(2):
        with pytest.raises(CallerLeft):
            await PlacedResponse(places, Shared(make), "a/b")({"type": "http"}, receive_nothing, stuck)


async def receive_nothing() -> Message:
    raise AssertionError("nobody asks")
