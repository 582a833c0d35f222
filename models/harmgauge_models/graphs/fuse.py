"""Joins two networks and the divergence between them in one ONNX graph, from raw instances to a score.

Everything works on ONNX graphs, so classifiers from any framework are treated alike. The divergence is computed from
log-probabilities: `y ** (1 / T)` underflows at small T and many classes, `log y / T` does not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
from onnx import TensorProto, compose, helper, inliner, parser, version_converter

from harmgauge_models.errors import UserError

Gives = Literal["logits", "probabilities"]

Loss = Literal["kld", "xent"]
"""The divergence: Kullback-Leibler, or cross-entropy."""

MIN_OPSET = 13
"""The first opset whose ReduceSum and Softmax have the meaning that the divergence needs."""


@dataclass(frozen=True)
class Network:
    """An ONNX classifier: `input` names its only input, `output` its output (n, classes).

    A second network may instead read tensors inside the classifier: `reads` pairs each of these with the input that
    receives it, and `input` is the classifier's.
    """

    model: onnx.ModelProto
    input: str
    output: str
    gives: Gives
    reads: tuple[tuple[str, str], ...] = ()


def read(path: Path) -> onnx.ModelProto:
    """Load an ONNX file, external data included, with its own functions inlined; raises UserError."""
    try:
        model = onnx.load(str(path))
        return inliner.inline_local_functions(model) if model.functions else model
    except Exception as error:  # protobuf's DecodeError and OSError share no base class
        raise UserError(f"{path} is not a readable ONNX file: {error}") from error


def fuse(classifier: Network, second: Network, loss: Loss, temperature: float) -> onnx.ModelProto:
    """One graph: `input` (n, *shape) to `score` (n,) float32 and the classifier's `probabilities` (n, classes) float32.

    `temperature` acts on the classifier's distribution in the score only. Raises UserError if the two networks are
    incompatible.
    """
    opset = max(MIN_OPSET, *(opset_of(network.model) for network in (classifier, second)))
    parts = []
    for name, network in (("classifier", classifier), ("second", second)):
        model = onnx.ModelProto()
        model.CopyFrom(at_opset(network.model, opset))
        free_rows(model, (network.input, network.output, *(name for _, name in network.reads)))
        parts.append(compose.add_prefix(model, f"{name}/"))
    _level(parts)
    divergence = parser.parse_model(divergence_text(classifier.gives, second.gives, loss, temperature, opset))
    to_second = [] if second.reads else ["to_second"]
    fork = _fork(parts[0], f"classifier/{classifier.input}", opset, ["to_classifier", *to_second])
    models = [fork, *parts, divergence]
    ir_version = max(model.ir_version for model in models)
    for model in models:
        model.ir_version = ir_version
    try:
        fused = compose.merge_models(fork, parts[0], [("to_classifier", f"classifier/{classifier.input}")])
        if second.reads:
            # The classifier's input is now an output of the fork.
            names = {classifier.input: "to_classifier"}
            reads = [(names.get(inside, f"classifier/{inside}"), f"second/{name}") for inside, name in second.reads]
            fused = _join(fused, parts[1], reads)
        else:
            fused = compose.merge_models(fused, parts[1], [("to_second", f"second/{second.input}")])
        fused = compose.merge_models(
            fused,
            divergence,
            [(f"classifier/{classifier.output}", "first"), (f"second/{second.output}", "second")],
            outputs=["score", "probabilities"],
        )
    except (ValueError, onnx.checker.ValidationError) as error:
        raise UserError(f"the two networks cannot be joined: {error}") from error
    fused.producer_name = "harmgauge"
    name_opsets_once(fused)
    fused.doc_string = ""
    return fused


def with_entropy(classifier: Network) -> onnx.ModelProto:
    """Like `fuse`, without a second network: the score is the entropy of the classifier's distribution, in nats."""
    opset = max(MIN_OPSET, opset_of(classifier.model))
    model = onnx.ModelProto()
    model.CopyFrom(at_opset(classifier.model, opset))
    free_rows(model, (classifier.input, classifier.output))
    first = compose.add_prefix(model, "classifier/")
    fork = _fork(first, f"classifier/{classifier.input}", opset, ["to_classifier"])
    entropy = parser.parse_model(entropy_text(classifier.gives, opset))
    ir_version = max(part.ir_version for part in (fork, first, entropy))
    for part in (fork, first, entropy):
        part.ir_version = ir_version
    fused = compose.merge_models(fork, first, [("to_classifier", f"classifier/{classifier.input}")])
    fused = compose.merge_models(
        fused, entropy, [(f"classifier/{classifier.output}", "first")], outputs=["score", "probabilities"]
    )
    fused.producer_name = "harmgauge"
    name_opsets_once(fused)
    fused.doc_string = ""
    return fused


