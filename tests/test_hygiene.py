"""Properties of all product code, checked in its source: no load runs code, and none skips the signature."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "service" / "harmgauge"
SOURCES = sorted(path for part in ("service", "models", "monitoring") for path in (ROOT / part).rglob("*.py"))
UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "pandas", "yaml"}
"""`pandas.read_pickle`, `yaml.load`: the product needs neither package."""

MUST_SAY = {
    "np.load": ("allow_pickle", False),
    "np.save": ("allow_pickle", False),
    "np.savez": ("allow_pickle", False),
    "np.savez_compressed": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
FORBIDDEN = {"eval", "exec", "compile", "os.system", "os.popen", "np.fromregex", "onnx.hub.load", "torch.hub.load"}
UNPACKED_TO_DISK = {"extract", "extractall", "unpack_archive"}
NO_ARCHIVE = {"self._propagator.extract"}
"""OpenTelemetry: reads a trace's context from headers."""


def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def calls(tree: list[ast.AST]) -> Iterator[tuple[str, ast.Call]]:
    for node in tree:
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def unsafe(path: Path) -> Iterator[str]:
    tree = nodes(path)
    for node in tree:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"imports {name}" for name in names if name.partition(".")[0] in UNPICKLERS)
    for name, call in calls(tree):
        if name in MUST_SAY:
            option, value = MUST_SAY[name]
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if given.get(option) != str(value):
                yield f"{name} without {option}={value}"
        if name in FORBIDDEN or (name.rpartition(".")[2] in UNPACKED_TO_DISK and name not in NO_ARCHIVE):
            yield f"calls {name}"
        if any(keyword.arg == "shell" for keyword in call.keywords):
            yield f"{name} through a shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_run_or_unpacked_to_disk(path: Path) -> None:
    assert not list(unsafe(path))


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import pickle\nfrom joblib import load\nnp.load(x)\nnp.load(x, allow_pickle=True)\ntorch.load(x)\n"
        "eval(x)\narchive.extractall(x)\nsubprocess.run(x, shell=True)\n"
    )
    assert len(list(unsafe(bad))) == 8


def test_every_bundle_that_is_served_goes_past_the_signature() -> None:
    """`load` accepts public keys, and a caller that omits them would serve any bundle."""
    # A bundle that they just wrote or are about to sign, or a trial without keys.
    may_leave_out = {"bundle/write.py", "cli/sign.py", "inference/probe_process.py"}
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if not re.search(r"from harmgauge\.bundle\.load import .*\bload\b", text):
            continue
        place = str(path.relative_to(PACKAGE))
        if place == "__init__.py":  # the public API: its callers pass their keys
            continue
        for name, call in calls(nodes(path)):
            if name == "load":
                found.add(place)
                keys = [*map(ast.unparse, call.args[2:]), *(ast.unparse(keyword.value) for keyword in call.keywords)]
                assert place in may_leave_out or "settings.bundle_public_key" in keys[0], (
                    f"{place}: {ast.unparse(call)}"
                )
    assert {"inference/isolated_probe.py", "cli/demo.py", "cli/record_reference.py"} <= found
