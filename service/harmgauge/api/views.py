"""Data that the routes derive from a bundle, once for all of its requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from harmgauge.auth.policy import Principal
from harmgauge.rollout.served import Components

if TYPE_CHECKING:
    from harmgauge.api.body.named.reader import NamedReader
    from harmgauge.api.looks import Looks
    from harmgauge.api.v2.tensors import OutputSpec


@dataclass(frozen=True)
class Views:
    """`looks` are the operators' views; `outputs` are those of the V2 protocol, `flags` the subset without scores.

    `reader` reads bodies with inputs by name or by column; None if the bundle has only one array without columns.
    """

    looks: Looks
    outputs: list[OutputSpec]
    flags: list[OutputSpec]
    reader: NamedReader | None = None

    def outputs_for(self, principal: Principal) -> list[OutputSpec]:
        """The outputs that a key may see."""
        return self.outputs if principal.sees_scores else self.flags


def views_of(components: Components) -> Views:
    """The views that the assembly made for a bundle."""
    return cast("Views", components.views)
