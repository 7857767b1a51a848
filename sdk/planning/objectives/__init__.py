"""Objectives as data: one file per objective, found by its name."""

from sdk.planning.objectives.catalogue import all_objectives, objective_named, objective_of
from sdk.planning.objectives.objective import Objective

__all__ = ["Objective", "all_objectives", "objective_named", "objective_of"]
