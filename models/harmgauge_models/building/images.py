"""How images become rows of a classifier, from the options of `build`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harmgauge.bundle.image_spec import MODES, ImageSpec
from harmgauge.bundle.part import Dtype
from harmgauge.bundle.resizing import Size
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data import image_folder, npz_rows
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.pictures import image_layout, input_spec
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import input_shapes
from harmgauge_models.graphs.pixels import Normalisation
from harmgauge_models.options import Options

SCALE = 1 / 255
"""torchvision's, whose mean and std are those of pixels in 0..1."""

_AS_THEY_ARE = Normalisation(1.0)

_ROUNDING = 1e-3
"""How far a normalised value may exceed those of black and white."""


@dataclass(frozen=True)
class Images:
    """The options about images. `normalisation` is None if none is asked for."""

    options: Options
    normalisation: Normalisation | None

    @classmethod
    def of(cls, options: Options) -> Images:
        """Read the options."""
        scale, mean, std = options.scale, options.mean, options.std
        if scale is None and mean is None and std is None:
            return cls(options, None)
        return cls(options, Normalisation(SCALE if scale is None else scale, mean, std))

    @property
    def are_asked_for(self) -> bool:
        """Whether any option is about images."""
        return self.normalisation is not None or self.options.resize is not None or self.options.crop is not None

    def read(self, path: Path, role: str, min_rows: int, names: tuple[str, ...]) -> Rows:
        """Rows of a file or, as pixels in the classifier's layout, of a folder of images. Raises UserError."""
        if not path.is_dir():
            return npz_rows.read(path, role, min_rows, self.options.label, names)
        shape = self._shape(path)
        found = image_folder.read(path, self._spec(shape), _size(shape))
        if len(found.pixels) < min_rows:
            raise UserError(f"{path} holds {len(found.pixels)} {role} images; expected at least {min_rows}")
        is_hwc = image_layout(shape) == "HWC"
        x = found.pixels if is_hwc else np.ascontiguousarray(found.pixels.transpose(0, 3, 1, 2))
        return Rows(path, x, None, found.names, found.sha256)

    def in_graph(self, x: Array) -> tuple[Normalisation, Literal["HWC", "CHW"]] | None:
        """The normalisation that goes into the graph, where it is exact: that of rows of pixels."""
        layout = image_layout(x.shape[1:])
        if not self.are_asked_for:
            return None
        if layout is None:
            raise UserError(
                f"the rows are {x.dtype} {x.shape}, which are not images: leave out --mean, --std, --scale, --resize "
                "and --crop"
            )
        if x.dtype != np.uint8 or self.normalisation is None:
            return None
        self._spec(x.shape[1:], self.normalisation)
        return self.normalisation, layout

    def spec(self, x: Array, dtype: Dtype) -> InputSpec:
        """The service's input for normal rows `x` (n, *shape) in the classifier's `dtype`. Raises UserError."""
        found = input_spec(x, dtype)
        if not self.are_asked_for:
            return found
        if dtype != "uint8" and self.normalisation is not None:
            image = self._spec(found.shape, self.normalisation)
            least, most = float(image.black.min()), float(image.white.max())
            _check_normalised(x, least, most, image)
            margin = _ROUNDING * (most - least)
            return InputSpec(dtype=dtype, shape=found.shape, minimum=least - margin, maximum=most + margin, image=image)
        if found.image is None:
            raise UserError(
                "the rows are neither pixels nor numbers in 0..1 or 0..255: describe how pixels become such numbers "
                "with --scale, --mean and --std"
            )
        image = self._spec(found.shape, Normalisation(found.image.scale))
        return found.model_copy(update={"image": image})

    def _spec(self, shape: tuple[int, ...], how: Normalisation = _AS_THEY_ARE) -> ImageSpec:
        """Raises UserError if the options contradict each other or the classifier's `shape`."""
        layout, size = image_layout(shape), _size(shape)
        assert layout is not None
        options = self.options
        crop = options.crop
        if crop is not None and crop != size:
            raise UserError(
                f"--crop {crop[0]}x{crop[1]}: the classifier takes images of {size[0]} x {size[1]} pixels (width x "
                "height)"
            )
        if options.resize is not None:
            crop = size
        short = crop[0] if crop is not None and crop[0] == crop[1] else crop
        try:
            return ImageSpec(
                mode=MODES[shape[2 if layout == "HWC" else 0]],
                layout=layout,
                scale=how.scale,
                mean=how.mean,
                std=how.std,
                resize=options.resize,
                filter=options.resize_filter,
                crop=short,
            )
        except ValueError as error:
            raise UserError(f"--mean, --std, --resize, --crop: {_reason(error)}") from error

    def _shape(self, folder: Path) -> tuple[int, int, int]:
        """The shape of a row of the classifier. Raises UserError unless it takes images of a known size."""
        options = self.options
        shapes = input_shapes(options.classifier)
        only = shapes[0][1:] if len(shapes) == 1 and shapes[0] else ()
        if len(only) == 3 and None in only and options.crop is not None:
            width, height = options.crop
            chw = (only[0], height, width) if only[0] in MODES else (height, width, only[2])
            only = tuple(given if given is not None else size for given, size in zip(only, chw, strict=True))
        if image_layout(tuple(size or 0 for size in only)) is None or None in only:
            raise UserError(
                f"{folder} is a folder of images, but {options.classifier} takes rows of {list(only)}: expected three "
                "axes, of which one has 1 or 3 channels; if height and width are free, set them with --crop"
            )
        first, second, third = (size or 0 for size in only)
        return first, second, third


def _size(shape: tuple[int, ...]) -> Size:
    height, width = shape[:2] if image_layout(shape) == "HWC" else shape[1:]
    return width, height


def _check_normalised(x: Array, least: float, most: float, image: ImageSpec) -> None:
    """Raises UserError for rows that are not normalised in this way."""
    found_least, found_most = float(x.min()), float(x.max())
    margin = _ROUNDING * (most - least)
    if found_least < least - margin or found_most > most + margin:
        raise UserError(
            f"the rows have values from {found_least:.4g} to {found_most:.4g}, but with this --scale, --mean and --std "
            f"black to white is {least:.4g} to {most:.4g}: check the three, or save the rows as 8-bit pixels"
        )
    if image.mean is not None and least < 0 <= found_least:
        raise UserError(
            "the rows have no negative values, so they are not normalised yet: save them as 8-bit pixels (uint8), and "
            "the normalisation is put into the graph"
        )


def _reason(error: ValueError) -> str:
    """The message of pydantic's first error, without its frame."""
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if errors is not None else str(error)
