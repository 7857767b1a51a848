"""What a worker does: plan cells of one model, or build the cells that share one plan."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sdk.bundles import MANIFEST, Bundle, integrity, open_bundle, sha256_file
from sdk.errors import BadInput, BudgetError, SdkError
from sdk.progress import Chapter, Reporter, SilentReporter
from sdk.sweep.cells import Cell, Subject
from sdk.sweep.rows import Row


@dataclass(frozen=True, slots=True)
class Task:
    """Cells of one model: some or all of them to be planned (`survey`), or those of one plan to be built."""

    kind: Literal["survey", "build"]
    cells: tuple[Cell, ...]
    folder: str
    """Where the sweep was started: what references are relative to."""
    out: str
    """Where the bundles go (absolute)."""
    fresh: bool = True
    """Whether something has to be lowered, as far as the cache knew when the task was made."""
    before: dict[str, Row] = field(default_factory=dict)
    """Rows of an earlier run by cell: whose bundle is there and of the same plan is left alone."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one cell; `plan` digests everything that decides the bundle, `lowering` the artifact alone."""

    cell: str
    status: Literal["planned", "built", "infeasible", "failed"]
    plan: str = ""
    lowering: str = ""
    fresh: bool = True
    bytes: int | None = None
    loss: float | None = None
    loss_kind: str | None = None
    sha256: str | None = None
    manifest_sha256: str | None = None
    error: str = ""
    counter_offer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A finished task: results and seconds in the order of its cells, and the worker's peak memory in bytes."""

    results: tuple[Result, ...]
    seconds: tuple[float, ...]
    peak: int


KEPT = 4
"""Models that a worker keeps loaded, as far as memory goes."""


@dataclass(slots=True)
class Worker:
    """One process's state: the models that it loaded last, or why they cannot be."""

    _sources: dict[Subject, Any] = field(default_factory=dict, repr=False)
    _surveys: dict[str, str] = field(default_factory=dict, repr=False)
    """What the survey of a cell is filed under."""
    _benches: dict[Subject, Any] = field(default_factory=dict, repr=False)

    def do(self, task: Task) -> Done:
        """Do one task; a cell that fails is a result, never an exception."""
        results, seconds = [], []
        known = self._known(task) if task.kind == "survey" else {}
        if task.kind == "survey" and len(known) < len(task.cells):
            self._score(task)
        for cell in task.cells:
            started = time.monotonic()
            results.append(known.get(cell.name) or _caught(cell, partial(self._one, cell, task)))
            seconds.append(time.monotonic() - started)
        return Done(tuple(results), tuple(seconds), peak_memory())

    def _one(self, cell: Cell, task: Task) -> Result:
        _at_home(task)
        return self._plan(cell, task) if task.kind == "survey" else self._build(cell, task)

    def _request(self, cell: Cell) -> Any:
        """The cell's request, with its example inputs."""
        from sdk.models.references import call_inputs

        request = cell.request(None)
        return request if cell.subject.inputs is None else replace(request, example=call_inputs(cell.subject.inputs))

    def _workbench(self, cell: Cell) -> Any:
        from sdk.pipeline import Workbench

        if cell.subject not in self._benches:
            if len(self._benches) == KEPT or not is_roomy():
                self._benches.clear()
            try:
                self._benches[cell.subject] = Workbench(self._request(cell), SilentReporter(), self._read(cell))
            except SdkError as error:  # as long as the worker lives: every cell of the model says so, none tries again
                self._benches[cell.subject] = error
            self._sources.pop(cell.subject, None)
        return _unless_error(self._benches[cell.subject])

    def _read(self, cell: Cell) -> Any:
        """The model's sources, read once also where that fails."""
        from sdk.pipeline import read_sources

        if cell.subject not in self._sources:
            try:
                self._sources[cell.subject] = read_sources(self._request(cell))
            except SdkError as error:
                self._sources[cell.subject] = error
        return _unless_error(self._sources[cell.subject])

    def _known(self, task: Task) -> dict[str, Result]:
        """Results of cells that an earlier sweep surveyed, found by the exported model: nothing is computed again."""
        from sdk.pipeline import recall_survey, survey_key

        known: dict[str, Result] = {}
        with contextlib.suppress(Exception):  # whatever is wrong is said by the cells themselves
            _at_home(task)
            for cell in task.cells:
                key = survey_key(cell.request(None), self._read(cell))
                if key is None:
                    continue
                self._surveys[cell.name] = key
                found = recall_survey(key)
                if found is None:
                    continue
                if found.error:
                    known[cell.name] = Result(cell.name, "infeasible", error=found.error, counter_offer=found.counter_offer)
                    continue
                there = _left_alone(cell, task, found.bundle, found.lowering) or _placed(cell, task, found.bundle)
                if there is not None:
                    known[cell.name] = there
        if len(known) == len(task.cells):
            self._sources.clear()
        return known

    def _remember(self, cell: Cell, survey: Any) -> None:
        from sdk.pipeline import remember_survey

        if cell.name in self._surveys:
            remember_survey(self._surveys[cell.name], survey)

    def _score(self, task: Task) -> None:
        """Score what any cell of the task may choose in one pass; what is wrong with a cell is said by that cell."""
        from sdk.pipeline import score_together

        with contextlib.suppress(Exception):
            _at_home(task)
            score_together([cell.request(None) for cell in task.cells], self._workbench(task.cells[0]))

    def _plan(self, cell: Cell, task: Task) -> Result:
        """Plan a cell; one whose bundle was made before, here or elsewhere, is built with that."""
        from sdk.pipeline import Survey, bundle_key, make_plan

        request, bench = cell.request(Path(task.out) / cell.name), self._workbench(cell)
        try:
            planned = make_plan(request, Chapter(Reporter()), bench, shipped=True)
        except BudgetError as error:
            self._remember(cell, Survey(error=_line(str(error)), counter_offer=_offer(error)))
            raise
        found = bundle_key(request, planned)
        self._remember(cell, Survey(found.bundle, found.lowering))
        there = _left_alone(cell, task, found.bundle, found.lowering) or _placed(cell, task, found.bundle)
        return there or Result(cell.name, "planned", plan=found.bundle, lowering=found.lowering, fresh=not found.known)

    def _build(self, cell: Cell, task: Task) -> Result:
        from sdk.pipeline import package

        bundle = package(cell.request(Path(task.out) / cell.name), SilentReporter(), self._workbench(cell))
        return _built(cell, bundle, "")


