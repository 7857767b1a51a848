"""From a quantized program to the bytes of a .pte."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sdk.errors import LoweringError
from sdk.lowering.types import Quantized
from targets.executorch.graph import quantized_program
from targets.executorch.haste import hastened

ALIGNMENT = 16
"""Bytes that each blob in the file begins at a multiple of; what XNNPACK asks of its constants."""


def lower_program(quantized: Quantized) -> bytes:
    """Return the .pte of a quantized model; LoweringError with the backend's own words when it refuses."""
    import torch

    with _quiet(), hastened():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

        program = quantized_program(quantized)
        try:
            with torch.no_grad():
                edge = to_edge_transform_and_lower(
                    program,
                    partitioner=[XnnpackPartitioner()],
                    compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
                )
                made = edge.to_executorch(ExecutorchBackendConfig(segment_alignment=ALIGNMENT))
        except Exception as error:
            first = (str(error).strip() or "no message").splitlines()[0][:240]
            raise LoweringError(f"ExecuTorch refused the model: {type(error).__name__}: {first}") from error
        return bytes(made.buffer)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the toolchain's warnings, which are about itself."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
