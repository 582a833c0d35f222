"""The bundle author's judgement of its score in plain sentences: why this detector, and whether it is any good.

Both are in parts of the manifest that may hold anything, and are shown to people: anything but short text is left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from harmgauge.bundle.manifest import Manifest

MOST_CHARACTERS = 1000


class Judgement(NamedTuple):
    """`reason` explains the choice of the detector, `sentence` whether the score is worth serving, `worth_serving` the
    same as a flag; each None if it is not in the manifest.
    """

    reason: str | None
    sentence: str | None
    worth_serving: bool | None


def judgement_of(manifest: Manifest) -> Judgement:
    """From `score.reason` and `quality.judgement`."""
    found = manifest.quality.get("judgement")
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    worth = said.get("worth_serving")
    return Judgement(
        one_line(manifest.score.get("reason")),
        one_line(said.get("sentence")),
        worth if isinstance(worth, bool) else None,
    )


def one_line(value: object) -> str | None:
    """A text as one line that cannot steer a terminal; None for anything else, and for a text without a word."""
    if not isinstance(value, str):
        return None
    words = " ".join("".join(character if character.isprintable() else " " for character in value).split())
    return words[:MOST_CHARACTERS] or None
