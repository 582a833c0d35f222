"""Rows of a file in the form of a bundle's inputs, as the service would receive them."""

from __future__ import annotations

from pathlib import Path

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import Served
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.inputs import arrays_of, fit_records, stacked, strings


def tokenizer_of(bundle: Bundle) -> Tokenizer | None:
    """The bundle's tokenizer, if it has one. Raises UserError if the package `tokenizers` is missing."""
    served = bundle.manifest.served
    if not isinstance(served, NamedInputs) or served.tokenizer is None:
        return None
    document = bundle.read(served.tokenizer)
    return Tokenizer.read(document, bundle.path / served.tokenizer, served.names, served.maximum or 1)


def served_rows(x: Array, served: Served) -> AnyRows:
    """Rows in the form of a bundle's inputs as the service receives them."""
    if isinstance(served, NamedInputs):
        return served.rows({name: x[name] for name in served.names})
    return x


def named_rows(x: Array, bundle: Bundle, served: NamedInputs, tokenizer: Tokenizer | None, what: str) -> Array:
    """Rows from a file as records in the form of the bundle's inputs.

    With a tokenizer they are texts. Raises UserError for rows that the service would reject.
    """
    inputs = bundle.manifest.inputs
    if tokenizer is not None:
        found = tokenizer.records(texts_in(x, what))
    elif not records.are_records(x) and len(inputs) == 1:
        found = fit_records(records.make_records({inputs[0].name: x}), inputs, what)
    elif not records.are_records(x):
        names = ", ".join(repr(taken.name) for taken in inputs[:5])
        raise UserError(f"{what}: expected an array or a column for each input of the bundle ({names}), got only x")
    else:
        found = fit_records(x, inputs, what)
    try:
        served.check(served.rows({name: found[name] for name in served.names}))
    except ValueError as error:
        raise UserError(f"{what}: the service would reject these rows: {error}") from error
    return found


def texts_in(x: Array, what: str) -> Array:
    """The texts, (n,): the field `text`, the only field, or the rows themselves. Raises UserError if there are none."""
    if records.are_records(x):
        there = records.fields(x)
        named = records.TEXT if records.TEXT in there else there[0] if len(there) == 1 else None
        if named is None:
            raise UserError(
                f"{what}: expected texts in the array or column {records.TEXT!r}, but it has {', '.join(there[:8])}: "
                "rename the one with the texts"
            )
        x = x[named]
    if x.dtype.kind not in "OUS" or x.size != len(x):
        raise UserError(
            f"{what} holds {x.dtype} {x.shape}, but a tokenizer reads texts: save texts as strings, or leave "
            "--tokenizer out if the rows are token ids"
        )
    return strings(x.reshape(len(x)), records.TEXT, what)


def by_column(x: Array, columns: tuple[str, ...] | None, what: str) -> Array:
    """Rows for a bundle with one array as its input: the only array, or a table's columns in the bundle's order."""
    if not records.are_records(x):
        return x
    arrays = arrays_of(x)
    if columns is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    if columns is None:
        raise UserError(
            f"{what} has the columns {', '.join(list(arrays)[:8])}, but the bundle does not name its columns: save an "
            ".npz file with x"
        )
    return stacked(x, columns, what)[0]


def columns_of(bundle: Bundle) -> tuple[str, ...] | None:
    """The names of the columns of a bundle with one array as its input, if it has them."""
    found = bundle.manifest.inputs[0].columns
    return None if found is None else tuple(column.name for column in found)


def fit_served(x: Array, bundle: Bundle, tokenizer: Tokenizer | None, what: Path | str) -> Array:
    """Records for a bundle with inputs by name, otherwise one array, not yet in its dtype. Raises UserError."""
    served = bundle.manifest.served
    if isinstance(served, NamedInputs):
        return named_rows(x, bundle, served, tokenizer, str(what))
    return by_column(x, columns_of(bundle), str(what))
