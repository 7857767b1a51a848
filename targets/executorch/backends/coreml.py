"""ExecuTorch's Core ML backend: `.pte` files whose delegates are Core ML packages, for Apple's GPU and Neural Engine."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from sdk.schemes import Scheme
from targets.executorch.backends.backend import Part

UNITS = {"gpu": "CPU_AND_GPU", "npu": "CPU_AND_NE"}
"""Accelerator → the compute units that a delegate asks Core ML for."""

OLDEST, NEWEST = 16, 18
"""iOS versions whose programs are written; newer systems run the newest one's."""

BLOCKWISE = 18
"""The iOS version from which a weight is unpacked by one operation without a point and an axis."""


class CoreML:
    """The backend behind the `Backend` protocol."""

    name = "coreml"
    title = "ExecuTorch's Core ML backend"
    delegate = "CoreMLBackend"
    kinds = ("gpu", "npu")
    packages = ("executorch", "coremltools", "torchao", "torch")
    install = "pip install 'snugfit[executorch,coreml]'"
    table = "coreml.yaml"
    why_outside = "the Core ML backend's partitioner does not take it with these arguments"
    evaluated_by = "the Core ML packages in the delegates and the instructions around them, evaluated in float32"

    def partitioner(self, kind: str, min_os: float | None) -> Any:
        """Return the partitioner for compute units and an iOS version, in float16."""
        import coremltools
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        ios = written_for(min_os)
        specs = CoreMLBackend.generate_compile_specs(
            compute_unit=coremltools.ComputeUnit[UNITS[kind]],
            minimum_deployment_target=coremltools.target[f"iOS{ios}"],
            compute_precision=coremltools.precision.FLOAT16,
        )
        return CoreMLPartitioner(compile_specs=specs)

    def overhead(self, scheme: Scheme, min_os: float | None) -> int:
        """Return the bytes of the operation that unpacks a weight, and of its blobs' headers."""
        if written_for(min_os) < BLOCKWISE:
            return 500
        return 240 if scheme.granularity == "group" else 295

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Write the same packages every time (no dates, no random identifiers), in silence. Afterwards all is as before."""
        from executorch.backends.apple.coreml.compiler import coreml_preprocess

        from targets.executorch.coreml_package import Settled

        before = coreml_preprocess.executorchcoreml
        coreml_preprocess.executorchcoreml = Settled(before)
        silent = io.StringIO()
        try:
            with redirect_stdout(silent), redirect_stderr(silent):  # progress bars
                yield
        finally:
            coreml_preprocess.executorchcoreml = before

    def read(self, payload: memoryview, blobs: Mapping[str, memoryview]) -> Part:
        """Read the package in a payload; CheckFailed when it is damaged."""
        from targets.executorch.coreml_part import part_of

        return part_of(bytes(payload))


def written_for(min_os: float | None) -> int:
    """Return the iOS version whose program is written for an OS floor."""
    return NEWEST if min_os is None else max(OLDEST, min(NEWEST, int(min_os)))


BACKEND = CoreML()
