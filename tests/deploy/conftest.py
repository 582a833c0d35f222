"""The image, built once for all tests that run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import IMAGE, Containers, own_storage
from tests.support.tools import on_path


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """A storage that holds the target `cpu` as IMAGE."""
    for name in ("mmdebstrap", "buildah", "podman", "runc"):
        on_path(name)
    with own_storage() as storage:
        storage.build("cpu", IMAGE)
        yield storage
