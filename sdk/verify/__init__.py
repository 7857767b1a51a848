"""Verification: the finished artifact, executed in its own runtime, against what was planned."""

from sdk.verify.choices import moved_choice, undefined_choice
from sdk.verify.parity import PARITY, Parity, compare, parity_limit, run_artifact
from sdk.verify.schemes import check_realised

__all__ = ["PARITY", "Parity", "check_realised", "compare", "moved_choice", "parity_limit", "run_artifact", "undefined_choice"]
