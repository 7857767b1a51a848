"""Sweeps: models × devices × targets × budgets, each cell a bundle, on any number of workers."""

from sdk.sweep.rows import REPORT, Row, SweepReport
from sdk.sweep.run import Sweep, Tally, run_sweep
from sdk.sweep.spec import SweepFile, read_spec

__all__ = ["REPORT", "Row", "Sweep", "SweepFile", "SweepReport", "Tally", "read_spec", "run_sweep"]
