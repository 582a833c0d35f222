"""Cheaper builds and reports in the tests of models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import not_drawn
from tests.support.few_rows import few_judged


@pytest.fixture(scope="module", autouse=True)
def _few_judged() -> Iterator[None]:
    """Few disturbed rows to judge a score by: tests of the judgement itself choose their own."""
    with few_judged():
        yield


@pytest.fixture(scope="module", autouse=True)
def _build_report_not_drawn() -> Iterator[None]:
    """The plot of each build takes as long as all the rest of a toy's build; `test_build_report.py` draws it."""
    with not_drawn.build_report_not_drawn():
        yield


@pytest.fixture
def figures_not_drawn() -> Iterator[None]:
    with not_drawn.figures_not_drawn():
        yield
