"""What an objective is: the cost to make least, and the one that breaks ties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cost = Literal["loss", "bytes", "max_memory", "max_latency"]
"""Summed over the layers; or what the limit of that name bounds, as predicted."""


@dataclass(frozen=True, slots=True)
class Objective:
    """`minimise` is made least; among equals `then` is made least."""

    name: str
    minimise: Cost
    then: Cost
    summary: str
