"""Recovery: quantization-aware training of a plan's codes, scales and tables, distilled from the float model."""

from sdk.recovery.file import Recovery, describe_recovery, read_recovery, recovery_bytes
from sdk.recovery.train import STEPS, Recovered, State, recover

__all__ = ["STEPS", "Recovered", "Recovery", "State", "describe_recovery", "read_recovery", "recover", "recovery_bytes"]
