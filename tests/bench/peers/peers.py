"""The peers: how each is started, and which of the requests it accepts, on which path."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

APPS = "tests.bench.peers.apps"
JSON_CELL, RAW_CELL, RAW_32_CELL, V2_CELL = CELLS = ("1 row, JSON", "1 row, raw", "32 rows, raw", "1 row, V2 JSON")

Command = Callable[[Path, int, Path], list[str]]
"""From the interpreter, a free port and an empty folder."""


@dataclass(frozen=True)
class Peer:
    """`paths`: by request; a request without a path is one that the peer does not accept."""

    name: str
    environment: str
    command: Command
    paths: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)


def _mosec(python: Path, port: int, _: Path) -> list[str]:
    return [str(python), "-m", f"{APPS}.mosec_app", "--address", "127.0.0.1", "--port", str(port)]


def _litserve(python: Path, port: int, _: Path) -> list[str]:
    return [str(python), "-m", f"{APPS}.litserve_app", str(port)]


def _bentoml(python: Path, port: int, _: Path) -> list[str]:
    return [str(python), "-m", "bentoml", "serve", f"{APPS}.bentoml_app:Score", "--host", "127.0.0.1", "-p", str(port)]


def _ray(python: Path, port: int, _: Path) -> list[str]:
    return [str(python), "-m", f"{APPS}.ray_app", str(port)]


def _mlserver(python: Path, port: int, folder: Path) -> list[str]:
    server = {"http_port": port, "grpc_port": port + 1, "metrics_endpoint": None, "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", **server}))
    model = {"name": "cifar10-resnet32", "implementation": f"{APPS}.mlserver_app.Score"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(python), "-m", "mlserver.cli.main", "start", str(folder)]


_BOTH = {JSON_CELL: "/json", RAW_CELL: "/raw", RAW_32_CELL: "/raw"}

_RAY_VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

PEERS = (
    Peer("mosec", "mosec", _mosec, _BOTH),
    Peer("LitServe", "litserve", _litserve, {JSON_CELL: "/json"}),
    Peer("BentoML", "bentoml", _bentoml, _BOTH, {"BENTOML_DO_NOT_TRACK": "true"}),
    Peer("Ray Serve", "ray", _ray, dict.fromkeys(_BOTH, "/"), _RAY_VARIABLES),
    Peer("MLServer", "mlserver", _mlserver, {V2_CELL: "/v2/models/cifar10-resnet32/infer"}),
)
