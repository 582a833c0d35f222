"""`bundle.json` of version 0.1, which stays supported: read, and converted to schema 2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from harmgauge.bundle.inputs import Input, Pictures, Preparation
from harmgauge.bundle.manifest import DriftSpec, FeaturesSpec, FileSpec, Int8Spec, Manifest, ThresholdSpec
from harmgauge.bundle.part import Dtype, Name, Part

NO_ERROR_PROBABILITY = "built by harmgauge 0.1, which fitted no estimate of accuracy: run harmgauge calibrate"


_UNCHANGED = (
    "name", "version", "class_names", "threshold", "int8", "features", "drift", "made", "quality", "files",
)  # fmt: skip


class ImageOfSchema1(Part):
    mode: Literal["L", "RGB"]
    layout: Literal["HWC", "CHW"]
    scale: float = Field(gt=0)


class InputOfSchema1(Part):
    dtype: Dtype
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, max_length=8)
    minimum: float | None = None
    maximum: float | None = None
    image: ImageOfSchema1 | None = None


class ManifestOfSchema1(Part):
    """The manifest of schema 1: some fields differ from schema 2; the rest is the same."""

    schema_version: Literal[1]
    name: Name
    version: Name
    detector: Literal["distillation", "adversarial_autoencoder"]
    loss: Literal["kld", "xent"]
    temperature: float = Field(gt=0)
    input: InputOfSchema1
    class_names: tuple[str, ...] = Field(min_length=2, max_length=2**20)
    threshold: ThresholdSpec
    int8: Int8Spec | None = None
    features: FeaturesSpec | None = None
    drift: DriftSpec
    made: dict[str, Any]
    quality: dict[str, Any]
    files: dict[str, FileSpec] = Field(max_length=1000)

    def upgraded(self) -> Manifest:
        """The same in schema 2. Raises ValueError if its parts are inconsistent."""
        bounds = (self.input.minimum, self.input.maximum)
        image = self.input.image
        preparation = None
        if image is not None:
            preparation = Preparation(pictures=Pictures(layout=image.layout, scale=image.scale))
        shape = self.input.shape
        manifest = Manifest(
            schema_version=2,
            detector=self.detector,
            score={"loss": self.loss, "temperature": self.temperature},
            inputs=(
                Input(
                    name="input", dtype=self.input.dtype, shape=shape, range=None if bounds == (None, None) else bounds
                ),
            ),
            preparation=preparation,
            error_probability=NO_ERROR_PROBABILITY,
            reference={"all": "reference.npz"},
            **{name: getattr(self, name) for name in _UNCHANGED},
        )
        served = manifest.input.image
        if image is not None and (served is None or served.mode != image.mode):
            raise ValueError(f"shape {shape} is not an {image.layout} image of mode {image.mode}")
        return manifest
