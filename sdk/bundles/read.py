"""Opens a finished bundle: its manifest, its plan, and its artifact executed in the target's runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.bundles.check import artifact_finding, integrity
from sdk.bundles.manifest import MANIFEST, PLAN, REFERENCE, Manifest, Tensor, parse
from sdk.bundles.tensors import read_reference
from sdk.errors import BadInput, CheckFailed
from sdk.lowering import Executable, Target, accelerate
from sdk.lowering.discovery import find_target, ready


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

        BadInput when the inputs do not fit, CheckFailed when the artifact is not the one that was written or its runtime
        refuses the values, Missing when the runtime is absent.
        """
        arrays = as_arrays(inputs, self.manifest.model.inputs)
        executable = self.executable()
        try:
            return list(executable.run(arrays))
        except RuntimeError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise CheckFailed(f"{self.path}: {executable.runtime} refuses these inputs: {first}") from error

    def executable(self) -> Executable:
        """Return the loaded artifact, whose hash is checked before it is loaded."""
        if self._executable is None:
            found = artifact_finding(self.path, self.manifest)
            if not found.ok:
                raise CheckFailed(f"{self.path}: {found.what}: {found.detail}")
            self._executable = target_of(self.manifest).open(self.artifact)
        return self._executable


def open_bundle(path: str | Path) -> Bundle:
    """Read the bundle at `path`; BadInput when there is none, CheckFailed when its manifest was changed."""
    path = Path(path)
    manifest = path / MANIFEST
    if not path.is_dir():
        what = "is a file and no bundle" if path.is_file() else "there is no such bundle"
        raise BadInput(f"{path}: {what}: name the directory that `sdk package` wrote")
    if manifest.is_symlink() or not manifest.is_file():
        raise BadInput(f"{path}: is not a bundle: it has no {MANIFEST}")
    return Bundle(path, parse(manifest.read_bytes(), str(manifest)))


def sound_bundle(path: str | Path) -> Bundle:
    """Read the bundle at `path` as `open_bundle` does; CheckFailed when a file of it is not the one that was written."""
    bundle = open_bundle(path)
    for found in integrity(bundle.path, bundle.manifest):
        if not found.ok:
            raise CheckFailed(f"{path}: {found.what}: {found.detail}")
    return bundle


def target_of(manifest: Manifest) -> Target:
    """Return the target that wrote the artifact, in the variant for its accelerator; Missing says what is not installed."""
    target, made_for = find_target(manifest.target), manifest.accelerator
    return ready(accelerate(target, made_for.kind, made_for.backend) if made_for is not None else target)


def as_arrays(inputs: tuple[Any, ...], specs: tuple[Tensor, ...]) -> list[Any]:
    """Return `inputs` (arrays, tensors, nested lists) as contiguous numpy arrays of the dtypes and shapes of `specs`.

    Values are converted where nothing is lost but a float's last digits: float64 to float32, int32 ids to int64,
    booleans to 0 and 1, whole numbers of a nested list to float. An array of integers is not taken for floats: an image
    in 0…255 would pass unnoticed. BadInput names the input that does not fit.
    """
    if len(inputs) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise BadInput(f"the model takes {len(specs)} inputs ({names}), not {len(inputs)}")
    return [_as_array(value, spec) for value, spec in zip(inputs, specs, strict=True)]


def _as_array(value: Any, spec: Tensor) -> Any:
    import numpy

    array = _array_of(value, spec)
    if array.shape != spec.shape:
        raise BadInput(f"input {spec.name} has shape {list(array.shape)}; the model takes {list(spec.shape)}")
    wanted = numpy.dtype(spec.dtype)
    typed = hasattr(value, "dtype")
    if array.dtype.kind not in (_CONVERTED if typed else _READ)[wanted.kind]:
        raise BadInput(f"input {spec.name} is {array.dtype}; the model takes {spec.dtype}")
    with numpy.errstate(over="ignore"):
        made = numpy.asarray(array, dtype=wanted, order="C")
    kept = (numpy.isfinite(made) == numpy.isfinite(array)) if array.dtype.kind == "f" else made == array
    if not kept.all():
        raise BadInput(f"input {spec.name} holds {array[~kept].flat[0]}, which {spec.dtype} cannot hold")
    return made


_CONVERTED = {"f": "f", "i": "iub", "u": "iub", "b": "biu"}
"""Kind of an input's dtype (float, integer, unsigned, boolean) → kinds of arrays that may be converted to it."""

_READ = {**_CONVERTED, "f": "fiub"}
"""The same for nested lists, whose numbers say nothing of a dtype."""


def _array_of(value: Any, spec: Tensor) -> Any:
    """A tensor, array or nested list as a numpy array; half precision that numpy lacks becomes float32."""
    import numpy

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    try:
        return numpy.asarray(value)
    except ValueError as error:
        raise BadInput(f"input {spec.name} cannot be read as an array: {error}") from None
