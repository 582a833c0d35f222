"""Columns that are read from the same rows: the bets on their variables, and their newest rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.sketches import Sketches
from harmgauge.drift.columns import saved
from harmgauge.drift.columns.bets import Bets
from harmgauge.drift.columns.half_lines import Values
from harmgauge.drift.columns.recent import Recent
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.recent_clients import RecentClients

Float64 = npt.NDArray[np.float64]


class Group:
    """Some of all variables: the `numbers` (k,) and `flags` (m,) at these positions among those of `sketches`.

    Rows of values have one of each of `columns` columns, also of those outside the group. `saved_as` precedes its keys
    in a saved state. A named client counts once among recent requests.
    """

    def __init__(
        self,
        sketches: Sketches,
        numbers: npt.NDArray[np.intp],
        flags: npt.NDArray[np.intp],
        columns: int,
        saved_as: str = "",
    ) -> None:
        self.variables = np.concatenate([numbers, len(sketches.numbers) + flags])
        """Positions among all variables, of which the numbers are first, (k + m,)."""
        self._sketches = sketches
        self._numbers, self._flags = numbers, flags
        self._has_all = len(self.variables) == len(sketches.numbers) + len(sketches.flags)
        self._columns = columns
        self._saved_as = saved_as
        self.clients = RecentClients()
        self.reset()

    def reset(self) -> None:
        """No evidence, and urns with only the reference."""
        bounds = self._sketches.number_bounds, self._sketches.flag_bounds
        self._bets = Bets.start(bounds[0].only(self._numbers), bounds[1].only(self._flags))
        self._recent = Recent(self._columns)
        self.rows = 0
        """Rows since the last reset."""

    def bet(
        self,
        values: Float64,
        variables: Values,
        rows: npt.NDArray[np.intp],
        tolerance: float,
        random: np.random.Generator,
    ) -> None:
        """Bet on requests of `rows` (k,) rows: the `values` of their columns (n, c) and of all variables."""
        if not self._has_all:
            variables = variables[0][:, self._numbers], variables[1][:, self._flags]
        self._bets.bet(variables, rows, tolerance, random)
        self._recent.extend(values)
        self.rows += len(values)

    @property
    def evidence(self) -> Float64:
        """The evidence of each variable, (t,)."""
        return self._bets.evidence

    @property
    def is_higher(self) -> npt.NDArray[np.bool_]:
        """Whether each variable's upper gamblers have more wealth than its lower ones, (t,)."""
        upper, lower = self._bets.half_lines.means(self._bets.wealth)
        return upper >= lower

    def recent(self) -> Float64:
        """The newest rows, oldest first, (n, c)."""
        return self._recent.rows()

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the whole state."""
        arrays = {
            **saved.dump_bets(self._bets),
            "recent": self._recent.rows(),
            "rows": np.array(self.rows),
            "clients": self.clients.dump(),
        }
        return {f"{self._saved_as}{key}": array for key, array in arrays.items()}

    def read(self, dumped: Dumped) -> Group:
        """A group like this one, in the state that `dump` saved. Raises ValueError."""
        own = {
            key.removeprefix(self._saved_as): array for key, array in dumped.items() if key.startswith(self._saved_as)
        }
        found = Group(self._sketches, self._numbers, self._flags, self._columns, self._saved_as)
        found.rows = saved.read_rows(own)
        found._bets = saved.read_bets(own, found._bets, found.rows)
        found._recent = Recent.read(own, self._columns)
        found.clients = RecentClients.read(own, "clients")
        return found
