"""Output shapes of operators with constant inputs: ONNX Runtime computes these while it loads a graph.

Small constants can produce large ones without an explicit size: (2^14, 1) + (1, 2^14) has 2^28 numbers. Operators that
are not listed here have their first input's shape. Rough rules return one axis with the total of numbers.
"""

from __future__ import annotations

from harmgauge.bundle.graph.growth import GROWING, Rule
from harmgauge.bundle.graph.value import Call, Shape, broadcast, elements_of, whole

SEQUENCE_TENSOR_NUMBERS = 100
"""Overhead of each tensor in a sequence, counted in numbers."""

_BROADCASTING = (
    b"Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min "
    b"Mod Mul Or PRelu Pow StringConcat Sub Sum Where Xor"
).split()


def shape_of(call: Call) -> Shape | None:
    """The shape of each output, or None if it is unknown. Raises GraphRefused."""
    operator = call.node.operator
    if operator in _BROADCASTING:
        return broadcast(*(value.shape for value in call.values if value))
    if operator.startswith(b"Reduce") or operator in (b"ArgMax", b"ArgMin"):
        return _reduced(call)
    rule = GROWING.get(operator) or _RULES.get(operator)
    return rule(call) if rule else call.shape(0)


def _broadcast_pair(first: int, second: int) -> Rule:
    return lambda call: broadcast(call.shape(first), call.shape(second))


def _matmul(first: int = 0, second: int = 1) -> Rule:
    def rule(call: Call) -> Shape:
        a, b = call.shape(first), call.shape(second)
        if call.size(b"transA", 0):
            a = (*a[:-2], *a[:-3:-1])
        if call.size(b"transB", 0):
            b = (*b[:-2], *b[:-3:-1])
        rows, columns = (a[-2:-1] if len(a) > 1 else ()), (b[-1:] if len(b) > 1 else ())
        return (*broadcast(a[:-2], b[:-2]), *rows, *columns)

    return rule


