"""Distribution of the tests by `pytest --numprocesses`."""

from __future__ import annotations

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = ("tests/deploy/test_image.py", "tests/deploy/test_newcomer.py", "tests/deploy/test_play.py")
"""These use the same image, which takes more than a minute to build."""

FIRST = (
    *TOGETHER,
    "tests/e2e/test_install.py",
    "tests/soak/test_soak.py",
    "tests/test_readme_examples.py",
    "tests/faults/test_grpc.py",
    "tests/deploy/test_manifests.py",
    "tests/models/evaluation/test_accuracy_estimate.py",
    "tests/models/calibration/test_bundle.py",
    "tests/deploy/test_resolution.py",
    "tests/e2e/test_stopping.py",
    "tests/test_insects_doc.py",
    "tests/service/inference/test_isolated_probe.py",
    "tests/e2e/test_lifecycle.py",
    "tests/deploy/test_sbom.py",
    "tests/page/test_live.py",
    "tests/test_tutorial.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/test_shadow_under_load.py",
    "tests/e2e/test_swap_under_load.py",
    "tests/test_python_doc.py",
)
"""The slowest files, in this order: a slow file that starts last would keep one process busy after the others have
finished.
"""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Assigns each file to one process, because of its fixtures, and the files in TOGETHER to the same process.

    (Marks of `xdist_group` would express this, but with pytest 9.2 xdist 3.8 ignores them:
    pytest-dev/pytest-xdist#1386.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "image" if file in TOGETHER else file


def longest_first(items: list[pytest.Item]) -> None:
    """Move the tests of the FIRST files to the front; the others keep their order."""
    place = {file: number for number, file in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(FIRST)))
