"""Measures of pictures over HTTP: blurred ones are called less sharp, clean ones have no name."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import edit
from tests.support.keys import ADMIN
from tests.support.process import RunningService, running_service
from tests.support.textures import Pixels, blurred, textures
from tests.support.toy import toy_bundle

SIDE = 16


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(
        tmp_path_factory.mktemp("pictures"), shape=(SIDE, SIDE, 3), calibration=textures(1000, SIDE, seed=1)
    )


def columns(service: RunningService) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get("/drift/columns").json()
    return found


def sharpness(service: RunningService) -> dict[str, Any]:
    """The state of this column, wherever it stands: less sharp pictures also have less noise, with as much evidence."""
    return next(each for each in columns(service)["columns"] if each["column"] == "sharpness")


def send_until_measured(service: RunningService, pixels: Pixels, rows: int) -> None:
    """Send the pictures one by one, until `rows` more were measured."""
    wanted = sharpness(service)["rows"] + rows
    end = time.monotonic() + 60
    for at in itertools.cycle(range(len(pixels))):
        service.score(pixels[at : at + 1])
        if at % 20 == 19:
            time.sleep(0.2)
            if sharpness(service)["rows"] >= wanted:
                return
            assert time.monotonic() < end


def test_blurred_pictures_are_called_less_sharp_and_clean_ones_nothing(bundle: Path, tmp_path: Path) -> None:
    settings: dict[str, object] = {
        "state_dir": tmp_path / "state",
        "rows_between_false_alarms": 10_000,
        "admin_keys": ADMIN[1],
    }
    with running_service(bundle, **settings) as service:
        send_until_measured(service, textures(300, SIDE, seed=2), 60)
        clean = columns(service)
        assert clean["drifting"] == 0
        assert [each["kind"] for each in clean["columns"]].count("number") == 5
        send_until_measured(service, blurred(textures(600, SIDE, seed=3), 1.0), 120)
        named = {
            each["column"]: each["direction"] for each in columns(service)["columns"] if each["state"] == "drifting"
        }
        assert named["sharpness"] == named["noise"] == "lower"
        assert named.keys().isdisjoint({"brightness", "saturation"})
        blurry = sharpness(service)
        assert "`sharpness` lower (middle " in blurry["sentence"]
        assert blurry["middle"] < 0.8 * blurry["reference_middle"]
        scrape = service.client.get("/metrics").text
        assert 'harmgauge_column_drifting{column="sharpness",model="toy"} 1.0' in scrape
        assert 'harmgauge_values_missing_total{column="sharpness",model="toy"} 0.0' in scrape
        service.terminate()
        assert service.wait() == 0
    with running_service(bundle, **settings) as service:
        assert sharpness(service)["since"] == blurry["since"]
        service.client.post("/admin/drift/reset", headers={"Authorization": f"Bearer {ADMIN[0]}"}).raise_for_status()
        assert columns(service)["drifting"] == 0


def test_an_older_bundle_has_no_measures(bundle: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(bundle, tmp_path / "older"))
    edit(older, lambda manifest: manifest.pop("columns"))
    with running_service(older) as service:
        service.score(textures(3, SIDE))
        assert service.client.get("/drift/columns").status_code == 404
