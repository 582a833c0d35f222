"""The judgement of a bundle's score in plain sentences: why it has this detector, and whether the score is useful.

Both are in parts of the manifest with arbitrary contents, and are displayed to people: anything but short text is
omitted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from harmgauge.bundle.manifest import Manifest

MOST_CHARACTERS = 1000


class Judgement(NamedTuple):
    """`reason` explains the choice of the detector; `sentence` and the flag `worth_serving` tell whether the score is
    worth serving.

    Each is None if the manifest lacks it.
    """

    reason: str | None
    sentence: str | None
    worth_serving: bool | None


def judgement_of(manifest: Manifest) -> Judgement:
    """Read the judgement from `score.reason` and `quality.judgement`."""
    found = manifest.quality.get("judgement")
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    worth = said.get("worth_serving")
    return Judgement(
        one_line(manifest.score.get("reason")),
        one_line(said.get("sentence")),
        worth if isinstance(worth, bool) else None,
    )


def one_line(value: object) -> str | None:
    """Text as one line without control characters; None for anything else, and for text without a word."""
    if not isinstance(value, str):
        return None
    words = " ".join("".join(character if character.isprintable() else " " for character in value).split())
    return words[:MOST_CHARACTERS] or None
