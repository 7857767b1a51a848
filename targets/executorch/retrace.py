"""Leaves out the toolchain's work on graphs that nobody looks at: code that is not called, retraces that change nothing.

Its passes trace a whole graph again to bring shapes up to date, also where they found nothing to change, and write the
graph's Python code each time. The replacements below are held only while a `with` block runs.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()

HOOKS = (
    "call_operator", "call_getitem", "call_sym", "call_cond", "call_map", "call_while", "call_scan", "call_delegate",
    "call_submodule", "placeholder", "output", "on_attr", "inputs",
)  # fmt: skip
"""Methods of a pass through which its retrace may change something."""


@contextmanager
def without_idle_work() -> Iterator[None]:
    """Run the block with the replacements in place; whatever happens, the toolchain is as before afterwards."""
    from executorch.exir.pass_base import _ExportPassBase
    from torch.fx import GraphModule

    passes: Any = _ExportPassBase
    delegates: Any = importlib.import_module("torch._higher_order_ops.executorch_call_delegate")
    with _LOCK:
        recompile, retrace, execute, start = GraphModule.recompile, passes.call, delegates.call_delegate_cpu, passes.__call__
        GraphModule.recompile = _when_called(recompile)
        passes.call, passes.__call__ = _if_changed(retrace), _marked(start)
        delegates.call_delegate_cpu = _by_shape(execute)
        try:
            yield
        finally:
            GraphModule.recompile, passes.call, delegates.call_delegate_cpu = recompile, retrace, execute
            del passes.__call__  # it was inherited


def _when_called(original: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A `recompile` that writes the code when somebody asks for `forward`."""
    from torch.fx.graph import _PyTreeCodeGen

    class Later:
        def __get__(self, module: Any, owner: Any) -> Any:
            if module is None:
                return self
            original(module)  # puts the compiled function in this place
            return module.forward

    def recompile(self: Any) -> None:
        if isinstance(self._graph._codegen, _PyTreeCodeGen):
            known = self._graph._codegen.pytree_info
            self._in_spec, self._out_spec = known.in_spec, known.out_spec
        self._code = ""  # the toolchain prints modules into logs that nobody keeps
        type(self).forward = Later()

    return recompile


def _marked(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A pass's `__call__` that remembers the graph it was given, or leaves a pass out that has no work in it."""
    from torch.fx.passes.infra.pass_base import PassResult

    def call(self: Any, graph_module: Any) -> Any:
        idle = IDLE.get(type(self).__name__)
        if idle is not None and idle(graph_module.graph):
            return PassResult(graph_module, False)
        self.sdk_mark = _mark(graph_module.graph)
        return original(self, graph_module)

    return call


def _if_changed(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A pass's `call`, which traces the graph again, left out where the graph is as it was and tracing alters nothing."""
    from executorch.exir.pass_base import ExportPass
    from torch.fx.passes.infra.pass_base import PassResult

    def call(self: Any, graph_module: Any) -> Any:
        plain = all(getattr(type(self), name, None) is getattr(ExportPass, name, None) for name in HOOKS)
        if plain and getattr(self, "sdk_mark", None) == _mark(graph_module.graph) is not None:
            return PassResult(graph_module, False)
        return original(self, graph_module)

    return call


def _mark(graph: Any) -> list[tuple[Any, ...]] | None:
    """What tells a graph from itself after a change; None where some operator's result is not known yet."""
    if any(node.op == "call_function" and "val" not in node.meta for node in graph.nodes):
        return None
    return [(node, node.op, node.target, node.args, node.kwargs) for node in graph.nodes]


def _by_shape(original: Callable[..., Any]) -> Callable[..., Any]:
    """A delegate's result on fake tensors from the shapes that are known of it; computed where they are not."""
    from torch._subclasses.fake_tensor import FakeTensor

    def call(lowered: Any, *args: Any) -> Any:
        import torch

        program = lowered.original_module
        outputs = next(node for node in program.graph.nodes if node.op == "output").args[0]
        known: list[Any] = [getattr(node, "meta", {}).get("val") for node in outputs]
        fixed = all(isinstance(v, torch.Tensor) and all(isinstance(extent, int) for extent in v.shape) for v in known)
        modes = [arg.fake_mode for arg in args if isinstance(arg, FakeTensor)]
        if not fixed or not modes or program.graph_signature.buffers_to_mutate:
            return original(lowered, *args)
        with modes[0]:
            made = [torch.empty_strided(v.shape, v.stride(), dtype=v.dtype, device=v.device) for v in known]
        return torch.utils._pytree.tree_unflatten(made, program.call_spec.out_spec)

    return call


def _no_constants(graph: Any) -> bool:
    """Constant folding has nothing to fold where every operator has a computed input."""
    return all(node.all_input_nodes for node in graph.nodes if node.op == "call_function")


def _no_views(graph: Any) -> bool:
    return not any(getattr(node.target, "is_view", False) for node in graph.nodes if node.op == "call_function")


def _no_transpose(graph: Any) -> bool:
    import torch

    return not any(node.target is torch.ops.aten.t.default for node in graph.nodes)


def _no_symbols_for_tensors(graph: Any) -> bool:
    """No operator is given a number that is known at run time where it takes a tensor."""
    import torch

    def taken(node: Any) -> Iterator[tuple[Any, Any]]:
        schema = getattr(node.target, "_schema", None)
        yield from zip(node.args, schema.arguments if schema else (), strict=False)

    symbols = (torch.SymInt, torch.SymFloat, torch.SymBool)
    return not any(
        isinstance(argument.type, torch.TensorType) and isinstance(getattr(value, "meta", {}).get("val"), symbols)
        for node in graph.nodes if node.op == "call_function" and not node.kwargs
        for value, argument in taken(node)
    )


IDLE: dict[str, Callable[[Any], bool]] = {
    "ConstPropPass": _no_constants,
    "NormalizeTransposePass": _no_transpose,
    "ReplaceBrokenOpsWithFunctionalOpsPass": _no_views,
    "SymToTensorPass": _no_symbols_for_tensors,
}
"""Pass of the toolchain → says whether it has nothing to do in a graph."""
