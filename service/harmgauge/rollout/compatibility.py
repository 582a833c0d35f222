"""Conditions on a successor of the bundle in service: valid requests stay valid, and their answers keep their
meaning.
"""

from __future__ import annotations

from typing import Any

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import BundleError
from harmgauge.rollout.served import ServedBundle

ERROR_PROBABILITY = "error_probability"
"""The output's name."""


def check_successor(old: Manifest, new: Manifest) -> None:
    """Raises BundleError if requests that were valid for the old bundle would not be for the new one, or if its answers
    would have a different meaning.
    """
    of_input = _parts(old), _parts(new)
    for what, before, after in (
        ("name", old.name, new.name),  # part of V2's paths and gRPC's requests, and a label of every metric
        *((part, value, of_input[1].get(part)) for part, value in of_input[0].items()),
        *((part, None, value) for part, value in of_input[1].items() if part not in of_input[0]),
        ("number of classes", len(old.class_names), len(new.class_names)),
        *(
            (f"class {number}", *names)
            for number, names in enumerate(zip(old.class_names, new.class_names, strict=False))
        ),
    ):
        if before != after:
            raise BundleError(
                f"the bundle's {what} is {after!r}, but that of the bundle in service is {before!r}: only a bundle "
                "with the same name, input and classes can take over; serve this one from another process"
            )


def _parts(manifest: Manifest) -> dict[str, Any]:
    """The parts of the inputs that make a request valid, by name. A tokenizer may change: texts stay texts."""
    served = manifest.served
    if isinstance(served, InputSpec):
        return {f"input {part}": value for part, value in served.model_dump().items()}
    parts = {"tokenizer": served.tokenizer is not None, "names of inputs": served.names}
    for found in served.inputs:
        parts |= {f"input {found.name!r}: {part}": value for part, value in found.model_dump().items()}
    return parts


def check_other(served: Bundle, shadow: Bundle) -> None:
    """Raises BundleError if the shadow is the bundle in service."""
    if shadow.key == served.key:
        raise BundleError(f"{shadow.path} is {title(served)}, which is in service; a shadow must be another bundle")


def check_offers(old: ServedBundle, new: ServedBundle) -> None:
    """Raises BundleError if clients that request an output would suddenly be refused.

    The error probability may appear and disappear. It is an estimate beside the answer, which stays the same; and older
    bundles lack it: returning to one must not require a restart.
    """
    lost = old.components.output_names - new.components.output_names - {ERROR_PROBABILITY}
    if lost:
        raise BundleError(
            f"{new.bundle.path} does not offer {', '.join(sorted(lost))}, which {title(old.bundle)} offers"
        )


def end_of_estimate(old: Bundle, new: Bundle) -> str | None:
    """A warning for the log if only the old bundle estimates its accuracy; otherwise None."""
    if old.error_probability is None or new.error_probability is not None:
        return None
    return (
        f"{title(new)} has no error probability ({new.no_error_probability}), but {title(old)} had one: the accuracy "
        "estimate and its alarm stop, and requests for it get 422; harmgauge calibrate adds it to most bundles"
    )


def title(bundle: Bundle) -> str:
    """A bundle's name in log lines."""
    return f"{bundle.manifest.name}/{bundle.manifest.version} ({bundle.key})"
