"""From prices and losses per layer to a plan: exact, reviewable, explained."""

from sdk.planning.balance import nothing_predicts, times_together
from sdk.planning.diff import HeaderChange, LayerChange, PlanDiff, diff
from sdk.planning.explain import Explanation, Verdict, explain, marginal_price
from sdk.planning.front import FrontPoint, front, knee
from sdk.planning.limits import Limits, Solution, solution_of
from sdk.planning.objectives import Objective, all_objectives, objective_named, objective_of
from sdk.planning.offers import RowsOffer
from sdk.planning.options import NO_PRICE, Choices, Join, Option, Problem, Refusal, Restriction, Tie, allowed, considered
from sdk.planning.plan import (
    SYNTHETIC,
    Budgets,
    Calibration,
    Expected,
    Facts,
    Line,
    Loss,
    ModelId,
    Plan,
    Predicted,
    corrected,
    make_plan,
    measured_apart,
    significant,
    summed,
)
from sdk.planning.presets import EXACT, PRESETS
from sdk.planning.refuse import CounterOffer, Infeasible, counter_offer
from sdk.planning.revalidate import limits_in, revalidate
from sdk.planning.rows import Budget, Row, need
from sdk.planning.solve import solve
from sdk.planning.text import parse_plan, plan_text, read_plan, write_plan
from sdk.planning.uniform import Missed, Uniform, first_of, uniform

__all__ = [
    "EXACT", "NO_PRICE", "PRESETS", "SYNTHETIC", "Budget", "Budgets", "Calibration", "Choices", "CounterOffer", "Expected",
    "Explanation", "Facts", "FrontPoint", "HeaderChange", "Infeasible", "Join", "LayerChange", "Limits", "Line", "Loss",
    "Missed", "ModelId", "Objective", "Option", "Plan", "PlanDiff", "Predicted", "Problem", "Refusal", "Restriction", "Row",
    "RowsOffer", "Solution", "Tie", "Uniform", "Verdict", "all_objectives", "allowed", "considered", "corrected",
    "counter_offer", "diff", "explain", "first_of", "front", "knee", "limits_in", "make_plan", "marginal_price",
    "measured_apart", "need",
    "nothing_predicts", "objective_named", "objective_of", "parse_plan", "plan_text", "read_plan", "revalidate",
    "significant", "solution_of", "solve", "summed", "times_together", "uniform", "write_plan",
]  # fmt: skip
