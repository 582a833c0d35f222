"""The path of a request stays short enough for a reader to follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.request_path import returns, walk


@pytest.mark.anyio
async def test_a_request_goes_through_few_calls_and_files_and_seldom_comes_back(image_bundle_path: Path) -> None:
    calls = await walk(image_bundle_path)
    files = {file for file, _ in calls}
    assert len(calls) <= 60
    assert len(files) <= 17
    assert returns(calls) <= 12
    assert {"api/score.py", "inference/batcher.py", "observe/feed.py"} <= files
