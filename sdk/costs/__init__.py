"""What a plan costs on a device, predicted before anything is lowered: peak memory and latency."""

from sdk.costs.costs import Budget, Costs, Prediction, Sum
from sdk.costs.latency import LatencyModel
from sdk.costs.memory import MemoryModel, Parts, Shared

__all__ = ["Budget", "Costs", "LatencyModel", "MemoryModel", "Parts", "Prediction", "Shared", "Sum"]
