"""Imports point down: which part of a package may import from which, checked in the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.conftest import ROOT

HARMGAUGE = [
    "__main__",
    "cli",
    "server asgi",
    "app",
    "assembly",
    "page",
    "api",
    "rollout capture",
    "auth observe",
    "drift",
    "inference",
    "bundle",
    "settings readiness memory",
    "errors",
]
"""Each line may import from the lines below it, and nothing else. Parts on the same line do not import each other."""

HARMGAUGE_MODELS = [
    "cli",
    "building evaluation",
    "calibration",
    "detectors",
    "training",
    "networks",
    "data",
    "graphs",
    "options",
    "measures",
    "errors",
]

NO_SERVICE = {"torch", "onnx", "harmgauge_models", "matplotlib", "tqdm"}
"""The service runs without the packages of `build` and `train`."""

THE_ONE_ARROW = "harmgauge_models.cli"
"""By name, in the command: `cli/main.py`."""


def imports(path: Path, *, at_run_time: bool) -> list[str]:
    """Dotted names of a file's imports; with `at_run_time`, without those that only a type checker sees."""
    return [name for name, only_typed in _imports(path) if not (at_run_time and only_typed)]


@functools.cache
def _imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Dotted names of a file's imports, each with whether only a type checker sees it."""
    text = path.read_text()
    nodes = _statements(ast.parse(text))
    hidden: set[ast.AST] = set()
    for node in nodes if "TYPE_CHECKING" in text else ():
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            hidden |= {inner for statement in node.body for inner in ast.walk(statement)}
    found: list[tuple[str, bool]] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(alias.name, node in hidden) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            found += [(f"{node.module}.{alias.name}", node in hidden) for alias in node.names]
    return tuple(found)


def _statements(tree: ast.Module) -> list[ast.AST]:
    """All statements, which include all imports; the expressions in them are ten times as many."""
    found: list[ast.AST] = [tree]
    for node in found:  # and those that are found meanwhile
        for part in ("body", "handlers", "orelse", "finalbody", "cases"):
            found += getattr(node, part, ())
    return found


def upward(folder: Path, layers: list[str]) -> list[str]:
    """Imports in a package's files that do not point down, including those for type checkers."""
    package = folder.name
    level = {room: number for number, line in enumerate(layers) for room in line.split()}
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).with_suffix("").parts[0]
        if room == "__init__":  # the public names, which are loaded on first use
            continue
        for name in imports(path, at_run_time=False):
            if not name.startswith(f"{package}."):
                continue
            other = name.split(".")[1]
            if other != room and level[room] >= level[other]:
                wrong.append(f"{path.relative_to(folder)} imports {name}")
    return wrong


def test_arrows_point_down() -> None:
    assert not upward(ROOT / "service" / "harmgauge", HARMGAUGE)


def test_arrows_of_the_offline_half_point_down() -> None:
    # Types only: the options name types of the graphs part, and are loaded without it.
    wrong = upward(ROOT / "models" / "harmgauge_models", HARMGAUGE_MODELS)
    assert wrong == [f"options.py imports harmgauge_models.graphs.divergence.{name}" for name in ("Gives", "Loss")]
    options = ROOT / "models" / "harmgauge_models" / "options.py"
    assert "harmgauge_models.graphs.fuse.Gives" not in set(imports(options, at_run_time=True))


def test_every_room_has_its_place() -> None:
    for folder, layers in (("service/harmgauge", HARMGAUGE), ("models/harmgauge_models", HARMGAUGE_MODELS)):
        rooms = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or path.is_dir()}
        data = {"__init__", "__pycache__"}
        assert rooms - data == {room for line in layers for room in line.split()}


def test_files_do_not_import_each_other_in_circles() -> None:
    for folder in (ROOT / "service" / "harmgauge", ROOT / "models" / "harmgauge_models"):
        modules = {
            ".".join([folder.name, *path.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__"): path
            for path in folder.rglob("*.py")
        }
        graph = {
            module: {known for name in imports(path, at_run_time=True) if (known := module_of(name, modules))}
            for module, path in modules.items()
        }
        for module in graph:
            assert module not in reachable(graph, module), f"{module} imports itself, by others"


def module_of(name: str, modules: Collection[str]) -> str | None:
    """The module that a dotted name is or belongs to; None if it belongs to none of these."""
    return next((known for known in (name, name.rpartition(".")[0]) if known in modules), None)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = list(graph[start])
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += graph.get(module, ())
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "service").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_service_needs_nothing_of_the_offline_half(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path, at_run_time=False)} & NO_SERVICE
    text = path.read_text()
    assert (f'"{THE_ONE_ARROW}"' in text) == (path.name == "main.py" and path.parent.name == "cli")


def test_no_test_file_is_imported() -> None:
    """Helpers of several tests are in `tests/support`."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imports(path, at_run_time=False):
            package, *rest = name.split(".")
            assert package != "tests" or not any(part.startswith("test_") for part in rest), f"{path} imports {name}"


def test_the_search_finds_an_arrow_that_points_up(tmp_path: Path) -> None:
    package = tmp_path / "toy"
    (package / "low").mkdir(parents=True)
    (package / "low" / "a.py").write_text("from toy import high\nfrom toy.high import b\nimport toy.low.c\n")
    (package / "high.py").write_text("from toy.low import a\n")
    assert upward(package, ["high", "low"]) == ["low/a.py imports toy.high", "low/a.py imports toy.high.b"]