def with_reader(classifier: Network, reader: Network) -> onnx.ModelProto:
    """The classifier and a second network that reads inside it, as one network with only the second's output."""
    opset = max(MIN_OPSET, opset_of(classifier.model), opset_of(reader.model))
    first = compose.add_prefix(at_opset(classifier.model, opset), "classifier/")
    second = onnx.ModelProto()
    second.CopyFrom(at_opset(reader.model, opset))
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    _level([first, second])
    free_rows(first, [f"classifier/{classifier.input}", *(value.name for value in first.graph.output)])
    joined = _join(first, second, [(f"classifier/{inside}", name) for inside, name in reader.reads])
    outputs = [value for value in joined.graph.output if value.name == reader.output]
    del joined.graph.output[:]
    joined.graph.output.extend(outputs)
    name_opsets_once(joined)
    return joined


def _level(models: Sequence[onnx.ModelProto]) -> None:
    """Give every domain except ONNX's own the highest version in all models: ONNX's tools merge only equal ones.

    In `ai.onnx.ml` only LabelEncoder changed its meaning, from version 1 to 2, and it only makes labels.
    """
    highest: dict[str, int] = {}
    for model in models:
        for entry in model.opset_import:
            highest[entry.domain] = max(entry.version, highest.get(entry.domain, 0))
    for model in models:
        for entry in model.opset_import:
            if entry.domain:
                entry.version = highest[entry.domain]


def _join(model: onnx.ModelProto, reader: onnx.ModelProto, reads: list[tuple[str, str]]) -> onnx.ModelProto:
    """Merge a network that reads tensors inside `model`; keeps the model's own outputs."""
    own = list(model.graph.output)
    types = {value.name: value for value in reader.graph.input}
    for inside, name in reads:
        if inside not in {value.name for value in own}:
            value = onnx.ValueInfoProto()
            value.CopyFrom(types[name])
            value.name = inside
            model.graph.output.append(value)
    joined = compose.merge_models(model, reader, reads)
    there = {value.name for value in joined.graph.output}
    joined.graph.output.extend(value for value in own if value.name not in there)
    return joined


def name_opsets_once(model: onnx.ModelProto) -> None:
    """List each opset once: merging repeats them, which some tools do not accept."""
    domains = {entry.domain: entry.version for entry in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in domains.items())


