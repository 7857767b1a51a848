"""Writes the Xcode performance-test package of a Core ML bundle: the files of `programs/xcode`, and what they measure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.bundles import Kind, Manifest, Tensor, write_bundle
from sdk.check import programs
from sdk.check.judging import output_limit
from sdk.check.protocols import Protocol
from sdk.check.runners.runner import Job
from sdk.errors import BadInput

TEMPLATE = Path(programs.__file__).parent / "xcode"
"""The files that every package has."""
FORMAT = 1
"""Version of `check.json` and of the transcript."""
PROGRAM = "Tests/CheckTests.swift"
MEASURED = "Tests/Measured"
"""Where the artifact, its recorded run and `check.json` are."""
PACKAGE = Kind("test package", ("Package.swift", f"{MEASURED}/check.json"), "--on xcode:DIR")
UNITS = ("cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine")
"""Compute units that a bundle may ask for; one that asks for none is loaded with `all`, as apps do by default."""


def write_package(place: Path, job: Job, manifest: Manifest, protocol: Protocol) -> None:
    """Write the package at `place`, whole or not at all; BadInput where that cannot be, or an input does not fit Core ML."""
    write_bundle(place, lambda folder: _fill(folder, job, manifest, protocol), PACKAGE)


def units_of(manifest: Manifest) -> str:
    """Return the `MLComputeUnits` that the artifact is to be loaded with."""
    made_for = manifest.accelerator
    return made_for.backend if made_for is not None and made_for.backend in UNITS else "all"


def steps_of(protocol: Protocol) -> dict[str, Any]:
    """Return the protocol as `check.json` and transcripts hold it."""
    return {
        "name": protocol.name, "warmup": protocol.warmup, "runs": protocol.runs, "seconds": float(protocol.seconds),
        "repeats": protocol.repeats, "cooldown": float(protocol.cooldown),
    }  # fmt: skip


def _fill(folder: Path, job: Job, manifest: Manifest, protocol: Protocol) -> None:
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    measured = folder / MEASURED
    measured.mkdir()
    shutil.copytree(job.artifact, measured / job.artifact.name, copy_function=shutil.copyfile)
    check = {
        "format": FORMAT, "artifact_sha256": manifest.artifact.sha256, "package": job.artifact.name,
        "compute_units": units_of(manifest), "steps": steps_of(protocol), "deadline": float(protocol.deadline),
        "limit": output_limit(manifest.rounding_floor.value),
        "inputs": _write(measured, "input", manifest.model.inputs, job.inputs),
        "outputs": _write(measured, "output", manifest.model.outputs, job.outputs),
    }  # fmt: skip
    text = json.dumps(check, indent=1, sort_keys=True, ensure_ascii=False)
    (measured / "check.json").write_text(text + "\n", encoding="utf-8")


def _write(folder: Path, kind: str, specs: Sequence[Tensor], arrays: Sequence[Any]) -> list[dict[str, Any]]:
    """Write each array as raw little-endian numbers of one of the two types that Core ML's arrays share with all."""
    import numpy

    said = []
    for place, (spec, array) in enumerate(zip(specs, arrays, strict=True)):
        dtype = "float32" if array.dtype.kind == "f" else "int32"
        made = array.astype(f"<{dtype[0]}4", order="C")
        if dtype == "int32" and not numpy.array_equal(made, array):
            raise BadInput(f"{kind} {spec.name} holds integers beyond 32 bits, which Core ML does not know: record smaller ones")
        name = f"{kind}_{place:03}.bin"
        (folder / name).write_bytes(made.tobytes())
        said.append({"name": spec.name, "dtype": dtype, "shape": list(array.shape), "file": name})
    return said
