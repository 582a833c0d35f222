"""Distributes the tests of `pytest --numprocesses` over processes."""

from __future__ import annotations

from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = "tests/deploy/"
"""Their tests share one image, which takes more than a minute to build."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist is untyped here
    """Each file runs in one process, for its fixtures; the files of TOGETHER share one.

    (`xdist_group` marks would express this, but xdist 3.8 ignores them with pytest 9.2: pytest-dev/pytest-xdist#1386.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else str(super()._split_scope(nodeid))
