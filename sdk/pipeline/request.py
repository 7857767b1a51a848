"""What a user asks for, in one place: the same words as the command line and the Python API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAKEN, EVALUATED = 256, 64
"""Calibration samples that rounding's statistics read at most, and those among them that plans are judged on."""

TAKEN_WINDOWS, EVALUATED_WINDOWS = 64, 8
"""The same for the windows of text of a language model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One model for one device and target.

    `model`: a reference or a module; `example`: its example inputs; `device`: a profile's name or file; `target`:
    a name or `auto`; `accelerator`: `cpu`, `gpu`, `npu` or `auto` (None: what the target runs on by itself); `max_size` in
    bytes; `max_loss` in units of `loss`; `max_memory` in bytes and `max_latency` in ms, both as
    predicted; `uniform`: a preset; `plan`: a plan file; `recovered`: a file of grids that were trained for it;
    `calibration`: iterable of input tuples, or `file.py:function` that returns one; `metric`: callable or reference,
    higher is better; `loss`: a name, a function of the two models' outputs, or a reference to one; `folder`: what relative
    references are relative to; `trust`: run code that a model brings;
    `objective`: what is made least within the limits (None: as these ask for, `sdk.pipeline.choosing.limits_of`);
    `effort`: how many plans are tried in torch before one is lowered (`sdk.pipeline.refining`);
    `context`: tokens that a language model's bundle can hold (None: the default of `sdk.models.language`);
    `command` and `project_sha256`: how it was asked for, and the sha256 of the `sdk.yaml` that was read.
    """

    model: Any
    device: str
    target: str = "auto"
    accelerator: str | None = None
    example: Any = None
    min_os: float | None = None
    max_size: int | None = None
    max_loss: float | None = None
    max_memory: int | None = None
    max_latency: float | None = None
    uniform: str | None = None
    plan: Path | None = None
    recovered: Path | None = None
    calibration: Iterable[Any] | str | None = None
    metric: Any = None
    loss: Any = "auto"
    out: Path | None = None
    folder: Path | None = None
    name: str | None = None
    trust: bool = False
    context: int | None = None
    effort: str = "quick"
    objective: str | None = None
    command: str = ""
    project_sha256: str | None = None

    @property
    def given(self) -> bool:
        """Whether a plan or a preset decides every layer, and not the SDK."""
        return self.plan is not None or self.uniform is not None
