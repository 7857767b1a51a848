"""Opens a finished bundle: its manifest, its plan, and its artifact executed in the target's runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.bundles.check import artifact_finding
from sdk.bundles.manifest import MANIFEST, PLAN, REFERENCE, Manifest, Tensor, parse
from sdk.bundles.tensors import read_reference
from sdk.errors import BadInput, CheckFailed
from sdk.lowering.discovery import ready_target
from sdk.lowering.protocol import Executable


@dataclass(slots=True)
class Bundle:
    """A finished bundle on disk; the artifact is loaded at the first `run`."""

    path: Path
    manifest: Manifest
    _executable: Executable | None = field(default=None, repr=False)

    @property
    def artifact(self) -> Path:
        """Path of the file or directory that ships."""
        return self.path / self.manifest.artifact.path

    @property
    def plan(self) -> str:
        """Text of the plan that the artifact was made from (YAML)."""
        return (self.path / PLAN).read_text("utf-8")

    @property
    def reference(self) -> tuple[list[Any], list[Any]]:
        """The recorded (inputs, outputs) of the artifact, numpy arrays."""
        return read_reference(self.path / REFERENCE)

    def run(self, *inputs: Any) -> list[Any]:
        """Execute the artifact in its runtime: arrays or tensors in the model's order → list of numpy arrays.

        BadInput when the inputs do not fit, CheckFailed when the artifact is not the one that was written,
        Missing when the runtime is absent.
        """
        arrays = as_arrays(inputs, self.manifest.model.inputs)
        return list(self.executable().run(arrays))

    def executable(self) -> Executable:
        """Return the loaded artifact, whose hash is checked before it is loaded."""
        if self._executable is None:
            found = artifact_finding(self.path, self.manifest)
            if not found.ok:
                raise CheckFailed(f"{self.path}: {found.what}: {found.detail}")
            self._executable = ready_target(self.manifest.target).open(self.artifact)
        return self._executable


def open_bundle(path: str | Path) -> Bundle:
    """Read the bundle at `path`; BadInput when there is none, CheckFailed when its manifest was changed."""
    path = Path(path)
    manifest = path / MANIFEST
    if not path.is_dir():
        raise BadInput(f"{path}: there is no such bundle: name the directory that `sdk package` wrote")
    if not manifest.is_file():
        raise BadInput(f"{path}: is not a bundle: it has no {MANIFEST}")
    return Bundle(path, parse(manifest.read_bytes(), str(manifest)))


def as_arrays(inputs: tuple[Any, ...], specs: tuple[Tensor, ...]) -> list[Any]:
    """Return `inputs` as contiguous numpy arrays of the dtypes and shapes of `specs`; BadInput when they differ."""
    if len(inputs) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise BadInput(f"the model takes {len(specs)} inputs ({names}), not {len(inputs)}")
    return [_as_array(value, spec) for value, spec in zip(inputs, specs, strict=True)]


def _as_array(value: Any, spec: Tensor) -> Any:
    import numpy

    array = numpy.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    if array.shape != spec.shape:
        raise BadInput(f"input {spec.name} has shape {list(array.shape)}; the model takes {list(spec.shape)}")
    wanted = numpy.dtype(spec.dtype)
    if array.dtype != wanted and array.dtype.kind != wanted.kind:
        raise BadInput(f"input {spec.name} is {array.dtype}; the model takes {spec.dtype}")
    return numpy.ascontiguousarray(array, dtype=wanted)
