"""From a quantized program to the bytes of a .pte."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sdk.errors import LoweringError
from sdk.lowering.types import Quantized
from sdk.models.language import Language
from targets.executorch.backends.backend import Backend
from targets.executorch.decoding import metadata
from targets.executorch.graph import quantized_program
from targets.executorch.haste import hastened
from targets.executorch.once import decomposed_once, partitioner
from targets.executorch.padding import configs
from targets.executorch.repeating import place_loops
from targets.executorch.retrace import without_idle_work
from targets.executorch.sharing import shared

ALIGNMENT = 16
"""Bytes that each blob in the file begins at a multiple of; what XNNPACK asks of its constants."""


def lower_program(quantized: Quantized) -> bytes:
    """Return the .pte of a quantized model; LoweringError with the backend's own words when it refuses."""
    language = quantized.model.language
    with _quiet(), hastened(), (nullcontext() if language is None else decomposed_once()):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        if language is None:
            return _lower(quantized, XnnpackPartitioner(configs=configs()), looped=True)
        return shared(_lower(quantized, partitioner(), looped=False))


def lower_through(quantized: Quantized, backend: Backend, kind: str, min_os: float | None) -> bytes:
    """Return the .pte of a quantized model for an accelerator; LoweringError as `lower_program`."""
    with _quiet(), hastened(), backend.patched():
        return _lower(quantized, backend.partitioner(kind, min_os), looped=False)


def _lower(quantized: Quantized, chosen: Any, looped: bool) -> bytes:
    import torch

    language = quantized.model.language
    program, loops = quantized_program(quantized, looped)
    try:
        with torch.no_grad(), without_idle_work():
            edge = _to_edge(program, chosen, None if language is None else metadata(language))
            place_loops(edge, loops, lambda step: _to_edge(step, chosen, None))
            made = edge.to_executorch(_config(language))
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0][:240]
        told = f"{type(error).__name__}: {first}{_unusual(quantized.model.program)}"
        raise LoweringError(f"ExecuTorch refused the model: {told}") from error
    return bytes(made.buffer)


def _unusual(program: Any) -> str:
    """The end of a refusal: operators of the program that torch's core set has not, which ExecuTorch is made for, and a mend."""
    import torch

    try:
        nodes = program.run_decompositions().graph.nodes
    except Exception:
        return ""  # the refusal itself is what counts
    called = [each for node in nodes if node.op == "call_function" for each in (node.target, *node.args)]  # effects name theirs
    operators = [each for each in called if isinstance(each, torch._ops.OpOverload) and each.namespace == "aten"]
    found = ", ".join(sorted({str(each) for each in operators if torch.Tag.core not in each.tags}))
    return f"; {found} may be what it lacks: write the model without, or choose another target" if found else ""


def _to_edge(program: Any, chosen: Any, constants: dict[str, Any] | None) -> Any:
    """The program in the toolchain's dialect, its parts that the backend takes lowered."""
    from executorch.backends.xnnpack.utils.configs import get_transform_passes
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    return to_edge_transform_and_lower(
        program,
        transform_passes=get_transform_passes(),
        partitioner=[chosen],
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        constant_methods=constants,
    )


def _config(language: Language | None) -> Any:
    """What the program's memory is planned with: a language model's tokens are the caller's, in any number."""
    from executorch.exir import ExecutorchBackendConfig

    if language is None:
        return ExecutorchBackendConfig(segment_alignment=ALIGNMENT)
    from executorch.exir.passes import MemoryPlanningPass

    return ExecutorchBackendConfig(
        segment_alignment=ALIGNMENT, memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False),
        sym_shape_eval_pass=_any_count(language.window),
    )


def _any_count(window: int) -> Any:
    """A pass that lets every tensor with the extent `window` be shorter at run time."""
    from executorch.exir.schema import TensorShapeDynamism
    from executorch.exir.tensor import TensorSpec
    from torch.fx.passes.infra.pass_base import PassBase, PassResult
    from torch.utils import _pytree as pytree

    class AnyCount(PassBase):  # type: ignore[misc]
        def call(self, graph_module: Any) -> Any:
            for node in graph_module.graph.nodes:
                for spec in pytree.tree_leaves(node.meta.get("spec", [])):
                    if isinstance(spec, TensorSpec) and window in spec.shape:
                        spec.shape_dynamism = TensorShapeDynamism.DYNAMIC_BOUND
            return PassResult(graph_module, True)

    return AnyCount()


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
