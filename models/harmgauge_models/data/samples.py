"""Sample instances for a bundle, clean and corrupted, for the demo and for viewing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.served_rows import texts_in
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.inputs import fit_records
from harmgauge_models.graphs.records import TEXT, make_records, row_lengths
from harmgauge_models.graphs.run import predict

SHOWN = 9


@dataclass(frozen=True)
class Samples:
    """`arrays` holds at least `clean` and `corrupted`, both (n, *shape) in the bundle's dtype, or `clean.NAME` and
    `corrupted.NAME` for each input.
    """

    arrays: dict[str, Array]


def read(path: Path, inputs: Sequence[Input], spec: InputSpec | None, tokenizer: Tokenizer | None) -> Samples:
    """Read an `.npz` file of samples: `clean` and `corrupted`, or without a `spec` `clean.NAME` and `corrupted.NAME`
    for each of `inputs`. With a tokenizer, and for one input of strings, `clean` and `corrupted` are texts.

    Raises UserError if it does not fit the inputs.
    """
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--samples {path} is not a readable .npz file ({error})") from error
    if spec is None:
        return _named(path, arrays, inputs, tokenizer)
    missing = {"clean", "corrupted"} - set(arrays)
    if missing:
        raise UserError(
            f"--samples {path} lacks {' and '.join(sorted(missing))}; expected clean and corrupted instances"
        )
    for name in ("clean", "corrupted"):
        given = arrays[name]
        if given.shape[1:] != spec.shape or given.dtype != spec.numpy_dtype or not len(given):
            raise UserError(
                f"--samples {path}: {name} is {given.dtype} {given.shape}; expected {spec.dtype} (n, *{spec.shape})"
            )
    if len(arrays["clean"]) != len(arrays["corrupted"]):
        raise UserError(
            f"--samples {path}: clean and corrupted must hold the same instances, before and after corruption"
        )
    return Samples(arrays)


def _named(path: Path, arrays: dict[str, Array], inputs: Sequence[Input], tokenizer: Tokenizer | None) -> Samples:
    found: dict[str, Array] = {}
    for part in ("clean", "corrupted"):
        own = {name.removeprefix(f"{part}."): array for name, array in arrays.items() if name.startswith(f"{part}.")}
        if part in arrays and (tokenizer is not None or len(inputs) == 1):
            own = {TEXT if tokenizer is not None else inputs[0].name: arrays[part]}
        if not own:
            raise UserError(
                f"--samples {path} has neither {part}.{inputs[0].name} nor {part}; expected an array for each input, "
                f"called {part}.NAME"
            )
        rows = make_records(own)
        if tokenizer is not None:
            rows = tokenizer.records(texts_in(rows, f"--samples {path}"))
        rows = fit_records(rows, inputs, f"--samples {path}")
        lengths = row_lengths(rows)
        for taken in inputs:
            values = rows[taken.name]
            longest = values.shape[1] if lengths is None else int(lengths.max())
            kept = values[:, :longest] if None in taken.shape else values
            found[f"{part}.{taken.name}"] = kept.astype(np.str_) if taken.is_text else kept
    names = [taken.name for taken in inputs]
    if not len(found[f"clean.{names[0]}"]) or len({len(values) for values in found.values()}) > 1:
        raise UserError(
            f"--samples {path}: clean and corrupted must hold the same instances, before and after corruption"
        )
    return Samples({**found, **{name: arrays[name] for name in ("y", "kinds") if name in arrays}})


def draw(
    samples: Samples, spec: InputSpec, graph: bytes, threshold: float, class_names: tuple[str, ...]
) -> dict[str, bytes]:
    """Draw the PNG files of the bundle's `report/`.

    `samples.png`: the first images, clean above and corrupted below, with score, flag (red) and prediction.
    `clean.png`, `corrupted.png`: the image with the highest corrupted score, before and after, in the service's input
    format, for sending by hand.
    """
    shown = {name: samples.arrays[name][:SHOWN] for name in ("clean", "corrupted")}
    scores = {name: predict(graph, instances, "samples", "score") for name, instances in shown.items()}
    worst = int(scores["corrupted"].argmax())
    figure = Figure(figsize=(1.35 * SHOWN, 3.9))
    axis = figure.add_axes((0, 0, 1, 1))  # one axis for all: separate axes take a second to lay out
    files: dict[str, bytes] = {}
    for bottom, (name, instances) in zip((1.42, 0.06), shown.items(), strict=True):
        predictions = predict(graph, instances, "samples", "probabilities").argmax(1)
        for column, (instance, score, prediction) in enumerate(zip(instances, scores[name], predictions, strict=True)):
            picture = _picture(instance, spec).convert("RGB")
            width, height = (0.94 * side / max(picture.size) for side in picture.size)
            left = column + (1 - width) / 2
            axis.imshow(picture, extent=(left, left + width, bottom, bottom + height), aspect="auto")
            color = "tab:red" if score > threshold else "black"
            text = f"{class_names[prediction]}\n{score:.3f}"
            axis.text(column + 0.5, bottom + 0.97, text, color=color, fontsize=10, ha="center", va="bottom")
        files[f"{name}.png"] = _png(_picture(instances[worst], spec))
    axis.set_axis_off()
    axis.set(xlim=(0, SHOWN), ylim=(0, 3.9 / 1.35))
    figure.suptitle(f"Prediction and harmfulness score, clean and corrupted; red: above {threshold:.3g}", fontsize=11)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=80, metadata={"Software": None})
    return {**files, "samples.png": image.getvalue()}


def _picture(instance: Array, spec: InputSpec) -> Image.Image:
    assert spec.image is not None
    pixels = spec.to_pixels(instance[None])[0]
    return Image.fromarray(pixels[:, :, 0] if spec.image.mode == "L" else pixels).convert(spec.image.mode)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
