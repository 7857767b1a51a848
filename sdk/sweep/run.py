"""Runs a sweep: plans every cell, builds each distinct plan once, and keeps `sweep.json` true after every result."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.sweep.cells import Cell
from sdk.sweep.estimate import Estimate
from sdk.sweep.executors import TRIES, Session, executor_for
from sdk.sweep.rows import REPORT, Row, SweepReport, read_report, write_report
from sdk.sweep.work import Result, Task

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which cells, where their bundles go, and where they are made (`jobs`: at most so many workers)."""

    cells: tuple[Cell, ...]
    out: Path
    on: str = "local"
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Where a sweep is: cells that have their final row, of which failed; plans still to be lowered; seconds left.

    `left` is None while nothing was measured that it could be computed from.
    """

    stage: str
    done: int
    total: int
    failed: int
    lowering: int
    left: float | None


def run_sweep(sweep: Sweep, tell: Callable[[Tally], None] = lambda tally: None) -> SweepReport:
    """Make every cell's bundle in `sweep.out` and return the report, which is on disk whenever this stops.

    Cells whose bundle is there, intact and of the same plan are not made again. A cell that fails is a row.
    BadInput when the folder cannot be used, Missing when the executor's engine is absent.
    """
    executor, address = executor_for(sweep.on)
    executor.check(address)
    with _folder(sweep.out):
        board = _Board(sweep, read_report(sweep.out), tell)
        with executor.open(address, sweep.jobs) as session:
            board.survey(session)
            board.build(session)
        return board.report()


class _Board:
    """The rows of one run, and what is still to be done."""

    def __init__(self, sweep: Sweep, before: SweepReport, tell: Callable[[Tally], None]) -> None:
        self._sweep, self._tell = sweep, tell
        self._estimate = Estimate()
        old = {row.cell: row for row in before.rows}
        self._rows = {cell.name: _row(cell, old.get(cell.name)) for cell in sweep.cells}
        self._final = {cell.name for cell in sweep.cells if cell.refused}
        self._planned: dict[str, Result] = {}

    def report(self) -> SweepReport:
        """The rows as they are now."""
        return SweepReport(rows=tuple(self._rows.values()))

    def survey(self, session: Session) -> None:
        """Plan every cell; keep the bundles that are there already, and take those that the cache knows.

        A model is loaded and scored once, by one worker, unless there are more workers than models.
        """
        cells = [cell for cell in self._sweep.cells if not cell.refused]
        apart = len({cell.subject for cell in cells}) < session.workers
        groups: dict[tuple[Any, str], list[Cell]] = {}
        for cell in cells:
            groups.setdefault((cell.subject, cell.target if apart else ""), []).append(cell)
        self._run(session, "plan", [self._task("survey", each) for each in groups.values()])

    def build(self, session: Session) -> None:
        """Build the cells that are left, those of one plan one after the other: the first is lowered, the others copied."""
        plans: dict[tuple[Any, str], list[Cell]] = {}
        for cell in self._sweep.cells:
            if cell.name in self._planned and cell.name not in self._final:
                plans.setdefault((cell.subject, self._planned[cell.name].lowering), []).append(cell)
        tasks = [self._task("build", cells, self._planned[cells[0].name].fresh) for cells in plans.values()]
        self._run(session, "build", tasks)

    def _task(self, kind: Any, cells: Iterable[Cell], fresh: bool = True) -> Task:
        cells = tuple(cells)
        before = {cell.name: self._rows[cell.name] for cell in cells if self._rows[cell.name].status == "built"}
        return Task(kind, cells, os.getcwd(), str(self._sweep.out.resolve()), fresh, before)

    def _run(self, session: Session, stage: str, tasks: list[Task]) -> None:
        left = list(tasks)
        self._save(stage, left, session.workers)
        for task, done in session.run(tasks):
            left.remove(task)
            if done is not None:
                self._estimate.learn(task, done)
            for cell, result in zip(task.cells, done.results if done else map(_lost, task.cells), strict=True):
                self._take(cell, result)
            self._save(stage, left, session.workers)

    def _take(self, cell: Cell, result: Result) -> None:
        if result.status == "planned":
            self._planned[cell.name] = result
            self._rows[cell.name] = _row(cell, None)
            return
        self._final.add(cell.name)
        self._rows[cell.name] = _finished(cell, result, self._planned.get(cell.name, result))

    def _save(self, stage: str, left: list[Task], workers: int) -> None:
        write_report(self._sweep.out, self.report())
        final = [self._rows[name] for name in self._final]
        seconds = self._estimate.left(left, workers) if stage == "build" else None
        self._tell(Tally(
            stage, len(final), len(self._rows), sum(row.status != "built" for row in final),
            sum(task.fresh for task in left if task.kind == "build"), seconds,
        ))  # fmt: skip


def _row(cell: Cell, old: Row | None) -> Row:
    """A new row, or the old one where it is of the same cell and was built."""
    budget = cell.budget
    new = Row(
        cell=cell.name, model=cell.subject.model, device=cell.device, target=cell.target, max_size=budget.max_size,
        max_loss=budget.max_loss, uniform=budget.uniform, status="failed" if cell.refused else "waiting",
        error=cell.refused or None,
    )  # fmt: skip
    return old if old is not None and old.status == "built" and not cell.refused else new


def _finished(cell: Cell, result: Result, planned: Result) -> Row:
    built = result.status == "built"
    return _row(cell, None).model_copy(update={
        "status": result.status, "bytes": result.bytes, "loss": result.loss, "loss_kind": result.loss_kind,
        "sha256": result.sha256, "manifest_sha256": result.manifest_sha256, "bundle": cell.name if built else None,
        "plan": planned.plan if built else None, "error": result.error or None,
        "counter_offer": result.counter_offer,
    })  # fmt: skip


def _lost(cell: Cell) -> Result:
    said = f"the worker died {TRIES} times over this cell (killed, or out of memory): use a machine with more, or fewer --jobs"
    return Result(cell.name, "failed", error=said)


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make the sweep's folder and keep other sweeps out of it; BadInput when that cannot be."""
    try:
        if out.is_dir() and any(out.iterdir()) and not (out / REPORT).is_file() and not (out / _LOCK).is_file():
            raise BadInput(f"{out}: is a folder but not a sweep's, so nothing is written there: choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({(error.strerror or 'error').lower()}): choose another --out") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise BadInput(f"{out}: another sweep is writing there: wait for it, or choose another --out") from None
    try:
        yield
    finally:
        os.close(handle)
