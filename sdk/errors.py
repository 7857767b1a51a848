"""The one exception tree: what can go wrong, and the exit code that each kind ends with.

    SdkError (1)
    ├── BudgetError (1)      a budget cannot be met; carries the counter-offer
    ├── CheckFailed (1)      an artifact is not what it was planned to be
    │   └── RunnerFailed (1)   it broke the process that ran it
    ├── LoweringError (1)    the toolchain refused a model or a plan
    ├── BadInput (2)         something that a person wrote or passed is wrong
    └── Missing (3)          a toolchain or a device is not there
        ├── DeviceLost (3)     it went away or did not answer in time
        ├── DeviceBusy (3)     another check holds it
        └── DeviceUnfit (3)    it is there but cannot run this: offline, full, of another ABI, hot

A message is one sentence: what is wrong, where (file: field: value) and what would work.
"""

from __future__ import annotations


class SdkError(Exception):
    """Any failure that is explained in one sentence instead of a traceback."""

    exit_code = 1


class BudgetError(SdkError):
    """A budget cannot be met; the message holds the counter-offer."""


class CheckFailed(SdkError):
    """A finished artifact differs from what its plan or manifest says."""


class LoweringError(SdkError):
    """The target's toolchain refused the model or the plan."""


class BadInput(SdkError):
    """A file, flag or argument is wrong; nothing was written."""

    exit_code = 2


class Missing(SdkError):
    """A toolchain or a device that the request needs is absent."""

    exit_code = 3


class RunnerFailed(CheckFailed):
    """An artifact broke, or was too big for, the process that ran it."""


class DeviceLost(Missing):
    """A device went away, or did not answer before the deadline."""


class DeviceBusy(Missing):
    """Another check holds the device."""


class DeviceUnfit(Missing):
    """A device is there but cannot run this: offline, unauthorized, full, of another ABI, or hot."""
