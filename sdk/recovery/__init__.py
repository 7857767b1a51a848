"""Recovery: quantization-aware training of all that a plan stores, distilled from the float model."""

from sdk.recovery.file import Recovery, applied, describe_recovery, read_recovery, recovery_bytes
from sdk.recovery.train import STEPS, Recovered, State, recover

__all__ = [
    "STEPS", "Recovered", "Recovery", "State", "applied", "describe_recovery", "read_recovery", "recover", "recovery_bytes",
]  # fmt: skip
