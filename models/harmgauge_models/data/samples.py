"""Sample instances for a bundle, clean and corrupted, for the demo and for viewing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict

SHOWN = 9


@dataclass(frozen=True)
class Samples:
    """`arrays` holds at least `clean` and `corrupted`, both (n, *shape) in the bundle's dtype."""

    arrays: dict[str, Array]


def read(path: Path, spec: InputSpec) -> Samples:
    """Read an `.npz` file of samples; raises UserError if it does not fit the input."""
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--samples {path} is not a readable .npz file ({error})") from error
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