def _einsum(call: Call) -> Shape | None:
    """The largest intermediate result when the operands are contracted one after another."""
    equation = call.node.attributes.get(b"equation")
    terms, _, result = equation.text.replace(b" ", b"").partition(b"->") if equation else (b"", b"", b"")
    operands = terms.split(b",")
    if b"." in terms or len(operands) != len(call.values):
        return (max(value.elements for value in call.values if value),) if any(call.values) else None
    sizes: dict[int, int] = {}
    largest, held = 1, set[int]()
    for index, letters in enumerate(operands):
        for letter, size in zip(letters, call.shape(index), strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
        later = {*b"".join(operands[index + 1 :]), *result} if index < len(operands) - 1 else {*result}
        held = {letter for letter in held | {*letters} if letter in later}
        largest = max(largest, elements_of([sizes.get(letter, 1) for letter in held]))
    if elements_of([sizes.get(letter, 1) for letter in result]) < largest:
        return (largest,)
    return tuple(sizes.get(letter, 1) for letter in result)


def _concat(call: Call) -> Shape:
    shapes = [value.shape for value in call.values if value]
    axis = call.size(b"axis", 0)
    if not shapes or not all(-len(shape) <= axis < len(shape) for shape in set(shapes)):
        return _summed(call)
    together = list(broadcast(*shapes))
    together[axis] = sum(shape[axis] for shape in shapes)
    return tuple(together)


def _summed(call: Call) -> Shape:
    return (sum(value.elements for value in call.values if value),)


def _split_to_sequence(call: Call) -> Shape:
    shape, axis = call.shape(0), call.size(b"axis", 0)
    split = call.value(1)
    if split is not None and split.shape and split.shape[0] != 1:
        pieces = split.elements
    else:
        each = (call.scalar(1) or 1) if split else 1
        pieces = shape[axis] // max(whole(each), 1) + 1 if -len(shape) <= axis < len(shape) else 1
    return (elements_of(shape) + pieces * SEQUENCE_TENSOR_NUMBERS,)


def _split(call: Call) -> Shape:
    shape, axis = list(call.shape(0)), call.size(b"axis", 0)
    if -len(shape) <= axis < len(shape):
        shape[axis] = -(-shape[axis] // max(len(call.node.outputs), 1))
    return tuple(shape)


def _gather(call: Call) -> Shape:
    data, indices, axis = call.shape(0), call.shape(1), call.size(b"axis", 0)
    axis = axis + len(data) if axis < 0 else axis
    return (*data[: max(axis, 0)], *indices, *data[axis + 1 :])


def _gather_nd(call: Call) -> Shape:
    data, indices = call.shape(0), call.shape(1)
    return (*indices[:-1], *data[call.size(b"batch_dims", 0) + (indices[-1] if indices else 0) :])


def _transpose(call: Call) -> Shape:
    shape, order = call.shape(0), call.sizes(b"perm")
    if sorted(order) != list(range(len(shape))):
        return shape[::-1]
    return tuple(shape[axis] for axis in order)


def _reshape(call: Call) -> Shape:
    shape = call.shape(0)
    sizes = call.told_sizes(1) if call.given(1) else call.sizes(b"shape")
    total = elements_of(shape)
    if not sizes:
        return () if sizes == [] and total == 1 else (total,)
    kept = [shape[axis] if size == 0 and axis < len(shape) else size for axis, size in enumerate(sizes)]
    rest = elements_of([size for size in kept if size != -1])
    made = tuple(total // rest if size == -1 else size for size in kept)
    return made if elements_of(made) == total else (total,)


def _flatten(call: Call) -> Shape:
    shape, axis = call.shape(0), call.size(b"axis", 1)
    return (elements_of(shape[:axis]), elements_of(shape[axis:]))


def _axes(call: Call, axes_of: int) -> list[int] | None:
    """The axes of `Squeeze` and similar operators, from the input or the attribute; None if there are none.

    Negative ones count from the end of `axes_of` axes.
    """
    axes = call.told_sizes(1) if call.given(1) else call.sizes(b"axes")
    return [axis + axes_of if axis < 0 else axis for axis in axes] if axes else None


def _squeeze(call: Call) -> Shape:
    shape = call.shape(0)
    axes = _axes(call, len(shape))
    return tuple(size for axis, size in enumerate(shape) if not (axis in axes if axes is not None else size == 1))


def _unsqueeze(call: Call) -> Shape:
    shape = list(call.shape(0))
    axes = call.told_sizes(1) if call.given(1) else call.sizes(b"axes")
    for axis in sorted(_axes(call, len(shape) + len(axes or ())) or ()):
        shape.insert(axis, 1)
    return tuple(shape)


def _reduced(call: Call) -> Shape:
    shape = call.shape(0)
    one = call.node.operator.startswith(b"Arg")
    axes = [call.size(b"axis", 0) % max(len(shape), 1)] if one else _axes(call, len(shape))
    if axes is None:
        axes = [] if call.size(b"noop_with_empty_axes", 0) else list(range(len(shape)))
    if call.size(b"keepdims", 1):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _slice(call: Call) -> Shape:
    """An upper bound: at most the previous length, and at most end - start if both count from the same side."""
    shape = list(call.shape(0))
    told = len(call.node.inputs) > 1
    starts, ends = (call.told_sizes(1), call.told_sizes(2)) if told else (call.sizes(b"starts"), call.sizes(b"ends"))
    axes = call.told_sizes(3) if told else call.sizes(b"axes")
    steps = call.told_sizes(4) or []
    for index, (start, end) in enumerate(zip(starts or (), ends or (), strict=False)):
        axis = axes[index] if axes and index < len(axes) else index
        step = steps[index] if index < len(steps) else 1
        if -len(shape) <= axis < len(shape) and step:
            shape[axis] = len(range(*slice(start, end, step).indices(max(shape[axis], 0))))
    return tuple(shape)


def _recurrent(call: Call) -> Shape:
    x, weights = call.shape(0), call.shape(2)
    return (*x[:1], *weights[:1], *x[1:2], *weights[-1:])


def _attention(call: Call) -> Shape:
    """The shape of the largest tensor for long sequences: the weights of each position for every other position."""
    queries, keys = call.shape(0), call.shape(1)
    length = keys[-2] if len(keys) == len(queries) > 1 else (queries[-2] if len(queries) > 1 else 1)
    heads = call.size(b"num_heads", 0) or call.size(b"q_num_heads", 1)
    return broadcast((*queries[:-2], heads if len(queries) < 4 else 1, *queries[-2:-1], length), (queries[-1:] or (1,)))


_RULES: dict[bytes, Rule] = {
    b"ArrayFeatureExtractor": lambda call: (*call.shape(0)[:-1], elements_of(call.shape(1))),
    b"Attention": _attention,
    b"Concat": _concat,
    b"ConcatFromSequence": _summed,
    b"Einsum": _einsum,
    b"EmbedLayerNormalization": lambda call: (*call.shape(0), *call.shape(2)[-1:]),
    b"Flatten": _flatten,
    b"Gather": _gather,
    b"GatherElements": lambda call: call.shape(1),
    b"GatherND": _gather_nd,
    b"GlobalAveragePool": lambda call: call.shape(0)[:2] + (1,) * len(call.shape(0)[2:]),
    b"GridSample": lambda call: (*call.shape(0)[:2], *call.shape(1)[1:-1]),
    b"MatMulNBits": lambda call: (*call.shape(0)[:-1], call.size(b"N", 1)),
    b"MultiHeadAttention": _attention,
    b"NonMaxSuppression": lambda call: (elements_of(call.shape(1)), 3),
    b"NonZero": lambda call: (len(call.shape(0)), elements_of(call.shape(0))),
    b"OneHotEncoder": lambda call: (
        *call.shape(0),
        max((call.node.attributes[name].count for name in (b"cats_int64s", b"cats_strings")
             if name in call.node.attributes), default=1),
    ),
    b"QLinearAdd": _broadcast_pair(0, 3),
    b"QLinearConcat": _summed,
    b"QLinearMul": _broadcast_pair(0, 3),
    b"QLinearWhere": lambda call: broadcast(call.shape(0), call.shape(1), call.shape(4)),
    b"Reshape": _reshape,
    b"SequenceConstruct": _summed,
    b"SequenceInsert": _summed,
    b"Shape": lambda call: (len(call.shape(0)),),
    b"Size": lambda _: (),
    b"Slice": _slice,
    b"Split": _split,
    b"SplitToSequence": _split_to_sequence,
    b"Squeeze": _squeeze,
    b"StringSplit": lambda call: (*call.shape(0), max((value.item_bytes for value in call.values if value), default=1)),
    b"Transpose": _transpose,
    b"Unsqueeze": _unsqueeze,
    **dict.fromkeys(b"GRU LSTM RNN".split(), _recurrent),
    **dict.fromkeys(
        b"DynamicQuantizeMatMul FusedGemm FusedMatMul Gemm MatMul MatMulInteger MatMulIntegerToFloat".split(), _matmul()
    ),
    **dict.fromkeys((b"QGemm", b"QLinearMatMul"), _matmul(0, 3)),
}  # fmt: skip


def item_bytes_of(call: Call, cast_to: int) -> int:
    """The width of one number of the output; for strings, the largest size."""
    node = call.node
    widths = [value.item_bytes if value else 1 for value in call.values] or [8]
    match node.operator:
        case b"Cast":
            return cast_to
        case b"Shape" | b"Size" | b"NonZero" | b"ArgMax" | b"ArgMin":
            return 8
        case b"ConstantOfShape":
            value = node.attributes.get(b"value")
            return value.tensor.item_bytes if value and value.tensor else 4
        case b"OneHot":
            return widths[2] if len(widths) > 2 else 4
        case b"Equal" | b"Greater" | b"GreaterOrEqual" | b"Less" | b"LessOrEqual" | b"IsNaN" | b"IsInf":
            return 1
        case b"StringConcat":
            return sum(widths)
        case b"MatMulInteger" | b"ConvInteger" | b"FeatureVectorizer" | b"OneHotEncoder" | b"TfIdfVectorizer":
            return 4
        case b"Gather" | b"GatherND" | b"GatherElements" | b"TopK" | b"Reshape" | b"Slice" | b"Unsqueeze" | b"Squeeze":
            return widths[0]
        case _ if node.operator in GROWING:
            return widths[0]
        case _:
            return max(widths)
