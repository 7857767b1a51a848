"""Good picks of one option per group without branching: the relaxation, rounded group by group, and bettered by exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdk.planning.hush import hushed

_CORE = 48
"""Options beyond one a group that exchanges in pairs may use: those that the relaxation is least against."""
_PAIRS = 40
"""Exchanges in pairs at most."""
_EXCESS = 1e3
"""What a unit above a budget counts, in units of the objective."""
_LESS = 1 - 1e-12
"""Factor by which a score has to be less to count as such."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The least objective with options in parts; the part of each option, and by how much it raises the objective."""

    bound: float
    parts: Any
    raises: Any


class Exchange:
    """Options as columns of `rows`, in units that make them alike; made least are `costs` and the largest sum without a budget.

    `owner`: the group of each column, ascending; `most`: the budget of each row, infinite where it has none. Few groups of the
    relaxation are in parts (at most one for each row that binds): each is rounded to its largest one, and options are
    exchanged, one or two at a time, as long as that helps.
    """

    def __init__(self, owner: Any, rows: Any, most: Any, costs: Any) -> None:
        import numpy as np
        from scipy.sparse import csr_array

        self.owner, self.rows, self.costs, self.most = owner, rows, costs, most
        self.free = np.isinf(self.most)
        self.count, columns = int(owner[-1]) + 1, len(owner)
        largest = [1.0] if self.free.any() else []
        self.objective = np.array([*costs, *largest])
        self.one_each = csr_array((np.ones(columns), (owner, np.arange(columns))), shape=(self.count, len(self.objective)))
        self.table = np.column_stack([rows, *([np.where(self.free, -1.0, 0.0)] if largest else [])])
        self.limits = np.where(self.free, 0.0, self.most)

    def relaxed(self) -> Relaxed | None:
        """The relaxation; None where nothing fits."""
        import numpy as np
        from scipy.optimize import linprog

        columns = len(self.owner)
        further = np.full(len(self.objective) - columns, np.inf)
        with hushed():
            answer = linprog(
                self.objective, A_ub=self.table if len(self.table) else None, b_ub=self.limits if len(self.table) else None,
                A_eq=self.one_each, b_eq=np.ones(self.count),
                bounds=np.column_stack([[*np.zeros(columns), *-further], [*np.ones(columns), *further]]), method="highs",
            )  # fmt: skip
        if answer.status != 0:
            return None
        raises = answer.lower.marginals[:columns] + answer.upper.marginals[:columns]
        return Relaxed(float(answer.fun), answer.x[:columns], np.maximum(raises, 0.0))

    def picks(self, relaxed: Relaxed) -> Any:
        """Columns, one a group, of little objective; they may exceed a budget where none that do not were found."""
        import numpy as np

        picks = self.largest(relaxed.parts)
        core = np.sort(np.argsort(relaxed.raises, kind="stable")[: self.count + _CORE])
        best, pairs = float(self._score(*self._sums(picks))), 0
        while pairs <= _PAIRS:
            score, columns = self._alone(picks)
            if not score < best * _LESS:
                score, columns = self._together(picks, core)
                pairs += 1
            if not score < best * _LESS:
                break
            best = score
            picks[self.owner[columns]] = columns
        return picks

    def largest(self, parts: Any) -> Any:
        """The column of the largest part of each group."""
        import numpy as np

        order = np.lexsort((-parts, self.owner))
        return order[np.unique(self.owner[order], return_index=True)[1]]

    def _sums(self, picks: Any) -> tuple[Any, float]:
        return self.rows[:, picks].sum(axis=1), float(self.costs[picks].sum())

    def _score(self, sums: Any, cost: Any) -> Any:
        """What exchanges make less, of the sums [rows, …] and the costs […]: the objective, and what is above budgets."""
        import numpy as np

        most = self.most[~self.free].reshape(-1, *[1] * (sums.ndim - 1))
        excess = np.maximum(sums[~self.free] - most, 0.0).sum(axis=0)
        return cost + sums[self.free].max(axis=0, initial=-np.inf if self.free.any() else 0.0) + _EXCESS * excess

    def _alone(self, picks: Any) -> tuple[float, list[int]]:
        """The best exchange of one option: its score and column."""
        import numpy as np

        (sums, cost), before = self._sums(picks), picks[self.owner]
        scores = self._score(sums[:, None] + self.rows - self.rows[:, before], cost + self.costs - self.costs[before])
        column = int(np.argmin(scores))
        return float(scores[column]), [column]

    def _together(self, picks: Any, core: Any) -> tuple[float, list[int]]:
        """The best exchange of two options of the core: their score and columns."""
        import numpy as np

        (sums, cost), owner = self._sums(picks), self.owner[core]
        before = picks[owner]
        moved, more = self.rows[:, core] - self.rows[:, before], self.costs[core] - self.costs[before]
        scores = self._score((sums[:, None] + moved)[:, :, None] + moved[:, None, :], cost + more[:, None] + more)
        scores[owner[:, None] == owner] = np.inf
        one, two = divmod(int(np.argmin(scores)), len(core))
        return float(scores[one, two]), [int(core[one]), int(core[two])]
