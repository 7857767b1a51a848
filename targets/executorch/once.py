"""Decomposes a language model's long graph once instead of three times, and gives its operators' shapes without computing.

The stock route decomposes to make the program functional, again to ask the backend what to keep, and again to forget what
it asked. A language model's operators need one pass: the replacements below are held only while a `with` block runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()


@contextmanager
def decomposed_once() -> Iterator[None]:
    """Run the block with the shorter route in place; whatever happens, the toolchain is as before afterwards."""
    import torchao  # noqa: F401  (registers torch.ops.torchao)
    from torch._subclasses import fake_impls
    from torch.export import ExportedProgram, exported_program

    rules = _rules()
    with _LOCK:
        decompose, forget = ExportedProgram.run_decompositions, exported_program._deregister_op_impl
        ExportedProgram.run_decompositions = _unless_empty(decompose)
        exported_program._deregister_op_impl = lambda op: None if op in rules else forget(op)
        for op, rule in rules.items():
            fake_impls.register_op_impl(op)(rule)
        try:
            yield
        finally:
            ExportedProgram.run_decompositions, exported_program._deregister_op_impl = decompose, forget
            for op in rules:
                fake_impls._deregister_op_impl(op)


def partitioner() -> Any:
    """XNNPACK's partitioner, which keeps every operator that it may take, so that nobody has to ask it about each."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir.program._program import _remove_invalid_ops_for_not_decompose

    class Keeping(XnnpackPartitioner):  # type: ignore[misc]
        def ops_to_not_decompose(self, ep: Any) -> Any:
            kept, _ = super().ops_to_not_decompose(ep)
            return _remove_invalid_ops_for_not_decompose(kept), None

    return Keeping()


def _unless_empty(original: Any) -> Any:
    """A `run_decompositions` that leaves a program alone when it is asked for nothing but functional form."""

    def run(self: Any, decomp_table: Any = None, *args: Any, **words: Any) -> Any:
        empty = type(decomp_table) is dict and not decomp_table  # the default table looks empty until it is used
        return self if empty else original(self, decomp_table, *args, **words)

    return run


def _rules() -> dict[Any, Any]:
    """torchao's operator → its result in shape and type alone; they are Python functions of many operators each."""
    import torch

    def dequantize(mode: Any, func: Any, codes: Any, *args: Any, **words: Any) -> Any:
        with mode:
            return torch.empty_like(codes, dtype=torch.float32)

    def quantize(mode: Any, func: Any, value: Any, *args: Any, **words: Any) -> Any:
        with mode:
            return torch.empty_like(value, dtype=torch.int8)

    def choose(mode: Any, func: Any, value: Any, mapping: Any, block: Any, *args: Any, **words: Any) -> Any:
        rows = [extent for extent, size in zip(value.shape, block, strict=True) if size == 1]
        with mode:
            return torch.empty(rows, dtype=torch.float32), torch.empty(rows, dtype=torch.int8)

    ops = torch.ops.torchao
    return {
        ops.dequantize_affine.default: dequantize,
        ops.quantize_affine.default: quantize,
        ops.choose_qparams_affine.default: choose,
    }
