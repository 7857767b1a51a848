"""Checks of a finished bundle on a device: latency, memory and outputs, each with the place it was measured at."""

from sdk.check.checking import CheckRequest, check_bundle
from sdk.check.result import (
    BaselineEntry,
    BudgetEntry,
    BundleEntry,
    CheckResult,
    DeviceEntry,
    Environment,
    Interval,
    Latency,
    Measured,
    ProtocolEntry,
    Repeat,
    RunnerEntry,
    read_result,
    result_data,
    write_result,
)

__all__ = [
    "BaselineEntry", "BudgetEntry", "BundleEntry", "CheckRequest", "CheckResult", "DeviceEntry", "Environment", "Interval",
    "Latency", "Measured", "ProtocolEntry", "Repeat", "RunnerEntry", "check_bundle", "read_result", "result_data", "write_result",
]  # fmt: skip