def divergence_text(first: Gives, second: Gives, loss: Loss, temperature: float, opset: int) -> str:
    """The divergence in ONNX's text form.

    kld: sum y ln(y / y2), both clipped to [1e-7, 1]. xent: y2 / sum(y2) clipped to [1e-7, 1 - 1e-7], then
    -sum y ln y2. y is the first network's distribution at the temperature: y ** (1 / T), renormalised.
    """
    return f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        divergence (float[n, classes] first, float[n, classes] second)
            => (float[n] score, float[n, classes] probabilities)
        {{
            {_log_probabilities("first", first)}
            {_log_probabilities("second", second)}
            probabilities = {"Softmax <axis = -1>" if first == "logits" else "Identity"} (first_32)
            temperature = Constant <value_float = {temperature!r}> ()
            log_powers = Div (log_first, temperature)
            log_y = LogSoftmax <axis = -1> (log_powers)
            low = Constant <value_float = {math.log(1e-7)!r}> ()
            classes_axis = Constant <value_ints = [-1]> ()
            {_KLD if loss == "kld" else _XENT}
        }}"""


def entropy_text(first: Gives, opset: int) -> str:
    """-sum y ln y in ONNX's text form, y clipped to [1e-7, 1]."""
    return f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        entropy (float[n, classes] first) => (float[n] score, float[n, classes] probabilities)
        {{
            {_log_probabilities("first", first)}
            probabilities = {"Softmax <axis = -1>" if first == "logits" else "Identity"} (first_32)
            low = Constant <value_float = {math.log(1e-7)!r}> ()
            zero = Constant <value_float = 0.0> ()
            classes_axis = Constant <value_ints = [-1]> ()
            ln_y = Clip (log_first, low, zero)
            y = Exp (ln_y)
            terms = Mul (y, ln_y)
            negative = ReduceSum <keepdims = 0> (terms, classes_axis)
            score = Neg (negative)
        }}"""


def _log_probabilities(name: str, gives: Gives) -> str:
    cast = f"{name}_32 = Cast <to = 1> ({name})"
    if gives == "logits":
        return f"{cast}  log_{name} = LogSoftmax <axis = -1> ({name}_32)"
    # The log of 0 is -infinity at any temperature; the log of a small constant would become a substantial share.
    return f"""{cast}
            {name}_none = Constant <value_float = 0.0> ()
            {name}_positive = Max ({name}_32, {name}_none)
            log_{name} = Log ({name}_positive)"""


_KLD = """
            zero = Constant <value_float = 0.0> ()
            ln_y = Clip (log_y, low, zero)
            ln_y2 = Clip (log_second, low, zero)
            y = Exp (ln_y)
            ln_ratio = Sub (ln_y, ln_y2)
            terms = Mul (y, ln_ratio)
            score = ReduceSum <keepdims = 0> (terms, classes_axis)"""

_XENT = f"""
            high = Constant <value_float = {math.log1p(-1e-7)!r}> ()
            log_normalised = LogSoftmax <axis = -1> (log_second)
            ln_y2 = Clip (log_normalised, low, high)
            y = Exp (log_y)
            terms = Mul (y, ln_y2)
            total = ReduceSum <keepdims = 0> (terms, classes_axis)
            score = Neg (total)"""


def _fork(model: onnx.ModelProto, name: str, opset: int, branches: list[str]) -> onnx.ModelProto:
    """Pass the raw input to each branch."""
    source = next(value for value in model.graph.input if value.name == name)
    values = []
    for new_name in ("input", *branches):
        value = onnx.ValueInfoProto()
        value.CopyFrom(source)
        value.name = new_name
        values.append(value)
    nodes = [helper.make_node("Identity", ["input"], [value.name]) for value in values[1:]]
    graph = helper.make_graph(nodes, "fork", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def opset_of(model: onnx.ModelProto) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=MIN_OPSET)


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    if opset_of(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except Exception as error:  # the converter's C++ errors are RuntimeErrors and more
        raise UserError(
            f"cannot convert a network of opset {opset_of(model)} to opset {opset} ({error}); "
            f"export both networks with opset {opset}"
        ) from error


def free_rows(model: onnx.ModelProto, names: Collection[str]) -> bool:
    """Free the first axis of these inputs and outputs; returns whether the export had fixed the number of rows."""
    fixed = False
    for value in [*model.graph.input, *model.graph.output]:
        tensor = value.type.tensor_type
        if value.name in names and tensor.elem_type != TensorProto.UNDEFINED and len(tensor.shape.dim):
            fixed |= tensor.shape.dim[0].HasField("dim_value")
            tensor.shape.dim[0].dim_param = "n"
    if fixed:
        del model.graph.value_info[:]  # the inner shapes were inferred for the fixed number
    return fixed
