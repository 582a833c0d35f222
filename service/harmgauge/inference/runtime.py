"""Runs the graph in ONNX Runtime: one session, which any number of threads may run at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.probe_row import longest_rows, probe_rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import BundleError
from harmgauge.inference import providers as execution
from harmgauge.inference.length_groups import length_groups, row_lengths
from harmgauge.inference.outputs import Outputs, RowShapes, check_shapes, empty_outputs, place_rows
from harmgauge.inference.padded_batches import FixedSizes, batch_sizes
from harmgauge.inference.providers import CPU, CUDA, Providers, usable_cores

MAX_BATCH_ROWS_CPU = 32
"""Larger batches did not increase the throughput of a core."""

MAX_BATCH_ROWS_GPU = 256

OUTPUT_TYPE = "tensor(float)"
"""ONNX Runtime's name for float32."""

_TYPES = {"float32": "float", "float64": "double"}
"""ONNX Runtime's names, if they differ from NumPy's."""


_DECIDING = tuple(b"\x22" + bytes([len(name)]) + name for name in (b"Loop", b"Scan", b"If", b"SequenceMap"))
"""Operators whose values decide how much runs, as `op_type` in an ONNX file."""


def decides_by_values(graph: bytes) -> bool:
    """Whether values may decide how long a run takes; true by chance for a few other graphs."""
    return any(operator in graph for operator in _DECIDING)


def verify(bundle: Bundle) -> None:
    """Run the bundle's graph on the CPU. Raises BundleError if it does not match the manifest."""
    OnnxRuntime(bundle, "cpu")


