"""Lets a language model be converted without its weights: coremltools sees a stand-in of the shape of each.

Converted with their values, a billion weights take several copies of themselves in memory. Nothing that coremltools does to
a language model depends on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from sdk.models import Model
from targets.coreml.program import main_block, text_value, value_shape
from targets.coreml.toolkit import proto

NAME = "stored_"
"""What the name of a stand-in begins with; its number follows."""

KIND = "constexpr_lut_to_dense"
"""What a stand-in is in the converted program: a palette of one bit, the smallest constant of a shape."""


@dataclass(frozen=True, slots=True)
class FloatWeight:
    """A parameter of the model as the float16 array that a package holds, made when somebody asks for the values."""

    model: Model
    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        made = self.model.program.state_dict[self.name].detach().numpy().astype(np.float16)
        return made if dtype is None else made.astype(dtype)


def stand_in(module: Any, weights: tuple[str, ...]) -> None:
    """Replace the parameters `weights` of a GraphModule, and every use of them, by stand-ins numbered as `weights` are."""
    import torch

    operators()
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and node.target in weights:
            shape = list(module.get_parameter(node.target).shape)
            with module.graph.inserting_before(node):
                made = module.graph.call_function(torch.ops.snugfit.stored.default, (shape, weights.index(node.target)))
            node.replace_all_uses_with(made)
            module.graph.erase_node(node)
    for name in weights:
        owner, _, last = name.rpartition(".")
        delattr(module.get_submodule(owner), last)


@cache
def operators() -> Any:
    """The operator that stands for a weight, for its shape alone: `stored` writes it as MIL."""
    import torch

    library = torch.library.Library("snugfit", "FRAGMENT")
    library.define("stored(int[] shape, int index) -> Tensor")
    torch.library.register_fake("snugfit::stored", lambda shape, index: torch.empty(shape), lib=library)
    return library


def stored(context: Any, node: Any) -> None:
    """`snugfit::stored`: a palette of one bit."""
    import numpy as np
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil.types.type_mapping import nptype_from_builtin, string_to_builtin

    shape, index = node.inputs
    codes = np.zeros(shape, nptype_from_builtin(string_to_builtin("uint1")))
    table = np.zeros((*(1 for _ in shape), 2, 1), np.float32)
    context.add(mb.constexpr_lut_to_dense(indices=codes, lut=table, name=f"{NAME}{index}"), torch_name=node.name)


def give_back(model: Model, weights: tuple[str, ...], spec: Any, blobs: dict[str, tuple[str, Any]]) -> dict[str, str]:
    """Make float16 constants of the stand-ins in a converted program, their values in `blobs`; return weight → constant."""
    block = main_block(spec)
    held: dict[str, str] = {}
    dropped: set[str] = set()
    for op in block.operations:
        if op.type != KIND:
            continue
        const = op.outputs[0].name
        name = weights[int(const.removeprefix(NAME).split("_")[0])]
        dropped |= {argument.arguments[0].name for argument in op.inputs.values()}
        op.CopyFrom(_constant(const, op.outputs[0]))
        blobs[const] = "float16", FloatWeight(model, name, value_shape(op.attributes["val"]))
        held[name] = const
    for op in [op for op in block.operations if op.type == "const" and op.outputs[0].name in dropped]:
        blobs.pop(op.outputs[0].name, None)
        block.operations.remove(op)
    return held


def _constant(name: str, output: Any) -> Any:
    op = proto().MIL_pb2.Operation(type="const")
    op.attributes["name"].CopyFrom(text_value(name))
    op.outputs.add().CopyFrom(output)
    op.attributes["val"].type.CopyFrom(output.type)
    return op
