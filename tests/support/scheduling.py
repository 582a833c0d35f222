"""How `pytest --numprocesses` shares the tests out."""

from __future__ import annotations

from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = "tests/deploy/"
"""Its tests run one image, which takes more than a minute to build."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist tells no types here
    """A file to a process, for its fixtures; the files of TOGETHER to one.

    (Marks of `xdist_group` are what it would be said with; with pytest 9.2 xdist 3.8 does not heed them:
    pytest-dev/pytest-xdist#1386.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else str(super()._split_scope(nodeid))
