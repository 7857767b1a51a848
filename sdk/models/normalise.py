"""Brings an exported program into the one form that later stages read: functional, flat, batch norm folded."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import fields, is_dataclass
from typing import Any

from sdk.errors import BadInput
from sdk.models import rewrite, stateless
from sdk.models.row_major import row_major
from sdk.models.tables import fold_tables
from sdk.models.unfit import Unfit, first_line


def export_flat(module: Any, inputs: tuple[tuple[Any, ...], dict[str, Any]], source: str) -> Any:
    """Export a module with its example `inputs` (args, kwargs); an ExportedProgram passes through."""
    import torch

    args, kwargs = inputs
    if isinstance(module, torch.export.ExportedProgram):
        return _with_example(module, args, kwargs, source)
    _refuse_scripted(module, source)
    if any(p.dtype in (torch.float16, torch.bfloat16, torch.float64) for p in module.parameters()):
        wide = copy.deepcopy(module).float(), _float(args), _float(kwargs)
        if fault(*wide) is None or fault(module, args, kwargs) is not None:  # else it brings its inputs into its own precision
            module, args, kwargs = wide
    try:
        # without gradients no_grad regions inside the model leave no higher-order operator; torch prints the graph of a refusal
        with (
            torch.no_grad(), _eval(module), _plain_outputs(module), _masks_as_given(), _dropping_nothing(),
            redirect_stderr(io.StringIO()), _unlogged(), warnings.catch_warnings(record=True) as said,
        ):
            warnings.simplefilter("always")
            program = torch.export.export(module, args, kwargs, strict=False)
    except Exception as error:
        why = fault(module, args, kwargs)
        if why is not None:
            raise Unfit(why) from error
        first = str(error).strip().splitlines()[0][:240] if str(error).strip() else ""
        mend = ""
        if "DataDependent" in type(error).__name__:
            mend = "; it chooses by what its tensors hold: write that with torch.where, or give the choice to the app"
        raise BadInput(f"model {source!r} cannot be exported by torch.export: {type(error).__name__}: {first}{mend}") from error
    stateless.refuse_attributes(program, [str(each.message) for each in said], source)
    return program


def fault(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Say why the module itself fails on inputs, or None where it runs."""
    import torch

    try:
        with torch.no_grad(), _eval(module):
            module(*args, **kwargs)
    except Exception as error:
        return first_line(error)
    return None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Without what torch logs of a refusal, a traceback among it: the error that it raises says it in one sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _refuse_scripted(module: Any, source: str) -> None:
    """BadInput where a module or a part of it is TorchScript, which `torch.export` does not take."""
    import torch

    name = next((name for name, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)), None)
    if name is not None:
        raise BadInput(
            f"model {source!r}: {name or 'it'} is a torch.jit.ScriptModule, which torch.export does not take: give the module "
            "from before torch.jit.script or torch.jit.trace (scripted functions may stay)"
        )


@contextmanager
def _plain_outputs(module: Any) -> Iterator[None]:
    """The module returns dicts where it returned dataclasses that nobody registered with torch."""
    hook = module.register_forward_hook(lambda part, inputs, output: _without_dataclasses(output))
    try:
        yield
    finally:
        hook.remove()


def _without_dataclasses(value: Any) -> Any:
    from torch.utils import _pytree as pytree

    def plain(leaf: Any) -> Any:
        if not is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        return {each.name: _without_dataclasses(getattr(leaf, each.name)) for each in fields(leaf)}

    return pytree.tree_map(plain, value)


@contextmanager
def _masks_as_given() -> Iterator[None]:
    """`nn.Transformer` compares its masks with the causal one, which a trace cannot; applied as any other they do the same."""
    from torch.nn.modules import transformer

    compare = transformer._detect_is_causal_mask
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = compare


