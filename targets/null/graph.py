"""Writes a model's graph as plain JSON and reads it back: only named ATen operators, nothing to unpickle."""

from __future__ import annotations

import operator
from typing import Any

from sdk.errors import CheckFailed, LoweringError
from sdk.models import Model


def to_json(model: Model) -> dict[str, Any]:
    """Return the graph of `model` as JSON data; LoweringError names an operator that is not ATen's."""
    module = model.program.module(check_guards=False)
    nodes = [_node(node) for node in module.graph.nodes if node.op != "output"]
    result = next(node for node in module.graph.nodes if node.op == "output")
    return {
        "inputs": [[spec.name, spec.dtype, list(spec.shape)] for spec in model.inputs],
        "nodes": nodes,
        "outputs": _value(list(result.args[0]) if isinstance(result.args[0], tuple | list) else [result.args[0]]),
    }


def constants(model: Model) -> dict[str, Any]:
    """Return every tensor that the graph reads by its qualified name, in the order of the graph."""
    module = model.program.module(check_guards=False)
    names = [node.target for node in module.graph.nodes if node.op == "get_attr"]
    return {name: operator.attrgetter(name)(module).detach() for name in dict.fromkeys(names)}


def _node(node: Any) -> dict[str, Any]:
    if node.op == "placeholder":
        return {"name": node.name, "op": "input"}
    if node.op == "get_attr":
        return {"name": node.name, "op": "tensor", "of": str(node.target)}
    if node.op != "call_function":
        raise LoweringError(f"the null target holds no {node.op} node ({node.name})")
    return {
        "name": node.name,
        "op": _operator_name(node.target),
        "args": _value(list(node.args)),
        "kwargs": _value(dict(node.kwargs)),
    }


def _operator_name(target: Any) -> str:
    if target is operator.getitem:
        return "getitem"
    name = str(target)
    if not name.startswith("aten."):
        raise LoweringError(f"the null target holds ATen operators only, not {name}")
    return name


def _value(value: Any) -> Any:
    import torch

    if isinstance(value, torch.fx.Node):
        return {"node": value.name}
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    if isinstance(value, dict):
        return {"dict": {key: _value(each) for key, each in value.items()}}
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": value.type}
    if isinstance(value, float):
        return {"float": value.hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise LoweringError(f"the null target holds no argument of type {type(value).__name__}")


def resolve(name: str) -> Any:
    """Return the operator called `name`; CheckFailed when there is none."""
    import torch

    if name == "getitem":
        return operator.getitem
    try:
        _, packet, overload = name.split(".")
        return getattr(getattr(torch.ops.aten, packet), overload)
    except (ValueError, AttributeError):
        raise CheckFailed(f"the artifact's graph names an unknown operator {name!r}") from None


def from_json(value: Any, env: dict[str, Any]) -> Any:
    """Return the argument that `value` stands for, with nodes looked up in `env`."""
    import torch

    if isinstance(value, list):
        return [from_json(each, env) for each in value]
    if not isinstance(value, dict):
        return value
    (kind, inner), = value.items()
    if kind == "dict":
        return {key: from_json(each, env) for key, each in inner.items()}
    readers: dict[str, Any] = {
        "node": env.__getitem__,
        "torch": lambda name: getattr(torch, name),
        "device": torch.device,
        "float": float.fromhex,
    }
    return readers[kind](inner)
