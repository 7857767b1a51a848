"""Makes the backend's lowering quicker without changing its file: no copies of provenance, no passes without work.

Both are replacements of names inside the toolchain, held only while a `with` block runs and then undone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()

OPERATORS_OF_PASS: dict[str, tuple[str, ...]] = {
    "XNNPACKRemoveCloneOpsTransform": ("clone", "dim_order"),
    "DimOrderOpsRevertPass": ("dim_order",),
    "ConvertToUpsampleBilinear2d": ("upsample", "aten.index.Tensor"),
    "ConvertToSDPAPass": ("softmax", "scaled_dot_product"),
    "FuseBatchNormPass": ("batch_norm",),
    "DecomposeBatchNorm": ("batch_norm",),
    "DecomposeConcatenate": ("aten.cat.",),
    "RemoveGetItemPass": ("max_pool2d", "aten.max."),
    "InsertPadQDQPass": ("pad",),
    "Conv1dUnsqueezePass": ("aten.convolution.",),
    "PReLUReshapePass": ("prelu",),
    "ConvertToLinearPass": ("aten.addmm.", "aten.mm.", "aten.bmm.", "linear"),
}
"""Pass of the backend → parts of the names of the operators that it rewrites; it is left out where none is in the graph."""


@contextmanager
def hastened() -> Iterator[None]:
    """Run the block with the quicker forms in place; whatever happens, the toolchain is as before afterwards."""
    from executorch.backends.xnnpack import xnnpack_preprocess
    from torch.fx import traceback

    with _LOCK:
        source, manager = traceback.NodeSource.__init__, xnnpack_preprocess.XNNPACKPassManager
        traceback.NodeSource.__init__ = _shared_provenance(source)
        xnnpack_preprocess.XNNPACKPassManager = _needed_passes(manager)
        try:
            yield
        finally:
            traceback.NodeSource.__init__ = source
            xnnpack_preprocess.XNNPACKPassManager = manager


def _shared_provenance(original: Callable[..., None]) -> Callable[..., None]:
    """A constructor that refers to a node's history instead of copying it deeply at every trace."""

    def construct(self: Any, node: Any, pass_name: str = "", action: Any = None) -> None:
        original(self, None, pass_name, action)
        if node is not None:
            self.node_info = self.NodeInfo(name=node.name, target=str(node.target), graph_id=id(node.graph))
            self.from_node = node.meta.get("from_node", [])

    return construct


def _needed_passes(manager: Any) -> Callable[..., Any]:
    """A pass manager without the passes whose operators the program does not have."""

    def build(program: Any, passes: Any = None) -> Any:
        made = manager(program, passes)
        if not passes:
            names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
            made.passes = [one for one in made.passes if _has_work(one.__name__, names)]
        return made

    return build


def _has_work(name: str, operators: set[str]) -> bool:
    parts = OPERATORS_OF_PASS.get(name)
    return parts is None or any(part in operator for part in parts for operator in operators)
