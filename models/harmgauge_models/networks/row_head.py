"""The second network for rows other than images: it reads the row and the classifier's features and output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge_models.graphs.divergence import Gives
from harmgauge_models.networks.writer import Writer

SUMMARY = 4
"""Number of values that describe how unusual a row is as a whole."""

SUMMARISED_ROWS = 256
"""Rows that are summarised at once."""

MOST_FAR = 1e30
"""Largest distance in spreads: greater and infinite distances are clipped to it."""

LEAST_P = 1e-7
LEAST_LOG_P = -16.0
"""Smaller log-probabilities of the classifier are clipped to this."""


@dataclass(frozen=True)
class Scale:
    """The normal range of each value of a row, flattened, (d,). `spread` is above 0."""

    centre: Tensor
    spread: Tensor
    least: Tensor
    most: Tensor


class RowHead(nn.Module):
    """Maps the row (n, *shape) if `row`, the features (n, *f) if `features`, and the classifier's output (n, classes),
    in this order, to logits (n, classes): the classifier's own, times a factor above 0, plus a correction.

    The head reads each value on a logarithmic scale, and separately its distance beyond all normal ones. With
    `missing`, NaN is replaced by the centre and flagged by a separate input. The head also reads how unusual the row is
    as a whole; without `row_values` that is all it reads of the row.
    """

    def __init__(
        self,
        row: Scale | None,
        features: Scale | None,
        classes: int,
        gives: Gives,
        *,
        missing: bool,
        hidden: tuple[int, int],
        row_values: bool = True,
    ) -> None:
        super().__init__()
        self.row_values = row_values
        self.reads_summaries = False
        self.has_row, self.has_features = row is not None, features is not None
        self.gives, self.missing = gives, missing
        width = 2 * classes + 2
        for name, scale in (("row", row), ("features", features)):
            if scale is not None:
                for part in ("centre", "spread", "least", "most"):
                    self.register_buffer(f"{name}_{part}", getattr(scale, part).float())
                values = 0 if name == "row" and not row_values else 3 if name == "row" and missing else 2
                width += len(scale.centre) * values + SUMMARY
        self.hidden1 = nn.Linear(width, hidden[0])
        self.hidden2 = nn.Linear(hidden[0], hidden[1])
        self.factor = nn.Linear(hidden[1], 1)
        self.correction = nn.Linear(hidden[1], classes)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, *tensors: Tensor) -> Tensor:
        said = tensors[-1].float()
        log_p = functional.log_softmax(said, 1) if self.gives == "logits" else torch.log(said.clamp(min=LEAST_P))
        log_p = log_p.clamp(min=LEAST_LOG_P)
        p = torch.exp(log_p)
        entropy = -(p * log_p).sum(1, keepdim=True)
        parts = [p, log_p / 4, entropy / math.log(p.shape[1]), log_p.amax(1, keepdim=True)]
        if self.has_row:
            parts += self._described(tensors[0], "row")
        if self.has_features:
            parts += self._described(tensors[-2], "features")
        x = functional.relu(self.hidden1(torch.cat(parts, 1)))
        x = functional.relu(self.hidden2(x))
        found: Tensor = self.correction(x) + functional.softplus(self.factor(x) + 0.5) * log_p
        return found

    def write(self, graph: Writer, *tensors: str) -> str:
        """Write the nodes of `forward`."""
        said = graph.real(tensors[-1])
        if self.gives == "logits":
            log_p = graph("LogSoftmax", said, axis=1)
        else:
            log_p = graph("Log", graph("Clip", said, LEAST_P))
        log_p = graph("Clip", log_p, LEAST_LOG_P)
        p = graph("Exp", log_p)
        entropy = graph("Neg", graph("ReduceSum", graph("Mul", p, log_p), [1], keepdims=1))
        entropy = graph("Div", entropy, math.log(self.correction.out_features))
        parts = [p, graph("Div", log_p, 4.0), entropy, graph("ReduceMax", log_p, [1], keepdims=1)]
        if self.has_row:
            parts += self._write_described(graph, tensors[0], "row")
        if self.has_features:
            parts += self._write_described(graph, tensors[-2], "features")
        x = graph("Relu", graph.linear(graph("Concat", *parts, axis=1), self.hidden1))
        x = graph("Relu", graph.linear(x, self.hidden2))
        correction, factor = graph.linear(x, self.correction), graph.linear(x, self.factor)
        factor = graph("Softplus", graph("Add", factor, 0.5))
        return graph("Add", correction, graph("Mul", factor, log_p))

    def summaries(self, row: Tensor) -> Tensor:
        """Summaries (n, SUMMARY) of rows (n, d), for heads without `row_values`. A wide row is summarised only once for
        a whole training, during which `reads_summaries` is set.
        """
        starts = range(0, len(row), SUMMARISED_ROWS)
        return torch.cat([torch.cat(self._described(row[at : at + SUMMARISED_ROWS], "row"), 1) for at in starts])

    def _described(self, raw: Tensor, name: str) -> list[Tensor]:
        if self.reads_summaries and name == "row":
            return [raw]
        centre, spread, least, most = (
            self.get_buffer(f"{name}_{part}") for part in ("centre", "spread", "least", "most")
        )
        values = raw.float().flatten(1)
        parts = []
        if self.missing:
            none = torch.isnan(values)
            values = torch.where(none, centre, values)
            if name == "row":
                parts = [none.float()]
        beyond = functional.relu(values - most) - functional.relu(least - values)
        usual, far = _logarithmic((values - centre) / spread), _logarithmic(beyond / spread)
        summary = [usual.abs(), far.abs(), (far != 0).float(), (values != 0).float()]
        shown = [usual, far, *parts] if name != "row" or self.row_values else []
        return [*shown, *(part.mean(1, keepdim=True) for part in summary)]

    def _write_described(self, graph: Writer, raw: str, name: str) -> list[str]:
        centre, spread, least, most = (
            self.get_buffer(f"{name}_{part}") for part in ("centre", "spread", "least", "most")
        )
        values = graph("Flatten", graph.real(raw), axis=1)
        parts = []
        if self.missing:
            none = graph("IsNaN", values)
            values = graph("Where", none, centre, values)
            if name == "row":
                parts = [graph.real(none)]
        beyond = graph("Sub", graph("Relu", graph("Sub", values, most)), graph("Relu", graph("Sub", least, values)))
        usual = _write_logarithmic(graph, graph("Div", graph("Sub", values, centre), spread))
        far = _write_logarithmic(graph, graph("Div", beyond, spread))
        summary = [
            graph("Abs", usual),
            graph("Abs", far),
            *(graph.real(graph("Not", graph("Equal", x, 0.0))) for x in (far, values)),
        ]
        shown = [usual, far, *parts] if name != "row" or self.row_values else []
        return [*shown, *(graph("ReduceMean", part, [1], keepdims=1) for part in summary)]


def _write_logarithmic(graph: Writer, x: str) -> str:
    """Write the nodes of `_logarithmic`."""
    size = graph("Clip", graph("Abs", x), 0.0, MOST_FAR)
    return graph("Mul", graph("Sign", x), graph("Log", graph("Add", size, 1.0)))


def _logarithmic(x: Tensor) -> Tensor:
    """Linear near 0, logarithmic far from it."""
    return torch.sign(x) * torch.log1p(x.abs().clamp(max=MOST_FAR))
