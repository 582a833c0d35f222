"""Intermediate results and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge_models.evaluation.work import Arrays, Work


def test_it_is_made_once_for_the_same_origin(tmp_path: Path) -> None:
    work, made = Work(tmp_path / "new"), []

    def make() -> Arrays:
        made.append(1)
        return {"x": np.arange(3) * len(made)}

    first = work.kept("part/x", {"seed": 0, "kinds": ["a"]}, make)
    again = work.kept("part/x", {"kinds": ["a"], "seed": 0}, make)
    np.testing.assert_array_equal(first["x"], again["x"])
    assert len(made) == 1
    assert work.kept("part/x", {"seed": 1, "kinds": ["a"]}, make)["x"][1] == 2
    assert work.kept("part/y", {"seed": 0, "kinds": ["a"]}, make)["x"][1] == 3


def test_names_with_a_dot_are_told_apart(tmp_path: Path) -> None:
    work = Work(tmp_path)
    for origin in (1, 2):
        for share in (0.1, 0.5):
            work.kept(f"x-{share}", origin, lambda share=share, origin=origin: {"x": np.array([share, origin])})  # type: ignore[misc]  # a lambda's default has no type
    for origin in (1, 2):
        for share in (0.1, 0.5):
            assert work.kept(f"x-{share}", origin, dict)["x"].tolist() == [share, origin]


def test_a_run_that_is_cut_off_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(tmp_path)

    def cut_off(file: object, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", cut_off)
        with pytest.raises(KeyboardInterrupt):
            work.kept("x", 1, lambda: {"x": np.zeros(2)})
    assert work.kept("x", 1, lambda: {"x": np.ones(2)})["x"].tolist() == [1, 1]
