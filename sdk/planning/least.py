"""The multiple-choice knapsack of the least largest sum: one option per group, within budgets (HiGHS)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sdk.planning.exchange import Exchange
from sdk.planning.hush import hushed
from sdk.planning.several import Weighed

_NODES = 200_000
_ATTEMPTS = 25
_CORE = 24
"""Options beyond one a group, those that the relaxation is least against, among which picks near the least are sought."""
_NEAR = 0.02
"""Share by which those may be off."""


def pack_least(
    groups: Sequence[Sequence[Weighed]], budgets: Sequence[float], close: float, near: bool = False
) -> list[int] | None:
    """Return the picks whose largest sum of the weights that no budget limits is the least, to within a share of `close`.

    `budgets` are of the first weights. None when nothing is within them. The relaxation bounds the sum from below, picks near it
    (see `Exchange`) from above: they are returned where they are `close`, or where what is `near` will do. Else the solver has
    those options that do not raise the lower bound above the upper one (Balas and Zemel, 1980); or, for what is `near`, those
    that raise it least, which may miss what is hardly within the budgets.
    """
    import numpy as np

    owner = np.array([number for number, group in enumerate(groups) for _ in group], dtype=int)
    weights: Any = np.array([option.weights for group in groups for option in group]).T
    limited = np.arange(len(weights)) < len(budgets)
    heaviest = np.maximum(np.abs(weights).max(axis=1, initial=0.0), 1e-300)
    scales = np.where(limited, heaviest, max(float(heaviest[~limited].max()), 1e-300))
    most = np.array([*budgets, *np.full(len(weights) - len(budgets), np.inf)]) / scales
    search = Exchange(owner, weights / scales[:, None], most, np.zeros(len(owner)))

    def fits(picks: Any) -> bool:
        return all(math.fsum(weights[row, picks]) <= budget for row, budget in enumerate(budgets))

    relaxed = search.relaxed()
    if relaxed is None:
        return None
    picks = search.picks(relaxed)
    room = float(search.rows[~limited][:, picks].sum(axis=1).max()) - relaxed.bound if fits(picks) else math.inf
    if near and room == math.inf:
        picks = _solved(search, relaxed.raises <= np.sort(relaxed.raises)[: len(groups) + _CORE][-1], _NEAR, fits)
    elif not near and room > close * relaxed.bound:
        picks = _solved(search, relaxed.raises <= room * (1 + 1e-9), close, fits)
    return None if picks is None else [int(column - np.searchsorted(owner, number)) for number, column in enumerate(picks)]


def _solved(search: Exchange, core: Any, close: float, fits: Any) -> Any:
    """The picks among the columns in `core` that the solver finds, to within a share of `close`; None without any."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    left = np.flatnonzero(core)
    columns, parts = np.array([*left, len(search.owner)]), np.zeros(len(search.owner))
    bounds = [
        LinearConstraint(search.one_each[:, columns], 1, 1), LinearConstraint(search.table[:, columns], -np.inf, search.limits)
    ]  # fmt: skip
    least, highest = np.array([*np.zeros(len(left)), -np.inf]), np.array([*np.ones(len(left)), np.inf])
    for _ in range(_ATTEMPTS):
        with hushed():
            answer = milp(
                search.objective[columns], constraints=bounds, integrality=np.array([*np.ones(len(left)), 0.0]),
                bounds=Bounds(least, highest), options={"mip_rel_gap": close, "node_limit": _NODES},
            )  # fmt: skip
        if answer.x is None:
            return None
        parts[left] = answer.x[:-1]
        picks = search.largest(parts)
        if fits(picks):
            return picks
        picked = np.array([*np.isin(left, picks).astype(float), 0.0])  # what only the solver's tolerance lets through
        bounds.append(LinearConstraint(picked[None], 0, search.count - 1))
    return None