class OnnxRuntime:
    """A session for the bundle's graph, probed and warmed up.

    On CPUs a run uses one thread, the caller's. Measured with the shipped bundle on two cores: parallel runs scored
    1,716 images a second one by one and 1,781 in batches of 32; one run on both cores 1,106 and 1,589; one core 897. On
    a GPU batches are padded to a few sizes, with a session for each. With `features`, runs return them if the bundle
    has them. `reached` is called with the next step, as a number of rows: 0 for loading the graph, then each probe.
    Raises BundleError if the graph does not match the manifest, SettingsError if the requested provider is not
    available.
    """

    def __init__(
        self,
        bundle: Bundle,
        providers: Providers = "auto",
        max_batch_rows: int | None = None,
        *,
        features: bool = True,
        reached: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._reached = reached
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # a failed run raises its error, and would log it as well
        # check_graph has read the graph as ONNX, so it must not be loaded as anything else.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        sizes = batch_sizes(max_batch_rows or MAX_BATCH_ROWS_GPU)
        reached(0)
        wanted = execution.wanted(providers, bundle, sizes)
        self._session = _session(bundle, options, wanted)
        self.providers: Sequence[str] = self._session.get_providers()
        execution.check_in_use(providers, self.providers)
        on_cpu = self.providers[0] == CPU
        self.default_workers = usable_cores() if on_cpu else 1
        self.max_batch_rows = max_batch_rows or (MAX_BATCH_ROWS_CPU if on_cpu else MAX_BATCH_ROWS_GPU)
        self._served, self._reference = bundle.manifest.served, bundle.reference
        served = self._served
        self._name = served.names[0] if isinstance(served, NamedInputs) else served.name
        self.shapes = _row_shapes(self._session, bundle, features=features)
        self.is_steady = on_cpu and isinstance(served, InputSpec) and not decides_by_values(bundle.graph)
        self._fixed: FixedSizes | None = None
        self._is_ready = False
        if on_cpu or not isinstance(served, InputSpec):
            self._probe(bundle, (1, self.max_batch_rows))
        else:
            sessions = dict.fromkeys(sizes, self._session)
            if self.providers[0] == CUDA:  # TensorRT plans all sizes in one session
                sessions |= {size: _session(bundle, options, wanted) for size in sizes[1:]}
            self._fixed = FixedSizes(sessions, served, self.shapes, "cuda")
            self._probe(bundle, sizes)
        self._is_ready = True

    def run(self, rows: AnyRows) -> Outputs:
        """The outputs for these rows; named ones run in groups of similar length."""
        if isinstance(rows, NamedRows):
            return self._run_named(rows)
        if self._fixed is not None:
            return self._fixed.run(rows)
        values = self._session.run(list(self.shapes), {self._name: rows})
        return Outputs(**dict(zip(self.shapes, values, strict=True)))

    def probe(self, rows: int) -> AnyRows:
        """Rows, in this number, on which the graph is known to run."""
        return probe_rows(self._served, self._reference, rows)

    def _run_named(self, rows: NamedRows) -> Outputs:
        assert isinstance(self._served, NamedInputs)
        lengths = row_lengths(self._served, rows) if len(rows) > 1 else None
        groups = [] if lengths is None else list(length_groups(lengths, can_pad=self._served.pads is not None))
        if len(groups) < 2:
            return self._run_together(rows)
        outputs = empty_outputs(len(rows), self.shapes)
        for group in groups:
            found = self._run_together(rows[group])
            check_shapes(found, len(group), self.shapes)
            place_rows(found, outputs, group)
        return outputs

    def _run_together(self, rows: NamedRows) -> Outputs:
        assert isinstance(self._served, NamedInputs)
        feeds = self._served.feeds(rows)
        try:
            values = self._session.run(list(self.shapes), feeds)
        except Exception as error:
            if self._is_ready and any(array.dtype.kind == "O" for array in feeds.values()):
                # Its message may quote a client's string, and is logged.
                raise RuntimeError(f"ONNX Runtime raised {type(error).__name__} on rows of strings") from None
            raise
        return Outputs(**dict(zip(self.shapes, values, strict=True)))

    def _probe(self, bundle: Bundle, sizes: Sequence[int]) -> None:
        """Run each of these batch sizes: this shows that the graph works, and warms it up."""
        for count in sizes:
            self._reached(count)
            try:
                if count == 1 and isinstance(self._served, NamedInputs) and self._served.maximum is not None:
                    self._run_together(longest_rows(self._served, self._reference, self._served.maximum))
                outputs = self.run(self.probe(count))
            except Exception as error:
                raise BundleError(
                    f"{bundle.path}: the graph fails on {count} rows ({_one_line(error)}): build the bundle again, or "
                    "lower HARMGAUGE_MAX_BATCH_ROWS if memory ran out"
                ) from error
            try:
                check_shapes(outputs, count, self.shapes)
            except RuntimeError as error:
                raise BundleError(f"{bundle.path}: {error}") from error
            if not np.isfinite(outputs.score).all():
                raise BundleError(
                    f"{bundle.path}: the score of the trial row is {outputs.score[0]}; expected a finite number: build "
                    "the bundle again, with calibration rows like those that the service will get"
                )
            chances = outputs.error_probability
            if chances is not None and not ((chances >= 0) & (chances <= 1)).all():
                raise BundleError(
                    f"{bundle.path}: the error probability of the trial row is {chances[0]}; expected a number in "
                    "0 .. 1: build the bundle again"
                )


def _session(bundle: Bundle, options: ort.SessionOptions, wanted: list[Any]) -> ort.InferenceSession:
    """Raises BundleError."""
    try:
        return ort.InferenceSession(bundle.graph, options, providers=wanted)
    except Exception as error:  # ONNX Runtime's errors share no base class below Exception
        raise BundleError(f"{bundle.path}: ONNX Runtime rejects the graph: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _type_of(found: Input) -> str:
    return f"tensor({_TYPES.get(found.dtype, found.dtype)})"


def _row_shapes(session: ort.InferenceSession, bundle: Bundle, *, features: bool) -> RowShapes:
    """The outputs requested from the graph; raises BundleError if it does not match the manifest."""
    types, due = {node.name: node.type for node in session.get_inputs()}, bundle.manifest.inputs
    if types.keys() != {found.name for found in due}:
        raise BundleError(
            f"{bundle.path}: the graph has the inputs {list(types)}; expected only "
            f"{', '.join(repr(found.name) for found in due)}, as bundle.json says"
        )
    for found in due:
        if types[found.name] != (expected := _type_of(found)):
            raise BundleError(
                f"{bundle.path}: the graph's input {found.name!r} is a {types[found.name]}; expected {expected}, "
                f"because bundle.json says {found.dtype}: build the bundle again"
            )
    classes = len(bundle.manifest.class_names)
    shapes: RowShapes = {"score": (), "probabilities": (classes,)}
    if bundle.manifest.features is not None and features:
        shapes["features"] = (bundle.manifest.features.width,)
    if bundle.error_probability is not None:
        shapes["error_probability"] = ()
    given = {node.name: node.type for node in session.get_outputs()}
    missing = set(shapes) - set(given)
    if missing:
        raise BundleError(
            f"{bundle.path}: the graph lacks {', '.join(sorted(missing))}, which bundle.json declares: build the "
            "bundle again"
        )
    if "corrected_probabilities" in given:
        shapes["corrected_probabilities"] = (classes,)
    for name in shapes:
        if given[name] != OUTPUT_TYPE:
            raise BundleError(
                f"{bundle.path}: the graph's output {name} is a {given[name]}; expected {OUTPUT_TYPE}: build the "
                "bundle again, or cast the output to float32"
            )
    return shapes
