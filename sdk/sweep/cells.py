"""The matrix as a list of cells: one bundle each, in a fixed order, none twice."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdk.devices import find_device
from sdk.errors import BadInput
from sdk.lowering.discovery import find_target
from sdk.pipeline import Request
from sdk.pipeline.accelerating import resolve_target
from sdk.pipeline.command import without_place
from sdk.planning.presets import PRESETS
from sdk.sweep.spec import SweepBudget, SweepModel, resolved


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of the sweep: what a worker needs to load it. References are relative to the current directory."""

    name: str
    model: str
    inputs: str | None = None
    calibration: str | None = None
    loss: str = "auto"
    min_os: float | None = None
    trust: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One bundle to be made; `refused` says why it cannot be, where that is known before any work."""

    name: str
    subject: Subject
    device: str
    target: str
    budget: SweepBudget
    refused: str = ""

    def request(self, out: Path | None) -> Request:
        """The cell as the request that `sdk package` would make of its command."""
        subject, budget = self.subject, self.budget
        return Request(
            model=subject.model, device=self.device, target=self.target, min_os=subject.min_os, max_size=budget.max_size,
            max_loss=budget.max_loss, uniform=budget.uniform, calibration=subject.calibration, loss=subject.loss,
            out=out, trust=subject.trust, command=self.command,
        )  # fmt: skip

    @property
    def command(self) -> str:
        """The command that makes the same bundle."""
        subject, budget = self.subject, self.budget
        flags = {
            "device": self.device, "target": self.target, "max-size": budget.max_size, "max-loss": budget.max_loss,
            "uniform": budget.uniform, "calibration": subject.calibration, "inputs": subject.inputs,
            "loss": None if subject.loss == "auto" else subject.loss, "min-os": subject.min_os,
        }  # fmt: skip
        words = [without_place(subject.model)]
        for flag, value in flags.items():
            words += [] if value is None else [f"--{flag}", without_place(str(value))]
        return shlex.join(["sdk", "package", *words, *(["--trust"] if subject.trust else [])])


def make_cells(
    models: Sequence[SweepModel], devices: Sequence[str], targets: Sequence[str], budgets: Sequence[SweepBudget]
) -> tuple[Cell, ...]:
    """Return the cells of the matrix, by model, target, device and budget.

    Devices and targets are resolved by name, so that two spellings of one are one cell. A device that does not run a
    target gives a cell that is refused. BadInput for what is unknown; Missing when a toolchain is absent.
    """
    for target in targets:
        if target != "auto":
            find_target(target)
    found: dict[tuple[object, ...], Cell] = {}
    subjects = _told_apart([_subject(resolved(model)) for model in models])
    places = {(device, target): _place(device, target) for target in targets for device in devices}
    for model, subject in zip(models, subjects, strict=True):
        own = budgets if model.budgets is None else model.budgets
        if not own:
            said = model.name or model.model or model.project
            raise BadInput(f"model {said}: which budgets? write max_size, max_loss or uniform")
        for target in targets:
            for device in devices:
                for budget in own:
                    _check(budget)
                    cell = _cell(subject, budget, *places[device, target])
                    found.setdefault((cell.subject, cell.device, cell.target, cell.budget), cell)
    cells = tuple(found.values())
    _unambiguous(cells)
    return cells


def _check(budget: SweepBudget) -> None:
    if budget.uniform is not None and budget.uniform not in PRESETS:
        raise BadInput(f"budgets: uniform: {budget.uniform!r} is unknown: it is one of {', '.join(PRESETS)}")


def _subject(model: SweepModel) -> Subject:
    assert model.model is not None
    name = model.name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model.model.rpartition(":")[2] or model.model).stem).strip("-")
    return Subject(
        name or "model", model.model, model.inputs, model.calibration, model.loss or "auto", model.min_os, model.trust
    )


def _told_apart(subjects: Sequence[Subject]) -> list[Subject]:
    """Put the file's name before that of the factory where two files have one of the same name."""
    models: dict[str, set[str]] = {}
    for each in subjects:
        models.setdefault(each.name, set()).add(each.model)
    stems = {each.model: Path(each.model.rpartition(":")[0] or each.model).stem for each in subjects}
    return [
        replace(each, name=f"{stems[each.model]}-{each.name}") if len(models[each.name]) > 1 else each for each in subjects
    ]


def _place(device: str, target: str) -> tuple[str, str, str, str]:
    """The device's name, the word that finds it again, the target's name, and why the two do not go together."""
    profile = find_device(device)
    found = device if Path(device).suffix else profile.name
    try:
        return profile.name, found, resolve_target(Request(model="", device=device, target=target), profile).name, ""
    except BadInput as error:
        return profile.name, found, target, str(error)


def _cell(subject: Subject, budget: SweepBudget, named: str, device: str, target: str, refused: str) -> Cell:
    return Cell(f"{subject.name}-{named}-{target}-{budget.label}", subject, device, target, budget, refused)


def _unambiguous(cells: Sequence[Cell]) -> None:
    """Two cells of one name would share one place."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.name, cell)
        if other is not cell:
            raise BadInput(
                f"two different cells are called {cell.name} ({other.subject.model} and {cell.subject.model}): "
                "give one of the models a `name` of its own"
            )


