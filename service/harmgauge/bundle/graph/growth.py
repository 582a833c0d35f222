"""Operators whose output size is determined by an input or an attribute: a few bytes can request terabytes.

Each rule returns the output shape. An unknown input counts as one number, so the rules also hold for tensors that
arrive with a request; None means an unknown size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harmgauge.bundle.graph.value import BEYOND, Call, Number, Shape, broadcast, elements_of, whole

Rule = Callable[[Call], Shape | None]

_CHANNEL_AXES = 2


def _told_by(index: int) -> Rule:
    def rule(call: Call) -> Shape | None:
        sizes = call.told_sizes(index)
        return None if sizes is None else tuple(sizes)

    return rule


def _range(call: Call) -> Shape | None:
    limit = call.scalar(1)
    if limit is None:
        return None
    start, delta = call.scalar(0) or 0, call.scalar(2)
    span = limit - start
    if delta is None:
        return (max(whole(span), 0),)
    if not delta:
        return None
    steps = -(-span // delta) if isinstance(span, int) and isinstance(delta, int) else span / delta
    return (max(whole(steps), 0),)


def _expand(call: Call) -> Shape | None:
    sizes = call.told_sizes(1)
    return None if sizes is None else broadcast(call.shape(0), tuple(sizes))


def _tile(call: Call) -> Shape | None:
    repeats, shape = call.told_sizes(1), call.shape(0)
    if repeats is None:
        return None
    if len(shape) != len(repeats):
        return (elements_of(shape), *repeats)
    return tuple(size * repeat for size, repeat in zip(shape, repeats, strict=True))


def _one_hot(call: Call) -> Shape | None:
    depth, shape = call.scalar(1), list(call.shape(0))
    if depth is None:
        return None
    axis = call.size(b"axis", -1)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, whole(depth))
    return tuple(shape)


def _pad(call: Call) -> Shape | None:
    pads = call.told_sizes(1) if call.given(1) else call.sizes(b"pads") or call.sizes(b"paddings")
    if pads is None:
        return None
    grown, shape, axes = _grown(pads), call.shape(0), call.told_sizes(3)
    if axes is None:
        axes = list(range(len(grown)))
    return _changed(shape, axes, grown, lambda size, more: size + more)


def _resize(call: Call) -> Shape | None:
    shape, axes = call.shape(0), call.sizes(b"axes")
    scales: Sequence[Number] | None = call.attribute(b"scales")
    if not scales:
        scales = call.told(1 if call.node.operator == b"Upsample" or len(call.values) == 2 else 2)
    if scales:
        return _changed(shape, axes or range(len(scales)), scales, _scaled)
    sizes = call.told_sizes(3)
    if not sizes:
        return None
    policy = call.node.attributes.get(b"keep_aspect_ratio_policy")
    axes = axes or list(range(len(sizes)))
    if policy and policy.text == b"not_smaller" and all(-len(shape) <= axis < len(shape) for axis in axes):
        scale = max(size / max(shape[axis], 1) for axis, size in zip(axes, sizes, strict=False))
        return _changed(shape, axes, [scale] * len(axes), _scaled)
    return _changed(shape, axes, sizes, lambda _, told: whole(told))


def _center_crop_pad(call: Call) -> Shape | None:
    sizes = call.told_sizes(1)
    axes = call.sizes(b"axes")
    return None if sizes is None else _changed(call.shape(0), axes or range(len(sizes)), sizes, lambda _, told: told)


def _conv(call: Call) -> Shape | None:
    """Convolutions and pools: padding makes them grow, and the weights determine the number of channels."""
    weights = call.shape(3 if call.node.operator == b"QLinearConv" else 1)
    pooled = call.node.operator.endswith(b"Pool")
    pads = _grown(call.sizes(b"pads"))
    kernel = call.sizes(b"kernel_shape") or list(weights[_CHANNEL_AXES:]) or [1] * len(pads)
    shape = call.shape(0) or (1, 1) + (1,) * len(kernel)
    strides, dilations = call.sizes(b"strides"), call.sizes(b"dilations")
    spatial = []
    for axis, size in enumerate(shape[_CHANNEL_AXES:]):
        window = _at(dilations, axis, 1) * (_at(kernel, axis, 1) - 1)
        spatial.append(max(size + _at(pads, axis, 0) - window - 1, 0) // max(_at(strides, axis, 1), 1) + 1)
    channels = shape[1:2] if pooled else weights[:1]
    return (*shape[:1], *channels, *spatial)


def _conv_transpose(call: Call) -> Shape | None:
    weights, told = call.shape(1), call.sizes(b"output_shape")
    kernel = call.sizes(b"kernel_shape") or list(weights[_CHANNEL_AXES:]) or [1] * len(told)
    shape = call.shape(0) or (1, 1) + (1,) * len(kernel)
    strides, dilations = call.sizes(b"strides"), call.sizes(b"dilations")
    pads, more = call.sizes(b"pads"), call.sizes(b"output_padding")
    spatial = []
    for axis, size in enumerate(shape[_CHANNEL_AXES:]):
        window = _at(dilations, axis, 1) * (_at(kernel, axis, 1) - 1)
        cut = _at(pads, axis, 0) + _at(pads, axis + len(pads) // 2, 0)
        spatial.append(_at(strides, axis, 1) * (size - 1) + window + 1 + _at(more, axis, 0) - cut)
    if told:
        spatial = told[-len(spatial) :] if spatial else told
    channels = weights[1] * call.size(b"group", 1) if len(weights) > 1 else 1
    return (*shape[:1], channels, *spatial)


def _max_unpool(call: Call) -> Shape | None:
    if call.given(2):
        sizes = call.told_sizes(2)
        return None if sizes is None else tuple(sizes)
    kernel, strides = call.sizes(b"kernel_shape"), call.sizes(b"strides")
    shape = call.shape(0) or (1, 1) + (1,) * len(kernel)
    spatial = shape[_CHANNEL_AXES:]
    return shape[:2] + tuple(
        _at(strides, axis, 1) * (size - 1) + _at(kernel, axis, 1) for axis, size in enumerate(spatial)
    )


def _col2im(call: Call) -> Shape | None:
    image, block, shape = call.told_sizes(1), call.told_sizes(2), call.shape(0)
    if image is None:
        return None
    channels = shape[1] // max(elements_of(block or ()), 1) if len(shape) > 1 else 1
    return (*shape[:1], channels, *image)


def _dft(call: Call) -> Shape | None:
    length = call.scalar(1)
    shape = call.shape(0)
    axis = call.scalar(2) if call.given(2) else call.size(b"axis", 1 if not shape else min(1, len(shape) - 1))
    if length is None or axis is None:
        return (*shape, 2) if shape and shape[-1] == 1 else None
    return (*_changed(shape, [whole(axis)], [length], lambda _, told: whole(told)), 2)


def _stft(call: Call) -> Shape | None:
    step, signal = call.scalar(1), call.shape(0)
    length = call.scalar(3) if call.given(3) else (call.shape(2) or (None,))[0]
    if step is None or length is None or len(signal) < 2 or step <= 0:
        return None
    frames = max(whole((signal[1] - length) / step) + 1, 0)
    return (signal[0], frames, whole(length), 2)


def _mel(call: Call) -> Shape | None:
    bins, length = call.scalar(0), call.scalar(1)
    if bins is None and length is None:
        return None
    return (whole(length or 0) // 2 + 1, whole(bins or 1))


def _affine_grid(call: Call) -> Shape | None:
    sizes = call.told_sizes(1)
    return None if sizes is None else (*sizes[:1], *sizes[2:], len(sizes) - 2)


def _roi(call: Call) -> Shape | None:
    pooled = call.sizes(b"pooled_shape") or [call.size(b"output_height", 1), call.size(b"output_width", 1)]
    return (*call.shape(1)[:1], *call.shape(0)[1:2], *pooled)


def _by_attribute(name: bytes, which: str) -> Rule:
    """Operators of ai.onnx.ml whose number of columns follows from an attribute: its size, its total, or its largest
    value.
    """

    def rule(call: Call) -> Shape | None:
        attribute = call.node.attributes.get(name)
        if attribute is None:
            return None
        columns = {"size": attribute.largest, "largest": attribute.largest + 1, "total": attribute.total}[which]
        return (*call.shape(0)[:1], columns)

    return rule


def _random(call: Call) -> Shape | None:
    return tuple(call.sizes(b"shape"))


def _multinomial(call: Call) -> Shape | None:
    return (*call.shape(0)[:1], call.size(b"sample_size", 1))


GROWING: dict[bytes, Rule] = {
    b"AffineGrid": _affine_grid,
    b"BlackmanWindow": _told_by(0),
    b"CastMap": _by_attribute(b"max_map", "size"),
    b"CenterCropPad": _center_crop_pad,
    b"Col2Im": _col2im,
    b"ConstantOfShape": _told_by(0),
    b"ConvTranspose": _conv_transpose,
    b"DFT": _dft,
    b"Expand": _expand,
    b"FeatureVectorizer": _by_attribute(b"inputdimensions", "total"),
    b"HammingWindow": _told_by(0),
    b"HannWindow": _told_by(0),
    b"LinearRegressor": _by_attribute(b"targets", "size"),
    b"MaxRoiPool": _roi,
    b"MaxUnpool": _max_unpool,
    b"MelWeightMatrix": _mel,
    b"Multinomial": _multinomial,
    b"OneHot": _one_hot,
    b"Pad": _pad,
    b"RandomNormal": _random,
    b"RandomUniform": _random,
    b"Range": _range,
    b"Resize": _resize,
    b"RoiAlign": _roi,
    b"STFT": _stft,
    b"TfIdfVectorizer": _by_attribute(b"ngram_indexes", "largest"),
    b"Tile": _tile,
    b"TreeEnsemble": _by_attribute(b"n_targets", "size"),
    b"TreeEnsembleRegressor": _by_attribute(b"n_targets", "size"),
    b"Upsample": _resize,
    **dict.fromkeys(
        b"AveragePool Conv ConvInteger FusedConv LpPool MaxPool QLinearAveragePool QLinearConv".split(), _conv
    ),
}


def _at(numbers: Sequence[int], index: int, default: int) -> int:
    return numbers[index] if index < len(numbers) else default


def _grown(pads: Sequence[int]) -> list[int]:
    """The growth of each axis; `pads` lists all beginnings, then all ends."""
    half = len(pads) // 2
    return [max(begin, 0) + max(end, 0) for begin, end in zip(pads[:half], pads[half:], strict=False)]


def _changed(
    shape: Shape, axes: Sequence[int], numbers: Sequence[Number], change: Callable[[int, Number], Number]
) -> Shape:
    """The shape with the change applied to some axes, each with its number; an unknown axis has length 1."""
    known = list(shape) or [1] * len(numbers)
    for axis, number in zip(axes, numbers, strict=False):
        if not -len(known) <= axis < len(known):
            return (BEYOND,) if shape else tuple(whole(change(1, number)) for number in numbers)
        known[axis] = whole(change(known[axis], number))
    return tuple(known)


def _scaled(size: int, scale: Number) -> Number:
    return size * scale
