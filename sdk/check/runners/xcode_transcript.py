"""Reads the transcript that the test of an Xcode package wrote; `CheckTests.swift` has the same structures."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdk.check.result import Bytes, Nanoseconds, ProtocolEntry
from sdk.check.runners.runner import Run
from sdk.check.transcript import Transcript
from sdk.errors import BadInput


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MachineEntry(_Frozen):
    """What the machine says of itself: `machine` such as `iPhone16,1`, and whether it is the simulator of one."""

    machine: str
    system: Literal["ios", "ipados", "macos"]
    version: str
    abi: str
    simulator: bool


class StateEntry(_Frozen):
    """`ProcessInfo.thermalState`, and whether low power mode is on."""

    thermal: Literal["nominal", "fair", "serious", "critical", "unknown"]
    low_power: bool


class OutputEntry(_Frozen):
    """One output: base64 of its little-endian numbers in the order of its shape."""

    dtype: Literal["float32", "int32"]
    shape: list[Annotated[int, Field(ge=0)]]
    data: str

    def array(self) -> Any:
        """Return the numbers as a numpy array; ValueError where data and shape do not agree."""
        import numpy

        data = base64.b64decode(self.data, validate=True)
        return numpy.frombuffer(data, f"<{self.dtype[0]}4").reshape(self.shape)


class RepeatEntry(_Frozen):
    """One load of the compiled model, its first run and the measured ones; what the system does not say is absent."""

    load_ns: Nanoseconds
    first_ns: Nanoseconds
    samples_ns: Annotated[list[Nanoseconds], Field(min_length=1)]
    stride: Annotated[int, Field(ge=1)]
    base_bytes: Bytes | None = None
    peak_bytes: Bytes | None = None
    resident_bytes: list[Bytes]
    outputs: list[OutputEntry]

    def run(self, runtime: str) -> Run:
        """Return it as every runner tells a repeat; ValueError where an output is damaged."""
        told = Transcript(
            runtime, self.load_ns, self.first_ns, tuple(self.samples_ns), stride=self.stride, base_bytes=self.base_bytes,
            peak_bytes=self.peak_bytes, resident=tuple(self.resident_bytes),
        )  # fmt: skip
        return Run(told, tuple(output.array() for output in self.outputs))


class StepsEntry(ProtocolEntry):
    """The protocol that was kept, read as strictly as the rest of the file."""

    model_config = ConfigDict(strict=True)


class XcodeTranscript(_Frozen):
    """Everything that the test wrote; `compile_ns` is what `MLModel.compileModel` took, once, before loading."""

    format: Literal[1]
    artifact_sha256: str
    compute_units: str
    steps: StepsEntry
    device: MachineEntry
    before: StateEntry
    after: StateEntry
    compile_ns: Nanoseconds
    repeats: Annotated[list[RepeatEntry], Field(min_length=1)]

    def runs(self, path: Path) -> tuple[Run, ...]:
        """Return the repeats; BadInput, which names `path`, where some of what the protocol asks for is missing."""
        system = {"ios": "iOS", "ipados": "iPadOS", "macos": "macOS"}[self.device.system]
        runtime = f"Core ML ({system} {self.device.version}, {self.compute_units})"
        if len(self.repeats) != self.steps.repeats:
            raise BadInput(f"{path}: holds {len(self.repeats)} of {self.steps.repeats} repeats: {AGAIN}")
        short = [each for each in self.repeats if len(each.samples_ns) * each.stride < self.steps.runs]
        if short:
            held = len(short[0].samples_ns) * short[0].stride
            raise BadInput(f"{path}: a repeat holds {held} of at least {self.steps.runs} runs: {AGAIN}")
        try:
            return tuple(each.run(runtime) for each in self.repeats)
        except (ValueError, binascii.Error) as error:
            raise BadInput(f"{path}: an output cannot be read ({error}): {AGAIN}") from None


AGAIN = "run the package's test again"


def read_transcript(path: Path) -> XcodeTranscript:
    """Read the file; BadInput `file: field: problem` where it is damaged or none."""
    try:
        return XcodeTranscript.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}): {AGAIN}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        raise BadInput(f"{path}: {f'{field}: ' if field else ''}{first['msg'].lower()}: {AGAIN}") from None
