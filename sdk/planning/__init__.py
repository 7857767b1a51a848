"""From prices and losses per layer to a plan: exact, reviewable, explained."""

from sdk.planning.objectives import Objective, all_objectives, objective_named
from sdk.planning.options import Choices, Option, Problem, Refusal, Restriction, allowed, considered
from sdk.planning.refuse import CounterOffer, Infeasible, counter_offer
from sdk.planning.solve import Limits, Solution, solve

__all__ = [
    "Choices", "CounterOffer", "Infeasible", "Limits", "Objective", "Option", "Problem", "Refusal",
    "Restriction", "Solution", "all_objectives", "allowed", "considered", "counter_offer",
    "objective_named", "solve",
]  # fmt: skip
