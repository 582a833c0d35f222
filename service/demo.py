"""`harmgauge demo`: real clean images, then the same ones corrupted, sent to a running service."""

from __future__ import annotations

import json
import math
import sys
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from service.errors import BundleError, SettingsError
from service.inference.bundle import load
from service.inference.outputs import Rows
from service.samples import read_samples
from service.settings import Settings

STEP_ROWS = 100
"""Fewer where so many would be a larger body than the service takes."""


class DemoService:
    """The running service, as its users see it. Raises SettingsError where it is not there."""

    def __init__(self, settings: Settings) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - not listened on
        self.address = f"http://{host}:{settings.port}"

    def get(self, path: str) -> dict[str, Any]:
        return self._call(urllib.request.Request(self.address + path))  # noqa: S310 - always http

    def score(self, rows: Rows) -> dict[str, Any]:
        headers = {"Content-Type": "application/octet-stream"}
        return self._call(urllib.request.Request(f"{self.address}/score", rows.tobytes(), headers))  # noqa: S310

    def _call(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                document: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise SettingsError(f"{request.full_url} answered {error.code}: {error.read().decode()}") from error
        except OSError as error:
            raise SettingsError(
                f"no service answers at {self.address} ({error}): run `make serve` in another terminal first, "
                "or name it with HARMGAUGE_HOST and HARMGAUGE_PORT"
            ) from error
        return document


def demo(settings: Settings) -> int:
    """Fill the window with clean images, then with corrupted ones, and print what the service says of it."""
    service = DemoService(settings)
    info = service.get("/info")
    bundle = load(settings.bundle)
    if (info["model"], info["sha256"]) != (bundle.manifest.name, bundle.sha256):
        raise BundleError(
            f"{service.address} serves {info['model']}/{info['version']}, which is not {settings.bundle}: "
            "set HARMGAUGE_BUNDLE to its bundle"
        )
    samples = read_samples(bundle)
    window_rows: int = service.get("/drift")["detectors"]["score_ks"]["window_rows"]
    print_line(
        f"{service.address} serves {info['model']}/{info['version']}; flagged is score > {info['threshold']:.3f}\n"
    )

    _show_single_images(service, samples.clean, samples.corrupted, samples.y, info["class_names"])

    print_line(f"\n{'rows sent':>9}  {'images':<9} {'mean score':>10} {'flagged':>8}  {'p-value':>9}  state")
    sent = 0
    step_rows = max(1, min(STEP_ROWS, info["max_body_bytes"] // bundle.manifest.input.row_bytes))
    for name, rows in (("clean", samples.clean), ("corrupted", samples.corrupted)):
        for start in range(0, window_rows, step_rows):
            picked = np.arange(start, min(start + step_rows, window_rows)) % len(rows)
            sent += len(picked)
            _show_step(service, name, rows[picked], sent)
    print_line(
        f"\nThe p-value is that of a two-sample Kolmogorov-Smirnov test of the last {window_rows} scores against the "
        f"bundle's reference.\nNext: {service.address}/drift, {service.address}/metrics, {service.address}/docs"
    )
    return 0


def _show_single_images(service: DemoService, clean: Rows, corrupted: Rows, y: Rows | None, names: list[str]) -> None:
    heads = ("score", "flag", "prediction")
    print_line(f"{'':>5}  {'':<12}{'clean':<28}corrupted")
    print_line(f"{'image':>5}  {'label':<12}" + 2 * f"{heads[0]:<8}{heads[1]:<6}{heads[2]:<14}")
    for index in range(min(6, len(clean))):
        label = int(y[index]) if y is not None else -1
        cells = [f"{index:>5}  {names[label] if 0 <= label < len(names) else '-':<12}"]
        for rows in (clean, corrupted):
            answer = service.score(rows[index : index + 1])
            flag = "FLAG" if answer["is_adversarial"][0] else "ok"
            cells.append(f"{answer['scores'][0]:<8.4f}{flag:<6}{names[answer['predictions'][0]]:<14}")
        print_line("".join(cells))


def _show_step(service: DemoService, name: str, rows: Rows, sent: int) -> None:
    answer = service.score(rows)
    drift = service.get("/drift")["detectors"]["score_ks"]
    flagged = np.mean(answer["is_adversarial"])
    p_value = drift["p_value"]
    shown = "-" if p_value is None else f"{p_value:.3g}"
    bar = "" if p_value is None else "#" * min(40, round(-math.log10(max(p_value, 1e-300)) / 2))
    state = f"warming {drift['rows']}/{drift['window_rows']}" if drift["state"] == "warming" else drift["state"]
    print_line(f"{sent:>9}  {name:<9} {np.mean(answer['scores']):>10.4f} {flagged:>8.1%}  {shown:>9}  {state:<9} {bar}")


def print_line(text: str) -> None:
    """One line at once, also through a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
