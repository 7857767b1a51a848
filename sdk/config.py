"""The project file `sdk.yaml`: what an app packages, so that a command line needs nothing else."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sdk.devices.reading import read_model
from sdk.errors import BadInput
from sdk.units import parse_size

FILE = "sdk.yaml"

LOSSES = ("auto", "kl", "kl_probabilities", "cosine", "mse")


def parse_bytes(value: object) -> int:
    """Return the bytes that a size in a file means; ValueError, which pydantic reports with the field."""
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


def _loss(value: object) -> object:
    if isinstance(value, str) and value not in LOSSES and not (":" in value and value.rpartition(":")[2].isidentifier()):
        raise ValueError(f"write one of {', '.join(LOSSES)}, or file.py:function")
    return value


Text = Annotated[str, Field(strict=True, min_length=1)]
Reference = Annotated[Text, BeforeValidator(_reference)]
LossName = Annotated[Text, BeforeValidator(_loss)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_one_or_more), Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How far a number may move the wrong way: by a share of the baseline's (0.02 is 2 %) or by an amount."""

    text: str
    share: float = 0.0
    amount: float = 0.0


def _allowance(sign: str, amount: Callable[[str], float], example: str) -> BeforeValidator:
    """Read `+2%` or a signed amount such as `+100kB`, `+2ms`, `-0.01`."""

    def read(value: object) -> object:
        if isinstance(value, Allowance):
            return value
        text = value.strip() if isinstance(value, str) else ""
        try:
            if text[:1] != sign:
                raise ValueError
            share = text.endswith("%")
            number = float(text[1:-1]) / 100 if share else amount(text[1:])
            if not 0 <= number < math.inf:
                raise ValueError
        except (ValueError, BadInput):
            raise ValueError(f"write {example}, in quotes") from None
        return Allowance(text, share=number) if share else Allowance(text, amount=number)

    return BeforeValidator(read)


def _milliseconds(text: object) -> float:
    """`30ms` or `0.5s` as milliseconds."""
    match = re.fullmatch(r"([0-9.]+) ?(ms|s)", str(text).strip())
    number = float(match[1]) * (1000 if match[2] == "s" else 1) if match else -1.0
    if not 0 < number < math.inf:
        raise ValueError("write a time such as 30ms")
    return number


def _size_or_zero(text: str) -> float:
    return 0.0 if text == "0" else float(parse_size(text))


