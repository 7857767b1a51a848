"""The project file `sdk.yaml`: what an app packages, so that a command line needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sdk.devices.reading import read_model
from sdk.errors import BadInput
from sdk.units import parse_size

FILE = "sdk.yaml"

LossName = Literal["auto", "kl", "kl_probabilities", "cosine", "mse"]


def _bytes(value: object) -> int:
    if not isinstance(value, str | int | float):
        raise ValueError("write a size such as 12MB")
    try:
        return parse_size(value)
    except BadInput as error:
        raise ValueError(str(error)) from None


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _or_empty(value: object) -> object:
    return {} if value is None else value


def _reference(value: object) -> object:
    if isinstance(value, str) and not (":" in value and value.rpartition(":")[2].isidentifier()):
        raise ValueError("write file.py:function or pkg.mod:function")
    return value


Text = Annotated[str, Field(strict=True, min_length=1)]
Reference = Annotated[Text, BeforeValidator(_reference)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more), Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budgets(_Frozen):
    """Bytes that the finished file may have, and loss that it may add."""

    max_size: Annotated[int, BeforeValidator(_bytes)] | None = None
    max_loss: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None


class Project(_Frozen):
    """One `sdk.yaml`; its references and paths are relative to the file.

    `model`: a reference; `inputs`: a function that returns example inputs; `calibration`: one that returns
    an iterable of input tuples; `metric`: a function `metric(run) -> float`; `devices`, `target`: one name
    or several; `trust`: run code that a model brings.
    """

    model: Text | None = None
    inputs: Reference | None = None
    calibration: Reference | None = None
    metric: Reference | None = None
    loss: LossName = "auto"
    budgets: Annotated[Budgets, BeforeValidator(_or_empty)] = Budgets()
    devices: Words | None = None
    target: Words | None = None
    min_os: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    out: Text | None = None
    trust: Annotated[bool, Field(strict=True)] = False


def load_project(path: Path | None, folder: Path | None = None) -> Project:
    """Return the project file at `path`, or `sdk.yaml` in `folder` (default: here), or an empty project.

    Its references and `out` come back relative to the current directory. BadInput `file: key: value: mend`.
    """
    found = path if path is not None else (folder or Path()) / FILE
    if path is not None and path.is_dir():
        found = path / FILE
    if path is None and not found.exists():
        return Project()
    project = read_model(found, Project, str(found))
    base = os.path.relpath(found.parent)
    return project if base == "." else project.model_copy(update=_moved(project, base))


def _moved(project: Project, base: str) -> dict[str, str]:
    moved = {}
    for field in ("model", "inputs", "calibration", "metric"):
        value = getattr(project, field)
        if value is not None and is_path(value, Path(base)):
            moved[field] = os.path.normpath(os.path.join(base, value))
    if project.out is not None:
        moved["out"] = os.path.normpath(os.path.join(base, project.out))
    return moved


def is_path(reference: str, folder: Path = Path()) -> bool:
    """Say whether a reference names a file or directory (not a module or a model id of a hub)."""
    head = reference.rpartition(":")[0] or reference
    return head.endswith((".py", ".pt2")) or (folder / reference).is_dir() or reference.startswith(".")


TEMPLATE = """\
# What this app packages. `sdk package` in this folder needs nothing else; flags win over this file.
# Paths are relative to this file.

# The model: file.py:factory or pkg.mod:factory (returns a module, or module and example inputs),
# a .pt2 file of torch.export, a Hugging Face directory or id.
model: {model}

# A function that returns the example inputs, for a model that comes without.
# inputs: data.py:inputs

# A function that returns an iterable of input tuples. Without it losses are estimated without data.
{calibration}

# A function metric(run) -> float, higher is better; `run` takes the model's inputs.
{metric}

# What loss means: auto, kl, kl_probabilities, cosine or mse.
loss: auto

# Best quality within max_size (12MB, 12MiB, 12_000_000); or the smallest file within max_loss.
budgets:
  {max_size}
  # max_loss: 0.02

# `sdk devices list` shows all.
devices: [{devices}]

# auto picks by device; or executorch, tflite, coreml, or several: [executorch, tflite].
target: {target}

# The least OS version to package for; by default that of the device.
# min_os: 17

# Where the bundle goes; by default dist/<model>-<device>-<target>.
# out: dist/app

# Run code that a model brings with it. Leave it out unless you wrote the model.
# trust: false
"""


def template(
    model: str = "model.py:factory",
    devices: Iterable[str] = ("pixel8",),
    target: str = "auto",
    calibration: str | None = None,
    metric: str | None = None,
    max_size: str | None = None,
) -> str:
    """Return the text of a commented `sdk.yaml`."""
    return TEMPLATE.format(
        model=model,
        devices=", ".join(devices),
        target=target,
        calibration=f"calibration: {calibration}" if calibration else "# calibration: data.py:calibration",
        metric=f"metric: {metric}" if metric else "# metric: data.py:metric",
        max_size=f"max_size: {max_size}" if max_size else "# max_size: 12MB",
    )
