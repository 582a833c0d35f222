"""`harmgauge calibrate`: writes the next version of a bundle with what its calibration rows can add: P(wrong), and
sketches of its columns. Everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from harmgauge.bundle.load import COLUMNS_FILE, DETECTOR_FILE, DETECTOR_INT8_FILE, Bundle, load
from harmgauge.bundle.reference import MIN_REFERENCE_ROWS
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.sketches import Sketches
from harmgauge.bundle.write import reserve, write_bundle
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from harmgauge_models.calibration.estimate import why_no_estimate, with_estimate
from harmgauge_models.calibration.known import MIN_ROWS, Known, check_accuracy
from harmgauge_models.calibration.rows import read_rows
from harmgauge_models.calibration.sentences import columns_sentence
from harmgauge_models.calibration.sketches import sketches_of
from harmgauge_models.data import labels, npz_rows
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.served_rows import served_rows, tokenizer_of
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict

Part = Literal["error_probability", "columns"]
"""The parts that can be added, by their keys in the manifest."""


@dataclass(frozen=True)
class Wanted:
    """The arguments of `calibrate`; if `out` is None, the old bundle's folder of bundles is used.

    With `only`, that part is added or made again. Without, P(wrong) is, and columns are added to a bundle that has
    none.
    """

    bundle: Path
    calibration: Path
    only: Part | None = None
    accuracy: float | None = None
    out: Path | None = None
    version: str | None = None
    label: str | None = None
    seed: int = 0
    command: str = ""
    say: Callable[[str], None] = field(default=print, repr=False)

    def parts(self, bundle: Bundle) -> tuple[Part, ...]:
        """The parts that are added to the bundle or made again."""
        if self.only is not None:
            return (self.only,)
        return ("error_probability", "columns") if bundle.sketches is None else ("error_probability",)


def calibrate_bundle(wanted: Wanted) -> Path:
    """Write the bundle's next version; returns its folder. Raises UserError or BundleError."""
    bundle = load(wanted.bundle)
    manifest, parts = bundle.manifest, wanted.parts(bundle)
    if "error_probability" in parts:
        if (reason := why_no_estimate(manifest)) is not None:
            raise UserError(f"{wanted.bundle}: {reason}")
        check_accuracy(wanted.accuracy)
    elif wanted.accuracy is not None:
        raise UserError(f"--accuracy has no effect with --only {wanted.only}: leave it out")
    try:
        folder = reserve(wanted.out or _bundles(wanted.bundle, manifest.name), manifest.name, wanted.version)
    except BundleError as error:
        raise UserError(str(error)) from error
    tokenizer = tokenizer_of(bundle)
    min_rows = MIN_ROWS if "error_probability" in parts else MIN_REFERENCE_ROWS
    rows = read_rows(wanted.calibration, bundle, tokenizer, wanted.label, min_rows)
    record: dict[str, Any] = {
        "command": wanted.command,
        "calibration": npz_rows.provenance(rows),
        "seed": wanted.seed,
        "bundle_sha256": bundle.sha256,
        "harmgauge": version("harmgauge"),
    }
    contents = {name: bundle.read(name) for name in manifest.files}
    changes: dict[str, Any] = {}
    made = dict(manifest.made)
    if "error_probability" in parts:
        graphs, fits = _estimate(bundle, rows, tokenizer, wanted)
        contents |= graphs
        changes |= fits
        made["error_probability"] = record | {"stated_accuracy": wanted.accuracy}
    if "columns" in parts:
        changes["columns"] = manifest.columns or COLUMNS_FILE
        contents[changes["columns"]] = _sketches(bundle, rows, wanted).npz()
        made["columns"] = record
    write_bundle(manifest.model_copy(update={**changes, "made": made}), contents, folder, verify)
    return folder


def _bundles(bundle: Path, name: str) -> Path:
    """The folder that contains this bundle as NAME/VERSION. Raises UserError if the bundle is elsewhere."""
    above = bundle.resolve().parent
    if above.name != name:
        raise UserError(
            f"{bundle} is not in a folder {name}, where its next version belongs: choose a folder for bundles "
            "with --out"
        )
    return above.parent


def _estimate(
    bundle: Bundle, rows: Rows, tokenizer: Tokenizer | None, wanted: Wanted
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The graphs with P(wrong), by file name, and the changes of the manifest. Raises UserError."""
    manifest = bundle.manifest
    rows = labels.numbered(rows, manifest.class_names, len(manifest.class_names))
    check_accuracy(wanted.accuracy, rows.y)
    known = Known(rows.x, rows.y, wanted.accuracy)
    graph, chance = with_estimate(bundle, known, tokenizer, wanted.seed, wanted.say)
    if isinstance(chance, str):
        raise UserError(f"accuracy cannot be estimated: {chance}")
    graphs = {DETECTOR_FILE: graph}
    changes: dict[str, Any] = {"error_probability": chance}
    if manifest.int8 is not None:
        int8 = load(wanted.bundle, "int8")
        graphs[DETECTOR_INT8_FILE], chance = with_estimate(int8, known, tokenizer, wanted.seed, wanted.say)
        changes["int8"] = manifest.int8.model_copy(update={"error_probability": chance})
    return graphs, changes


def _sketches(bundle: Bundle, rows: Rows, wanted: Wanted) -> Sketches:
    """Sketches of the rows' columns, and of the classes that the bundle predicts for them."""
    served = bundle.manifest.served
    columns = RowColumns(served)
    predictions = predict(bundle.graph, rows.x, "columns", "probabilities").argmax(1)
    found = sketches_of(served_rows(rows.x, served), predictions, columns, seed=wanted.seed, say=wanted.say)
    wanted.say(columns_sentence(columns.names(found.positions.tolist())))
    return found
