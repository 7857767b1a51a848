"""Where the tasks of a sweep run: one file per executor, found by its name."""

from sdk.sweep.executors.catalogue import executor_for
from sdk.sweep.executors.executor import TRIES, Executor, Session

__all__ = ["TRIES", "Executor", "Session", "executor_for"]
