"""What an inference graph may not do besides computing its outputs: keep state, draw random numbers, choose its path or sizes."""

from __future__ import annotations

import re
from typing import Any

from sdk.errors import BadInput

CHANCE = frozenset((
    "_standard_gamma", "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal",
    "normal_functional", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
    "rrelu_with_noise_functional", "uniform",
))  # fmt: skip
"""ATen operators whose result differs from run to run."""

PATHS = frozenset(("cond", "while_loop", "scan", "map_impl", "associative_scan"))
"""Operators of torch that hold graphs of their own, of which data choose one or the number of turns."""


STATE = (
    "model {source!r} writes its {place} {name!r} and reads it in the next run, but a bundle keeps nothing between runs: "
    "take it as an input and return it as an output"
)


def refuse_attributes(program: Any, warned: list[str], source: str) -> None:
    """Raise BadInput where a program reads a tensor that the module assigns to a plain attribute, as torch warned of it.

    Exporting makes a constant of what it held. Attributes that are written alone, such as attention maps, do no harm.
    """
    assigned = {name for text in warned if "assigned during export" in text for name in re.findall(r"self\.([\w.]+\w)", text)}
    for spec in program.graph_signature.input_specs:
        if spec.kind.name == "CONSTANT_TENSOR" and spec.target in assigned:
            raise BadInput(STATE.format(source=source, place="attribute", name=spec.target))


def drop_writes(module: Any, source: str) -> None:
    """Take out what a graph writes into its inputs and buffers, in place; its outputs are what they were.

    Writing into an input is a saving of the caller's that no runtime offers. A buffer that is written and never read again is
    forgotten with what it was made of. Raises BadInput for one that is read in the next run: a bundle keeps nothing between runs.
    """
    import torch

    written: set[str] = set()
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target is not torch.ops.aten.copy_.default:
            continue
        place, value = node.args[:2]
        if place.op == "get_attr":
            written.add(place.target)
        node.replace_all_uses_with(value)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    kept = next((node.target for node in module.graph.nodes if node.op == "get_attr" and node.target in written), None)
    if kept is not None:
        raise BadInput(STATE.format(source=source, place="buffer", name=kept))


def refuse_sizes(module: Any, source: str) -> None:
    """Raise BadInput where data decide how many elements a tensor has, as of what a mask selects: files have fixed shapes."""
    import torch
    from torch.utils import _pytree as pytree

    for node in module.graph.nodes:
        made = [each for each in pytree.tree_leaves(node.meta.get("val")) if isinstance(each, torch.Tensor)]
        if any(not isinstance(size, int) for each in made for size in each.shape):
            name = getattr(node.target, "__name__", str(node.target)).partition(".")[0]
            raise BadInput(
                f"model {source!r}: how many elements {node.name} ({name}) has is up to the data, and a file has fixed shapes: "
                "keep all and mark them with torch.where, take a fixed number with topk, or give this part to the app"
            )


def refuse_choices(module: Any, source: str) -> None:
    """Raise BadInput where an output depends on random numbers, or the path of computation on data."""
    for node in module.graph.nodes:
        name = getattr(node.target, "__name__", "").split(".")[0] if node.op == "call_function" else ""
        if name in CHANCE:
            raise BadInput(
                f"model {source!r} draws random numbers ({name}), so that no two runs can be compared: take them as an input"
            )
        if name in PATHS:
            raise BadInput(
                f"model {source!r} chooses its path by its data ({name}), which no target runs: compute both sides and choose "
                "with torch.where, or package each side as a model of its own"
            )
