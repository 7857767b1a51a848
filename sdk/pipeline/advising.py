"""Tells of a much faster plan that is hardly worse, where nobody limited the latency."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from sdk.errors import BudgetError
from sdk.pipeline.judging import Judge
from sdk.pipeline.keeping import solve_least
from sdk.pipeline.remembering import Remembering
from sdk.planning import Limits, Problem, Solution, objective_named
from sdk.planning.offers import raised
from sdk.units import format_size

MORE = 1.25
"""Times the loss, or the bytes where these are made least, that a faster plan may have."""

FASTER = 1.5
"""Times that a plan has to be faster to be told of."""


def advice(problem: Problem, limits: Limits, objective: str, found: Solution, judge: Judge, run: Remembering) -> str | None:
    """Return the sentence on a plan FASTER than `found` with up to MORE of what the objective makes least; None without one.

    Weights that are narrow in the file alone are computed with as floats: they lose least, and cost time and memory.
    """
    minimise = objective_named(objective).minimise
    if limits.rows or minimise not in ("loss", "bytes") or "max_latency" not in judge.predict(found):
        return None
    if minimise == "loss":
        roomy = replace(limits, max_loss=min(MORE * found.loss, math.inf if limits.max_loss is None else limits.max_loss))
    else:
        roomy = replace(limits, max_size=min(int(MORE * found.bytes), limits.max_size or sys.maxsize))
    try:
        fast = solve_least(problem, roomy, "max_latency", judge, run)
    except BudgetError:
        return None
    before, after = judge.predict(found), judge.predict(fast)
    if after["max_latency"] * FASTER > before["max_latency"]:
        return None
    costs = (
        f"loses {fast.loss:.3g} instead of {found.loss:.3g}" if minimise == "loss"
        else f"takes {format_size(fast.bytes)} instead of {format_size(found.bytes)}"
    )  # fmt: skip
    memory = ""
    if "max_memory" in after:
        memory = f" and {format_size(round(after['max_memory']))} of memory instead of {format_size(round(before['max_memory']))}"
    needed = raised("max_latency", after["max_latency"])
    return (
        f"nothing limits the latency: a plan that {costs} is predicted to take {needed} instead of "
        f"{before['max_latency']:.3g} ms{memory}; limit it beside your other budgets (max_latency: {needed.replace(' ', '')})"
    )
