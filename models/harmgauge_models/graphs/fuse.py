"""Joins two networks and the divergence between them in one ONNX graph, from raw instances to a score.

Everything works on ONNX graphs, so classifiers from any framework are treated alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper, inliner, parser, version_converter

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.divergence import MIN_OPSET, Gives, Loss, divergence_text, entropy_text
from harmgauge_models.graphs.fork import branch, fork_inputs, keep_clear_of


@dataclass(frozen=True)
class Network:
    """An ONNX classifier: `inputs` names its inputs, `output` its output (n, classes).

    If it is `named`, the fused graph has inputs of the same names; otherwise the only input of the fused graph is
    called `input`.

    A second network may instead read tensors inside the classifier: `reads` pairs each of these with the input that
    receives it, and `inputs` are the classifier's.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    output: str
    gives: Gives
    reads: tuple[tuple[str, str], ...] = ()
    named: bool = False

    @property
    def input(self) -> str:
        """The only input of a network that is not `named`."""
        (found,) = self.inputs
        return found


def read(path: Path) -> onnx.ModelProto:
    """Load an ONNX file, external data included, with its own functions inlined; raises UserError."""
    try:
        model = onnx.load(str(path))
        return inliner.inline_local_functions(model) if model.functions else model
    except Exception as error:  # protobuf's DecodeError and OSError share no base class
        raise UserError(f"{path} is not a readable ONNX file: {error}") from error


def input_names(path: Path) -> tuple[str, ...]:
    """The names of an ONNX file's inputs; raises UserError."""
    return tuple(value.name for value in _inputs(path))


def input_shapes(path: Path) -> list[tuple[int | None, ...]]:
    """The declared shapes of an ONNX file's inputs, rows included; None is an axis of any length. Raises UserError."""
    return [
        tuple(axis.dim_value if axis.dim_value > 0 else None for axis in value.type.tensor_type.shape.dim)
        for value in _inputs(path)
    ]


def _inputs(path: Path) -> list[onnx.ValueInfoProto]:
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf's DecodeError and OSError share no base class
        raise UserError(f"{path} is not a readable ONNX file: {error}") from error
    stored = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in stored]


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
        free_rows(model, (*network.inputs, network.output, *(name for _, name in network.reads)))
        parts.append(compose.add_prefix(model, f"{name}/"))
    _level(parts)
    divergence = parser.parse_model(divergence_text(classifier.gives, second.gives, loss, temperature, opset))
    keep_clear_of(divergence, classifier.inputs if classifier.named else ())
    served = served_names(classifier)
    to_second = [] if second.reads else ["to_second"]
    fork = fork_inputs(parts[0], "classifier/", served, opset, ["to_classifier", *to_second])
    models = [fork, *parts, divergence]
    ir_version = max(model.ir_version for model in models)
    for model in models:
        model.ir_version = ir_version
    try:
        fused = compose.merge_models(fork, parts[0], _branches("to_classifier", "classifier/", served))
        if second.reads:
            # The classifier's inputs are now outputs of the fork.
            names = {name: branch("to_classifier", as_name) for name, as_name in served.items()}
            reads = [(names.get(inside, f"classifier/{inside}"), f"second/{name}") for inside, name in second.reads]
            fused = _join(fused, parts[1], reads)
        else:
            of_second = dict(zip(second.inputs, served_names(second, like=classifier).values(), strict=True))
            fused = compose.merge_models(fused, parts[1], _branches("to_second", "second/", of_second))
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


def served_names(network: Network, like: Network | None = None) -> dict[str, str]:
    """The fused graph's name for each input of `network`.

    A second network `like` the classifier has inputs of the same names, or only one.
    """
    if not (like or network).named:
        return {network.input: "input"}
    if like is None or len(network.inputs) > 1:
        return {name: name for name in network.inputs}
    return {network.inputs[0]: like.inputs[0]}


def _branches(to: str, prefix: str, served: dict[str, str]) -> list[tuple[str, str]]:
    """The fork's outputs of the branch `to`, each with the input that receives it."""
    return [(branch(to, as_name), f"{prefix}{name}") for name, as_name in served.items()]


def with_entropy(classifier: Network) -> onnx.ModelProto:
    """Like `fuse`, without a second network: the score is the entropy of the classifier's distribution, in nats."""
    opset = max(MIN_OPSET, opset_of(classifier.model))
    model = onnx.ModelProto()
    model.CopyFrom(at_opset(classifier.model, opset))
    free_rows(model, (*classifier.inputs, classifier.output))
    first = compose.add_prefix(model, "classifier/")
    served = served_names(classifier)
    fork = fork_inputs(first, "classifier/", served, opset, ["to_classifier"])
    entropy = parser.parse_model(entropy_text(classifier.gives, opset))
    keep_clear_of(entropy, classifier.inputs if classifier.named else ())
    ir_version = max(part.ir_version for part in (fork, first, entropy))
    for part in (fork, first, entropy):
        part.ir_version = ir_version
    fused = compose.merge_models(fork, first, _branches("to_classifier", "classifier/", served))
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
    first = compose.add_prefix(at_opset(classifier.model, opset), "classifier/", rename_inputs=False)
    second = compose.add_prefix(at_opset(reader.model, opset), "second/", rename_outputs=False)
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    _level([first, second])
    free_rows(first, [*classifier.inputs, *(value.name for value in first.graph.output)])
    reads = [
        (inside if inside in classifier.inputs else f"classifier/{inside}", f"second/{name}")
        for inside, name in reader.reads
    ]
    joined = _join(first, second, reads)
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