def _dropping_nothing() -> Any:
    """A mode in which every dropout returns its input: functional ones may train in a module that does not."""
    import torch
    from torch.overrides import TorchFunctionMode

    functional = torch.nn.functional
    drops = {getattr(torch, f"{kind}dropout{end}") for kind in ("", "feature_", "alpha_", "feature_alpha_") for end in ("", "_")}
    drops |= {getattr(functional, f"dropout{axes}") for axes in ("", "1d", "2d", "3d")}
    drops |= {functional.alpha_dropout, functional.feature_alpha_dropout}
    attention = functional.scaled_dot_product_attention

    class Mode(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in drops:
                return args[0] if args else kwargs["input"]
            if func is attention:
                args, kwargs = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args, {**kwargs}
                kwargs.pop("dropout_p", None)
            return func(*args, **kwargs)

    return Mode()


@contextmanager
def _eval(module: Any) -> Iterator[None]:
    """The module in eval mode; afterwards every part is in the mode that its owner left it in."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _with_example(program: Any, args: Any, kwargs: Any, source: str) -> Any:
    import torch

    if program.example_inputs is None or program.range_constraints:  # shapes become those of the example
        args, kwargs = program.example_inputs or (args, kwargs)
        try:
            with torch.no_grad():
                return torch.export.export(program.module(check_guards=False), args, kwargs, strict=False)
        except Exception as error:
            raise BadInput(f"model {source!r}: its example inputs do not fit: {error}") from error
    return program


def _float(inputs: Any) -> Any:
    import torch
    from torch.utils import _pytree as pytree

    halves = (torch.float16, torch.bfloat16, torch.float64)
    return pytree.tree_map(lambda x: x.float() if isinstance(x, torch.Tensor) and x.dtype in halves else x, inputs)


def normalise(program: Any, source: str, functional: bool = False) -> tuple[Any, tuple[Any, ...]]:
    """Return (ExportedProgram with flat tensor inputs and outputs, its flat example inputs).

    `functional` says that the program is so already, which saves a trace.
    """
    import torch
    from torch.utils import _pytree as pytree

    flat, _ = pytree.tree_flatten(program.example_inputs)
    try:
        with torch.no_grad():
            program = program if functional else program.run_decompositions({})
    except Exception as error:
        odd = _odd_name(program)
        if odd is not None and isinstance(error, SyntaxError):
            raise BadInput(f"model {source!r}: weight {odd!r} has a quote or a backslash in its name: rename it") from error
        first = str(error).strip().splitlines()[0][:240]
        raise BadInput(f"model {source!r} cannot be brought into functional form: {first}") from error
    graph_module = program.module(check_guards=False)
    stateless.drop_writes(graph_module, source)
    if not functional:
        stateless.refuse_sizes(graph_module, source)
    tensors = row_major(graph_module, _flatten_signature(graph_module, flat, source))
    rewrite.to_float(graph_module)
    for rule in rewrite.RULES:
        rule(graph_module)
    if not functional:  # language models get another length of what is computed of positions
        fold_tables(graph_module)
    rewrite.weights_are_parameters(graph_module)
    graph_module.graph.eliminate_dead_code()
    stateless.refuse_choices(graph_module, source)
    rewrite.drop_unused_state(graph_module)
    graph_module.recompile()
    with torch.no_grad():
        clean = torch.export.export(graph_module, tensors, strict=False)
    return clean, tensors


def _odd_name(program: Any) -> str | None:
    """A weight whose name cannot stand in the code that torch writes for a graph."""
    return next((str(name) for name in program.state_dict if set(name) & set("\"'`\\\n")), None)


def _flatten_signature(graph_module: Any, flat: list[Any], source: str) -> tuple[Any, ...]:
    """Make placeholders and outputs flat tuples of tensors; constants among them are dropped."""
    import torch
    from torch.fx.graph import CodeGen

    graph = graph_module.graph
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    tensors = []
    for node, value in zip(placeholders, flat, strict=True):
        if isinstance(value, torch.Tensor):
            tensors.append(value.detach())
            node.meta["tensor_meta"] = None
        elif not node.users:
            graph.erase_node(node)
        else:
            raise BadInput(f"model {source!r}: input {node.name} is a {type(value).__name__}; inputs must be tensors")
    out = next(n for n in graph.nodes if n.op == "output")
    kept = tuple(a for a in pytree_leaves(out.args[0]) if isinstance(a, torch.fx.Node))
    if not kept:
        raise BadInput(f"model {source!r} returns no tensor")
    out.args = (kept,)
    graph.set_codegen(CodeGen())
    graph_module._forward_pre_hooks.clear()  # they check the signature that was just flattened
    graph_module.recompile()
    return tuple(tensors)


def pytree_leaves(value: Any) -> list[Any]:
    """Leaves of nested tuples, lists and dicts, in order."""
    from torch.utils import _pytree as pytree

    leaves: list[Any] = pytree.tree_leaves(value)
    return leaves
