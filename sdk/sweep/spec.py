"""What a person writes of a sweep: the schema of `sweep.yaml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sdk.config import FILE, LossName, Reference, Text, Words, is_path, load_project, parse_bytes
from sdk.devices.reading import read_model
from sdk.errors import BadInput

Preset = Annotated[str, Field(strict=True, min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SweepBudget(_Frozen):
    """One budget of the matrix: most bytes, most loss, both, or one recipe for all layers."""

    max_size: Annotated[int, BeforeValidator(parse_bytes)] | None = None
    max_loss: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    uniform: Preset | None = None

    @model_validator(mode="after")
    def _something(self) -> SweepBudget:
        if self.max_size is None and self.max_loss is None and self.uniform is None:
            raise ValueError("write max_size, max_loss or uniform")
        return self

    @property
    def label(self) -> str:
        """A word for it in names, such as `size-4000000`, `loss-0.01` or `q8`."""
        words = [f"size-{self.max_size}"] if self.max_size is not None else []
        words += [f"loss-{self.max_loss!r}"] if self.max_loss is not None else []
        words += [self.uniform] if self.uniform is not None else []
        return "-".join(words)


class SweepModel(_Frozen):
    """One model: a reference with its calibration, or a `project` (a folder with an sdk.yaml, or such a file).

    `name` is its word in the cells' names; `budgets` replace those of the sweep.
    """

    model: Text | None = None
    project: Text | None = None
    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    inputs: Reference | None = None
    calibration: Reference | None = None
    loss: LossName | None = None
    min_os: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    trust: Annotated[bool, Field(strict=True)] = False
    budgets: tuple[SweepBudget, ...] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SweepModel:
        if (self.model is None) == (self.project is None):
            raise ValueError("write either model or project")
        return self


class SweepFile(_Frozen):
    """One `sweep.yaml`; its references and paths are relative to the file."""

    models: Annotated[tuple[SweepModel, ...], Field(min_length=1)] | None = None
    devices: Words | None = None
    targets: Words | None = None
    budgets: Annotated[tuple[SweepBudget, ...], Field(min_length=1)] | None = None
    jobs: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    on: Text | None = None
    out: Text | None = None


def read_spec(path: Path) -> SweepFile:
    """Return the sweep that the file describes, its references relative to the current directory.

    BadInput `file: field: value: mend`.
    """
    spec = read_model(path, SweepFile, str(path))
    base = os.path.relpath(path.parent)
    if base == ".":
        return spec
    moved = tuple(_moved(model, base) for model in spec.models) if spec.models else None
    out = os.path.normpath(os.path.join(base, spec.out)) if spec.out is not None else None
    return spec.model_copy(update={"models": moved, "out": out})


def _moved(model: SweepModel, base: str) -> SweepModel:
    moved = {}
    for field in ("model", "project", "inputs", "calibration"):
        value = getattr(model, field)
        if value is not None and (field == "project" or is_path(value, Path(base))):
            moved[field] = os.path.normpath(os.path.join(base, value))
    return model.model_copy(update=moved)


def resolved(model: SweepModel) -> SweepModel:
    """Return a model whose project file, if any, was read: what the sweep says itself wins. BadInput."""
    if model.project is None:
        return model
    project = load_project(Path(model.project))
    if project.model is None:
        raise BadInput(f"{model.project}: names no model: write `model:` in its {FILE}")
    given = model.model_dump(exclude_none=True, exclude={"project", "budgets"})
    known = {"model": project.model, "inputs": project.inputs, "calibration": project.calibration,
             "loss": project.loss, "min_os": project.min_os, "trust": project.trust}
    name = Path(model.project).stem if model.project.endswith((".yaml", ".yml")) else Path(os.path.abspath(model.project)).name
    trust = model.trust or project.trust
    return SweepModel.model_validate({"name": name, **known, **given, "trust": trust, "budgets": model.budgets})
