from __future__ import annotations

import pytest

from harmgauge.bundle.load import Bundle, load
from tests.support.toy import toy_bundle


@pytest.fixture(scope="session")
def chances_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three classes, a window of 100 rows, and an error probability."""
    return load(toy_bundle(tmp_path_factory.mktemp("chances"), error_probability=True))
