"""The data on which a bundle is judged: labelled rows, their corrupted copies, and rows by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.columns import find_columns
from harmgauge_models.data.corruptions import CORRUPTIONS, Images, benchmark
from harmgauge_models.data.record_corruptions import ArrayKinds, Kinds, RecordKinds
from harmgauge_models.data.record_disturbers import record_layout
from harmgauge_models.data.row_corruptions import Corruptions
from harmgauge_models.data.row_corruptions.catalogue import FORMAT as ROW_FORMAT
from harmgauge_models.data.served_rows import fit_served, tokenizer_of
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation import given, pictures, rows
from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import CLEAN, Copied, Copy, Graph
from harmgauge_models.evaluation.neighbours import MOST_REFERENCE_ROWS, Neighbours, neighbours
from harmgauge_models.evaluation.options import Options
from harmgauge_models.evaluation.periods import Periods, split
from harmgauge_models.evaluation.pictures import Pictures
from harmgauge_models.evaluation.plan import Plan
from harmgauge_models.evaluation.rows import LabelledRows
from harmgauge_models.evaluation.work import Work, sha256_of

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Timed:
    """Instances (m, *shape) made when needed, their classes (m,), the period of each, and their positions (`places`,
    (m,)) in the file.
    """

    copied: Copied
    y: Labels
    periods: Periods
    places: Indices


@dataclass(frozen=True)
class Cases:
    """`copies` of n rows, CLEAN among them, with their classes `y` (n,) and their positions (`places`, (n,)) in the
    file; `sha256` is that of the clean rows.

    For images, `pictures` are the clean ones and `corrupted` the copies of each kind, severity by severity.
    """

    unit: Literal["pictures", "rows"]
    layout: str
    y: Labels
    places: Indices
    sha256: str
    copies: dict[Copy, Copied]
    neighbours: Neighbours | None
    timed: Timed | None
    pictures: Pictures | None = None
    corrupted: dict[str, Images] = field(default_factory=dict)

    @property
    def origin(self) -> dict[str, Any]:
        """The data that determine all outputs, apart from the graph and how each copy is made."""
        near = self.neighbours
        return {
            self.unit: self.sha256,
            "neighbours": None if near is None else [near.on, sha256_of(near.reference)],
        }


def of_pictures(options: Options, bundle: Bundle, plan: Plan, work: Work) -> Cases:
    """Cases of 8-bit colour images; the corrupted ones are stored in a folder. Raises UserError before making any."""
    test = pictures.read(options.data, bundle.manifest)
    judged = Pictures(test.x[: plan.most_pictures], test.y[: plan.most_pictures])
    kinds = _chosen(options.kinds, CORRUPTIONS, plan.kinds)
    check = partial(pictures.as_pixels, manifest=bundle.manifest)
    own = given.read(options.corrupted, len(test.x), {*kinds, CLEAN[0]}, check)
    _refuse_nothing(options, kinds, own)
    spec = bundle.manifest.input
    near = neighbours(bundle, None)
    everything = np.arange(len(test.x))
    timed = _timed(options, test, everything, plan, lambda some: pictures.instances(test.x[some], spec))
    sha256 = sha256_of(judged.x)
    corrupted: dict[str, Images] = {}
    if kinds:
        folder = work.place("corrupted", {"pictures": sha256, "seed": options.seed})
        corrupted = benchmark.make(judged.x, folder, options.seed, kinds=kinds)
    copies = {CLEAN: Copied(lambda: pictures.instances(judged.x, spec))}
    for severity in plan.severities:
        for kind in kinds:
            make = partial(_picture_copy, corrupted[kind], severity, spec)
            copies[kind, severity] = Copied(make, [benchmark.FORMAT, options.seed])
    for copy, images in own.items():
        some = images[: plan.most_pictures]
        copies[copy] = Copied(partial(pictures.instances, some, spec), sha256_of(some))
    return Cases(
        "pictures",
        "pictures",
        judged.y,
        everything[: plan.most_pictures],
        sha256,
        copies,
        near,
        timed,
        judged,
        corrupted,
    )


def of_rows(options: Options, bundle: Bundle, plan: Plan) -> Cases:
    """Cases of any other rows. Raises UserError."""
    manifest, random = bundle.manifest, np.random.default_rng(options.seed)
    tokenizer = tokenizer_of(bundle)
    test = rows.read(options.data, bundle, options.label, tokenizer)
    everything = np.arange(len(test.x))
    apart, near = everything[:0], None
    if manifest.features is None and not manifest.is_named:
        apart = _set_apart(everything, test.other.get(options.time or ""), random)
        near = neighbours(bundle, test.x[apart])
    elif manifest.features is not None:
        near = neighbours(bundle, None)
    judged = np.setdiff1d(everything, apart)
    picked = np.sort(random.permutation(judged)[: plan.most_corrupted_rows])
    clean = test.x[picked]
    made, layout = _kinds(bundle, test.x, clean, tokenizer)
    kinds = _chosen(options.kinds, made.names, made.names[:: plan.every_row_kind])
    own = given.read(options.corrupted, len(test.x), {*kinds, CLEAN[0]}, partial(_as_served, bundle, tokenizer))
    _refuse_nothing(options, kinds, own)
    timed = _timed(options, test, judged, plan, lambda some: test.x[some])
    copies = {CLEAN: Copied(lambda: clean)}
    for severity in plan.severities:
        for kind in kinds:
            make = partial(made.make, kind, severity, options.seed)
            copies[kind, severity] = Copied(make, [ROW_FORMAT, layout, options.seed], may_fail=True)
    for copy, some in own.items():
        copies[copy] = Copied(partial(_taken, some, picked), sha256_of(some))
    return Cases("rows", layout, test.y[picked], picked, sha256_of(clean), copies, near, timed)


def _taken(x: Array, rows: Indices) -> Array:
    return x[rows]


def _kinds(bundle: Bundle, x: Array, clean: Array, tokenizer: Tokenizer | None) -> tuple[Kinds, str]:
    """The corruptions of the `clean` rows, and the layout of all rows `x`."""
    manifest = bundle.manifest
    if manifest.is_named:
        return RecordKinds(clean, manifest.inputs, tokenizer), record_layout(x, manifest.inputs)
    columns = find_columns(x)
    least, greatest = _range(bundle, clean)
    return ArrayKinds(Corruptions(clean, columns, manifest.inputs[0].missing, least, greatest)), columns.layout


def _as_served(bundle: Bundle, tokenizer: Tokenizer | None, x: Array, what: str) -> Array:
    """Rows of the user's own in the bundle's form."""
    found = fit_served(x, bundle, tokenizer, what)
    return found if bundle.manifest.is_named else rows.as_instances(found, what, bundle.manifest)


def _picture_copy(images: Images, severity: int, spec: InputSpec) -> Array:
    return pictures.instances(images[severity - 1], spec)


def _range(bundle: Bundle, clean: Array) -> tuple[float | None, float | None]:
    """The minimum and maximum number that the classifier accepts.

    Ids beyond its vocabulary make it fail; if the bundle does not state their range, ids stay within that of the clean
    rows.
    """
    spec = bundle.manifest.input
    if spec.minimum is None and spec.maximum is None and clean.dtype.kind in "iu":
        graph, limits = Graph(bundle), np.iinfo(clean.dtype)
        beyond = [np.full_like(clean[:1], limit) for limit in (limits.min, limits.max)]
        if not all(graph.takes(row) for row in beyond):
            return float(clean.min()), float(clean.max())
    return spec.minimum, spec.maximum


def _set_apart(everything: Indices, times: Array | None, random: np.random.Generator) -> Indices:
    """Indices of the rows to reserve: up to a quarter of all rows. If the rows have times, up to half
    of the earliest quarter, and none of the later ones.
    """
    quarter = len(everything) // 4
    if times is not None and times.shape == everything.shape:
        first = np.argsort(times, kind="stable")[:quarter]
        return random.permutation(first)[: min(quarter // 2, MOST_REFERENCE_ROWS)]
    return random.permutation(everything)[: min(quarter, MOST_REFERENCE_ROWS)]


def _chosen(asked: tuple[str, ...] | None, there: Iterable[str], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    if asked is None:
        return otherwise
    known = tuple(there)
    unknown = [kind for kind in asked if kind not in known]
    if unknown:
        raise UserError(f"--kinds {unknown[0]}: expected some of {', '.join(known)}, or none")
    return asked


def _refuse_nothing(options: Options, kinds: tuple[str, ...], own: dict[Copy, Array]) -> None:
    if not kinds and not own and options.time is None:
        raise UserError(
            "nothing to judge the bundle on: expected --kinds of corruptions, --corrupted rows or --time, got none"
        )
    if options.periods is not None and options.time is None:
        raise UserError(f"--periods {options.periods}: expected --time too, the array of {options.data} with the times")


def _timed(
    options: Options, test: Pictures | LabelledRows, judged: Indices, plan: Plan, make: Callable[[Indices], Array]
) -> Timed | None:
    if options.time is None:
        return None
    other, y = test.other, test.y
    if options.time not in other:
        there = f"it has {', '.join(sorted(other))}" if other else "it has only x and y"
        raise UserError(f"--time {options.time}: {options.data} has no such array; {there}")
    times = other[options.time]
    if times.shape == (len(y), 1):
        times = times[:, 0]
    if times.shape != y.shape:
        raise UserError(f"--time {options.time} is {times.dtype} {times.shape}; expected one for each of {len(y)} rows")
    some = np.sort(np.random.default_rng(options.seed).permutation(judged)[: plan.most_timed_rows])
    periods = split(times[some], options.periods, options.time)
    return Timed(Copied(lambda: make(some), [sha256_of(some)]), y[some], periods, some)