def _unless_error(kept: Any) -> Any:
    if isinstance(kept, SdkError):
        raise kept
    return kept


def _built(cell: Cell, bundle: Bundle, plan: str) -> Result:
    manifest = bundle.manifest
    loss = manifest.measured.loss.value
    return Result(
        cell.name, "built", plan=plan, bytes=manifest.artifact.bytes, loss=None if loss is None else float(loss),
        loss_kind=manifest.loss, sha256=manifest.artifact.sha256, manifest_sha256=sha256_file(bundle.path / MANIFEST),
    )  # fmt: skip


def _left_alone(cell: Cell, task: Task, plan: str, lowering: str) -> Result | None:
    """The result of a cell whose bundle is there, intact and of the same plan."""
    here = task.before.get(cell.name)
    if here is None or here.plan != plan or not is_there(Path(task.out), here):
        return None
    return Result(
        cell.name, "built", plan, lowering, False, here.bytes, here.loss, here.loss_kind, here.sha256, here.manifest_sha256
    )


def _placed(cell: Cell, task: Task, plan: str) -> Result | None:
    """The result of a cell whose bundle the cache holds, now in place."""
    from sdk.pipeline import place_finished

    bundle = place_finished(plan, cell.target, Path(task.out) / cell.name)
    return None if bundle is None else _built(cell, bundle, plan)


def is_there(out: Path, row: Row) -> bool:
    """Whether the bundle of `row` is below `out` with every byte as it was built."""
    path = out / row.cell
    try:
        if row.status != "built" or sha256_file(path / MANIFEST) != row.manifest_sha256:
            return False
        return all(found.ok for found in integrity(path, open_bundle(path).manifest))
    except (OSError, SdkError):
        return False


def _at_home(task: Task) -> None:
    """Be where the sweep was started; BadInput on a machine that does not see its folders."""
    import torch

    torch.set_num_threads(1)  # bundles then do not depend on how many workers there are
    if not Path(task.folder).is_dir() or not Path(task.out).is_dir():
        raise BadInput(f"{task.out}: this worker does not see the folder: all workers need one shared file system")
    os.chdir(task.folder)
    if task.folder not in sys.path:
        sys.path.insert(0, task.folder)


def _caught(cell: Cell, step: Callable[[], Result]) -> Result:
    try:
        return step()
    except BudgetError as error:
        return Result(cell.name, "infeasible", error=_line(str(error)), counter_offer=_offer(error))
    except SdkError as error:
        return Result(cell.name, "failed", error=_line(str(error)))
    except MemoryError:
        return Result(cell.name, "failed", error="not enough memory: use a machine with more, or fewer --jobs")
    except Exception as error:
        return Result(cell.name, "failed", error=f"unexpected {type(error).__name__}: {_line(str(error))[:300]}")


def _offer(error: BudgetError) -> dict[str, Any] | None:
    offer = getattr(error, "offer", None)
    return asdict(offer) if is_dataclass(offer) and not isinstance(offer, type) else None


def _line(text: str) -> str:
    return " ".join(text.split())


def is_roomy() -> bool:
    """Whether this process could take twice its memory again."""
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return int(psutil.virtual_memory().available) > 2 * int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Most bytes of memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
