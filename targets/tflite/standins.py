"""Lets a language model be converted without its weights: the converter sees an input of the shape of each.

With their values, a billion weights take several copies of themselves in memory, and a file of more than 2 GiB cannot be written.
Linears and lookups are written as the format's own operators, so nothing that the converter does depends on a weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sdk.models import Model
from targets.tflite.lift import Lifted, new_input
from targets.tflite.match import Place

BIAS = 2
"""Operand of FULLY_CONNECTED that is its bias; -1 where it has none."""


def stand_in(lifted: Lifted, model: Model) -> None:
    """Make inputs of the layers' weights, and take the weights off the module.

    A weight that is not read by linears alone or by lookups alone, or of which not all rows are kept, stays a constant.
    """
    operators()
    module = lifted.module
    for name in dict.fromkeys(weight for layer in model.inventory.layers for weight in layer.weights):
        held = [node for node in module.graph.nodes if node.op == "get_attr" and node.target == name]
        readers = [reader for node in held for reader in node.users]
        if len({reader.target for reader in readers}) != 1 or name in lifted.rows or not all(_takes(r, held) for r in readers):
            continue
        owner, _, last = name.rpartition(".")
        weight = getattr(module.get_submodule(owner), last)
        made = new_input(lifted, weight.detach().new_zeros(()).expand(weight.shape))
        lifted.stand_ins[len(lifted.values) - 1] = name
        for reader in readers:
            _replace(module, reader, made)
        for node in held:
            module.graph.erase_node(node)
        delattr(module.get_submodule(owner), last)


def _takes(reader: Any, held: list[Any]) -> bool:
    """Whether an operator reads a weight as a linear's or as a lookup's, and nothing else of it."""
    import torch

    aten = torch.ops.aten
    place = {aten.linear.default: 1, aten.embedding.default: 0}.get(reader.target)
    return place is not None and [index for index, given in enumerate(reader.args) if given in held] == [place]


def _replace(module: Any, reader: Any, weight: Any) -> None:
    import torch

    call = module.graph.call_function
    with module.graph.inserting_before(reader):
        if reader.target is torch.ops.aten.linear.default:
            made = call(torch.ops.snugfit.linear.default, (reader.args[0], weight, *reader.args[2:]))
        else:
            made = call(torch.ops.snugfit.lookup.default, (reader.args[1], weight))
    reader.replace_all_uses_with(made)
    module.graph.erase_node(reader)


@cache
def operators() -> Any:
    """A linear and a lookup over stand-ins, of which only the shapes are computed, and how they are lowered."""
    import torch
    from litert_torch.backend.lowerings import lower

    library = torch.library.Library("snugfit", "FRAGMENT")
    library.define("linear(Tensor data, Tensor weight, Tensor? bias=None) -> Tensor")
    library.define("lookup(Tensor rows, Tensor weight) -> Tensor")
    torch.library.register_fake(
        "snugfit::linear", lambda data, weight, bias=None: data.new_empty((*data.shape[:-1], weight.shape[0])), lib=library
    )
    torch.library.register_fake(
        "snugfit::lookup", lambda rows, weight: weight.new_empty((*rows.shape, weight.shape[1])), lib=library
    )
    lower(torch.ops.snugfit.linear.default)(_linear)
    lower(torch.ops.snugfit.lookup.default)(_lookup)
    return library


def _linear(context: Any, data: Any, weight: Any, bias: Any = None) -> Any:
    from litert_torch.backend.lowerings import utils

    attribute = utils.ir.StringAttr.get
    options = {
        "fused_activation_function": attribute("NONE"), "keep_num_dims": utils.ir.BoolAttr.get(True),
        "weights_format": attribute("DEFAULT"),
    }  # fmt: skip
    if bias is None:  # the operator cannot be written without one: `stood_in` takes zeros away
        bias = utils.splat(0.0, weight.type.element_type, [weight.type.shape[0]])
    return _operator("tfl.fully_connected", utils.node_meta_to_ir_types(context.node), [data, weight, bias], options)


def _lookup(context: Any, rows: Any, weight: Any) -> Any:
    """The format's lookup takes a list of rows, in 32 bits."""
    from litert_torch.backend.lowerings import utils

    ir, stablehlo = utils.ir, utils.stablehlo
    count, kind = math.prod(rows.type.shape), ir.IntegerType.get_signless(32)
    listed = stablehlo.reshape(ir.RankedTensorType.get([count], rows.type.element_type), rows)
    if rows.type.element_type != kind:
        listed = stablehlo.convert(ir.RankedTensorType.get([count], kind), listed)
    found = ir.RankedTensorType.get([count, weight.type.shape[1]], weight.type.element_type)
    (made,) = utils.node_meta_to_ir_types(context.node)
    return stablehlo.reshape(made, _operator("tfl.embedding_lookup", [found], [listed, weight], {}))


def _operator(name: str, made: list[Any], operands: list[Any], options: dict[str, Any]) -> Any:
    """An operator of the format within the converter's program; `made` are the types of its results."""
    from litert_torch.backend.lowerings import utils

    return utils.stablehlo.custom_call(
        result=made, inputs=operands, call_target_name=utils.ir.StringAttr.get(name),
        has_side_effect=utils.ir.BoolAttr.get(False), backend_config=utils.ir.StringAttr.get(str(utils.ir.DictAttr.get(options))),
    )  # fmt: skip


def stood_in(flat: Any, model: Model, tensors: Mapping[str, int]) -> dict[str, tuple[Place, ...]]:
    """Return layer → places of its weights, for the layers all of whose weights have stand-ins: `tensors`, weight → tensor."""
    from targets.tflite.flatbuffer import builtin_name

    graph = flat.subgraphs[0]
    readers: dict[int, list[int]] = {}
    for index, op in enumerate(graph.operators):
        for tensor in op.inputs:
            readers.setdefault(int(tensor), []).append(index)
    found = {}
    for layer in model.inventory.layers:
        if set(layer.weights) <= tensors.keys():
            places = []
            for name in layer.weights:
                tensor = tensors[name]
                used = tuple(readers[tensor])
                shape = tuple(int(size) for size in graph.tensors[tensor].shape)
                builtin = builtin_name(flat, graph.operators[used[0]])
                if builtin == "FULLY_CONNECTED":
                    _drop_zeros(flat, [graph.operators[index] for index in used])
                places.append(Place(name, tensor, builtin, used, tuple(range(len(shape))), False, shape))
            found[layer.name] = tuple(places)
    return found


def make_room(flat: Any, places: Mapping[str, tuple[Place, ...]]) -> None:
    """Give every weight a buffer of its size: zeros, which take no memory as long as nobody writes them."""
    import numpy as np

    from targets.tflite.flatbuffer import new_buffer

    for place in (place for found in places.values() for place in found):
        flat.subgraphs[0].tensors[place.tensor].buffer = new_buffer(flat, np.zeros(place.shape, np.float32))


def _drop_zeros(flat: Any, linears: list[Any]) -> None:
    """Leave out the biases that are zeros."""
    import numpy as np

    from targets.tflite.flatbuffer import tensor_array

    for op in linears:
        if len(op.inputs) > BIAS and op.inputs[BIAS] >= 0 and not tensor_array(flat, int(op.inputs[BIAS])).any():
            op.inputs = np.asarray([*op.inputs[:BIAS], -1], np.int32)
