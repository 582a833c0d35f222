"""Disturbances of texts: what keyboards, pipelines and people who evade filters do to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Rows of a keyboard, in which neighbours are confused."""

LOOK_ALIKES = {
    "a": "аɑ@4", "b": "Ь8", "c": "сϲ", "e": "еє3", "g": "ɡ9", "h": "һ", "i": "іl1!", "j": "ј", "k": "к", "l": "ӏ1I",
    "m": "м", "n": "ո", "o": "оο0", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ5$", "t": "т7", "u": "υս", "v": "ν", "w": "ԝ",
    "x": "хχ", "y": "уγ", "z": "ᴢ2", "0": "oO", "1": "lI", "5": "S",
}  # fmt: skip
"""Characters of other alphabets, and digits, that look like a letter."""

MOST_OF_ANOTHER = 0.5
"""Largest share of a text that comes from another text; more would be that other text."""

Random = np.random.Generator

TextDisturbance = Callable[[str, float, Sequence[str], Random], str]
"""Changes a text, at a strength above 0 and up to 1; the other texts are normal ones."""


def _near(character: str, random: Random) -> str:
    lower = character.lower()
    for row in KEYS:
        at = row.find(lower)
        if at >= 0:
            found = row[(at + (1 if random.random() < 0.5 else -1)) % len(row)]
            return found.upper() if character.isupper() else found
    return character


def typos(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Characters are dropped, doubled, swapped with the next one, or replaced by a neighbour on the keyboard."""
    made, index = [], 0
    rate, dice, kinds = 0.3 * strength, random.random(len(text) + 1), random.integers(4, size=len(text) + 1)
    while index < len(text):
        character = text[index]
        if dice[index] >= rate:
            made.append(character)
        elif kinds[index] == 1:
            made.append(character * 2)
        elif kinds[index] == 2:
            made.append(text[index + 1 : index + 2] + character)
            index += 1
        elif kinds[index] == 3:
            made.append(_near(character, random))
        index += 1
    return "".join(made)


def words_dropped(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Words are lost."""
    words = text.split()
    kept = [word for word, dice in zip(words, random.random(len(words)), strict=True) if dice >= 0.9 * strength]
    return " ".join(kept)


def words_swapped(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Words move, within a reach of 2 places up to the whole text."""
    words = text.split()
    reach = 1 + strength * max(2, len(words))
    places = np.arange(len(words)) + reach * random.random(len(words))
    return " ".join(words[place] for place in np.argsort(places))


def words_repeated(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Words, or the whole text, are repeated."""
    words = text.split()
    if random.random() < 0.3:
        return " ".join(words * (1 + math.ceil(3 * strength)))
    dice = random.random(len(words))
    return " ".join(word for word, hit in zip(words, dice, strict=True) for _ in range(2 if hit < strength else 1))


def case(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Everything in capitals, in small letters, with a capital for each word, or with the case swapped at random."""
    kind = random.integers(4)
    if kind < 3:
        change = (str.upper, str.lower, str.title)[int(kind)]
        words = text.split(" ")
        dice = random.random(len(words))
        return " ".join(change(word) if hit < strength else word for word, hit in zip(words, dice, strict=True))
    dice = random.random(len(text))
    return "".join(
        character.swapcase() if hit < strength else character for character, hit in zip(text, dice, strict=True)
    )


def look_alikes(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Characters are replaced by others that look the same, as in messages that evade a filter."""
    dice, picks = random.random(len(text)), random.random(len(text))
    made = []
    for character, hit, pick in zip(text, dice, picks, strict=True):
        alike = LOOK_ALIKES.get(character.lower()) if hit < strength else None
        made.append(alike[int(pick * len(alike))] if alike else character)
    return "".join(made)


def spacing(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Spaces are lost, or inserted inside words."""
    dice = random.random(len(text))
    if random.random() < 0.5:
        return "".join(
            "" if character == " " and hit < strength else character for character, hit in zip(text, dice, strict=True)
        )
    mark = (" ", ".", "-", "\u200b")[int(random.integers(4))]
    return "".join(
        character + mark if hit < 0.5 * strength else character for character, hit in zip(text, dice, strict=True)
    )


def cut(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """The end or the beginning is cut off."""
    kept = max(1, round((1 - 0.95 * strength) * len(text)))
    return text[:kept] if random.random() < 0.7 else text[-kept:]


def other_text(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """A stretch of another text is inserted, or replaces a part."""
    words, strange = text.split(), others[int(random.integers(len(others)))].split()
    count = max(1, round(MOST_OF_ANOTHER * strength * max(1, len(words))))
    begin = int(random.integers(max(1, len(strange) - count + 1)))
    at = int(random.integers(len(words) + 1))
    after = words[at + count :] if random.random() < 0.5 else words[at:]
    return " ".join([*words[:at], *strange[begin : begin + count], *after])


def strange_words(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Words are replaced by words of other texts, or by invented ones."""
    words = text.split()
    made = []
    for word, hit in zip(words, random.random(len(words)), strict=True):
        if hit >= 0.7 * strength:
            made.append(word)
        elif random.random() < 0.6:
            strange = others[int(random.integers(len(others)))].split() or [""]
            made.append(strange[int(random.integers(len(strange)))])
        else:
            letters = random.integers(ord("a"), ord("z") + 1, int(random.integers(2, 9)))
            made.append("".join(map(chr, letters)))
    return " ".join(made)


def digits(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Digits are changed, masked or removed, as by anonymisation."""
    mask = ("#", "", "0", None)[int(random.integers(4))]
    dice = random.random(len(text))
    return "".join(
        (str(int(random.integers(10))) if mask is None else mask)
        if character.isdigit() and hit < strength
        else character
        for character, hit in zip(text, dice, strict=True)
    )


def markup(text: str, strength: float, others: Sequence[str], random: Random) -> str:
    """Punctuation is removed, escaped as in HTML, or the text is decoded with the wrong character set."""
    kind = random.integers(3)
    if kind == 0:
        dice = random.random(len(text))
        return "".join(
            character if character.isalnum() or character.isspace() or hit >= strength else ""
            for character, hit in zip(text, dice, strict=True)
        )
    if kind == 1:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")
        return f"<p>{escaped}</p>" if random.random() < strength else escaped
    marked = "".join(
        f"{character}\u0301" if character in "aeiou" and random.random() < strength else character for character in text
    )
    return marked.encode("utf-8").decode("latin-1")


TEXT: dict[str, TextDisturbance] = {
    "typos": typos,
    "look_alikes": look_alikes,
    "spacing": spacing,
    "case": case,
    "markup": markup,
    "digits": digits,
    "words_dropped": words_dropped,
    "cut": cut,
    "words_swapped": words_swapped,
    "words_repeated": words_repeated,
    "other_text": other_text,
    "strange_words": strange_words,
}
"""In an order in which similar ones are neighbours."""
