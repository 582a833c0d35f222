"""Divides rows of unequal lengths into groups that run together, so that a long row does not make short ones longer.

Every row of a run is padded to the longest one, and the memory of attention grows with the square of that length. So
rows are sorted by length, and a group ends where padding would double its shortest row, or at MAX_CELLS.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows, Positions

MAX_CELLS = 4096
"""Positions in a run, padding included: 32 rows of 128 tokens. A core gains nothing from larger runs."""

SHORT = 16
"""Rows up to this length run together, however different: the padding costs less than another run."""

CHARACTERS_PER_CELL = 8
"""In rows of strings: the tokens of a graph's own tokenizer are padded as well."""


def row_lengths(inputs: NamedInputs, rows: NamedRows) -> Positions | None:
    """The cost of each row (n,), in positions; None if all rows cost the same."""
    if rows.offsets is not None:
        return rows.lengths
    longest = np.zeros(len(rows), np.int64)
    for found in inputs.inputs:
        if found.is_text and found.categories is None:  # a category is looked up, however long
            strings = rows.fixed[found.name].reshape(len(rows), -1)
            np.maximum(longest, [max(map(len, row)) for row in strings.tolist()], out=longest)
    return longest // CHARACTERS_PER_CELL if longest.any() else None


def row_weight(rows: NamedRows, batch_rows: int) -> int:
    """How many rows of a batch each of these counts as: a batch of long rows would keep others waiting for seconds."""
    if rows.offsets is None:
        return 1
    return max(1, min(batch_rows, batch_rows * int(rows.lengths.max()) // MAX_CELLS))


def length_groups(lengths: Positions, *, can_pad: bool) -> Iterator[npt.NDArray[np.intp]]:
    """Positions of the rows of each group, shortest first. Without padding, a group has rows of one length."""
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order].tolist()
    begin = 0
    for at, length in enumerate(ordered):
        shortest = ordered[begin]
        is_too_long = length > max(2 * shortest, SHORT) if can_pad else length != shortest
        if at > begin and (is_too_long or (at - begin + 1) * length > MAX_CELLS):
            yield order[begin:at]
            begin = at
    yield order[begin:]
