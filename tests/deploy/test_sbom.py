"""The SBOM lists everything that the image's services run on, and nothing else."""

from __future__ import annotations

import json
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.support.tools import make, pins

EXTRAS = ("cpu", "grpc", "signing", "tracing")


def closure(package: str, extras: tuple[str, ...]) -> set[str]:
    """All packages that it needs, according to the packages installed here."""
    found: dict[str, tuple[str, ...]] = {}
    waiting = [(package, extras)]
    while waiting:
        name, wanted = waiting.pop()
        if name in found and set(wanted) <= set(found[name]):
            continue
        found[name] = wanted
        for line in requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                waiting.append((canonicalize_name(needed.name), tuple(needed.extras)))
    return set(found) - {package}


@pytest.mark.timeout(900)
def test_it_lists_the_runtime_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    done = make("sbom", f"SBOM={file}")
    assert done.returncode == 0, done.stderr
    assert f"made and validated {file}" in done.stdout
    text = file.read_text()
    document = json.loads(text)
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "harmgauge"
    components = {canonicalize_name(component["name"]): component for component in document["components"]}
    assert set(components) == closure("harmgauge", EXTRAS)
    pinned = pins("constraints.txt")
    assert {name: component["version"] for name, component in components.items()} == {
        name: pinned[name] for name in components
    }
    assert "file:" not in text
    assert str(ROOT) not in text