def _whole(text: str) -> float:
    return float(int(text))


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Milliseconds = Annotated[float, BeforeValidator(_milliseconds)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
BytesGrowth = Annotated[Allowance, _allowance("+", _size_or_zero, "'+2%' or '+100kB'")]
TimeGrowth = Annotated[Allowance, _allowance("+", _milliseconds, "'+5%' or '+2ms'")]
Growth = Annotated[Allowance, _allowance("+", float, "'+5%' or '+0.01'")]
Drop = Annotated[Allowance, _allowance("-", float, "'-1%' or '-0.01'")]
CountGrowth = Annotated[Allowance, _allowance("+", _whole, "'+0' or '+2'")]
Level = Annotated[Literal["fail", "warn", "off"], BeforeValidator(lambda value: "off" if value is False else value)]


class Budgets(_Frozen):
    """Bytes that the finished file may have, loss that it may add, and its predicted peak memory and latency (ms)."""

    max_size: Annotated[int, BeforeValidator(parse_bytes)] | None = None
    max_loss: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    max_memory: Annotated[int, BeforeValidator(parse_bytes)] | None = None
    max_latency: Milliseconds | None = None


class Gate(_Frozen):
    """What `sdk gate` lets pass: `max_…` and `min_…` are absolute, the others compare with the baseline.

    `+2%` is a share of the baseline's value, `+100kB` an amount. Levels say what a change of kind is: `fail`, `warn`
    (told, exit code 0) or `off`.
    """

    max_size: Bytes | None = None
    size: BytesGrowth = Allowance("+2%", share=0.02)
    max_peak_memory: Bytes | None = None
    peak_memory: BytesGrowth = Allowance("+5%", share=0.05)
    max_latency_p50: Milliseconds | None = None
    latency_p50: TimeGrowth = Allowance("+5%", share=0.05)
    max_latency_p90: Milliseconds | None = None
    latency_p90: TimeGrowth = Allowance("+10%", share=0.10)
    max_loss: Annotated[Finite, Field(gt=0)] | None = None
    loss: Growth = Allowance("+5%", share=0.05)
    min_metric: Finite | None = None
    metric: Drop = Allowance("-1%", share=0.01)
    max_relative_error: Annotated[Finite, Field(gt=0)] | None = None
    relative_error: Growth = Allowance("+50%", share=0.5)
    outside_ops: CountGrowth = Allowance("+0")
    device: Level = "fail"
    target: Level = "fail"
    min_os: Level = "fail"
    interface: Level = "fail"
    calibration: Level = "fail"
    schemes: Level = "warn"
    tools: Level = "warn"
    notes: Level = "warn"


class Project(_Frozen):
    """One `sdk.yaml`; its references and paths are relative to the file.

    `model`: a reference; `inputs`: a function that returns example inputs; `calibration`: one that returns
    an iterable of input tuples; `metric`: a function `metric(run) -> float`; `devices`, `target`: one name
    or several; `accelerator`: what the devices are to run it on; `trust`: run code that a model brings; `gate`: what
    `sdk gate` lets pass.
    """

    model: Text | None = None
    inputs: Reference | None = None
    calibration: Reference | None = None
    metric: Reference | None = None
    loss: LossName = "auto"
    budgets: Annotated[Budgets, BeforeValidator(_or_empty)] = Budgets()
    devices: Words | None = None
    target: Words | None = None
    accelerator: Literal["cpu", "gpu", "npu", "auto"] | None = None
    min_os: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    out: Text | None = None
    trust: Annotated[bool, Field(strict=True)] = False
    gate: Annotated[Gate, BeforeValidator(_or_empty)] = Gate()


def load_project(path: Path | None, folder: Path | None = None) -> Project:
    """Return the project file at `path`, or `sdk.yaml` in `folder` (default: here), or an empty project.

    Its references and `out` come back relative to the current directory. BadInput `file: key: value: mend`.
    """
    found = project_file(path, folder)
    if found is None:
        return Project()
    project = read_model(found, Project, str(found))
    base = os.path.relpath(found.parent)
    return project if base == "." else project.model_copy(update=_moved(project, base))


def project_file(path: Path | None, folder: Path | None = None) -> Path | None:
    """Return where the project file is: `path`, or `sdk.yaml` in that directory or in `folder` (default: here), if any."""
    if path is not None:
        return path / FILE if path.is_dir() else path
    found = (folder or Path()) / FILE
    return found if found.exists() else None


def _moved(project: Project, base: str) -> dict[str, str]:
    moved = {}
    for field in ("model", "inputs", "calibration", "metric", "loss"):
        value = getattr(project, field)
        if value is not None and (field != "loss" or ":" in value) and is_path(value, Path(base)):
            moved[field] = os.path.normpath(os.path.join(base, value))
    if project.out is not None:
        moved["out"] = os.path.normpath(os.path.join(base, project.out))
    return moved


def is_path(reference: str, folder: Path = Path()) -> bool:
    """Say whether a reference names a file or directory (not a module or a model id of a hub)."""
    head = reference.rpartition(":")[0] or reference
    return head.endswith((".py", ".pt2", ".gguf")) or (folder / reference).is_dir() or reference.startswith(".")


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

# What loss means: auto, kl, kl_probabilities, cosine or mse, or losses.py:function (reference, outputs) -> scalar tensor.
loss: auto

# Best quality within max_size (12MB, 12MiB, 12_000_000); or the smallest file within max_loss.
budgets:
  {max_size}
  # max_loss: 0.02
  # max_memory: 60MB
  # max_latency: 8ms

# `sdk devices list` shows all.
devices: [{devices}]

# auto picks by device; or executorch, tflite, coreml, or several: [executorch, tflite].
target: {target}

# cpu, gpu or npu, as the device's profile allows; by default what the target runs on by itself.
# accelerator: gpu

# The least OS version to package for; by default that of the device.
# min_os: 17

# Where the bundle goes; by default dist/<model>-<device>-<target>.
# out: dist/app

# Run code that a model brings with it. Leave it out unless you wrote the model.
# trust: false

# What `sdk gate` lets pass against a baseline; docs/gate.md lists all.
# gate:
#   max_size: 12MB
#   size: "+2%"
#   tools: fail
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
