"""Finds the divergence in a fused graph by its structure, whatever the names of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from harmgauge_models.errors import UserError

_TRANSPARENT = {"Cast", "Identity"}


@dataclass(frozen=True)
class Divergence:
    """`log_second` names the logarithms of the second network's probabilities, (n, classes), which need not be
    normalised; `clip` is the node that bounds them. `first` names the first network's distribution y, (n, classes).
    """

    log_second: str
    clip: onnx.NodeProto
    first: str


def find_divergence(graph: onnx.GraphProto) -> Divergence:
    """The divergence that makes `score`.

    The score is -sum y ln y2 or sum y (ln y - ln y2): one factor of its terms, y, is the output of an Exp; the other
    contains the clipped ln y2. Raises UserError if it is neither.
    """
    maker = {output: node for node in graph.node for output in node.output}

    def made_by(tensor: str) -> onnx.NodeProto | None:
        node = maker.get(tensor)
        while node is not None and node.op_type in _TRANSPARENT:
            node = maker.get(node.input[0])
        return node

    found = made_by("score")
    if found is not None and found.op_type == "Neg":
        found = made_by(found.input[0])
    terms = made_by(found.input[0]) if found is not None and found.op_type == "ReduceSum" else None
    if terms is not None and terms.op_type == "Mul":
        factors = [made_by(name) for name in terms.input]
        of_first = [node for node in factors if node is not None and node.op_type == "Exp"]
        others = [node for node in factors if node is not None and node.op_type != "Exp"]
        log = others[0] if len(others) == len(of_first) == 1 else None
        if log is not None and log.op_type == "Sub":
            log = made_by(log.input[1])
        # In an entropy, the other factor is the logarithm of y itself
        if log is not None and log.op_type == "Clip" and log.output[0] != of_first[0].input[0]:
            before = made_by(log.input[0])
            if before is not None and before.op_type in ("LogSoftmax", "Log"):
                return Divergence(log.input[0], log, of_first[0].output[0])
    raise UserError(
        "the graph has no divergence from a second network, from which P(wrong) could be computed; expected "
        "-sum y ln y2 or sum y (ln y - ln y2), as harmgauge build writes it: build the bundle again"
    )
