"""Verification: the finished artifact, executed in its own runtime, against what was planned."""

from sdk.verify.parity import FLOORS, PARITY, PARITY_STATIC, Parity, compare, run_artifact
from sdk.verify.schemes import check_realised

__all__ = ["FLOORS", "PARITY", "PARITY_STATIC", "Parity", "check_realised", "compare", "run_artifact"]
