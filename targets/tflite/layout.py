"""Reads from a file's own bytes what scheme each weight is stored and computed in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed
from sdk.lowering import Realised, Site
from sdk.schemes import Scheme
from sdk.schemes.catalogue import all_schemes
from targets.tflite.flatbuffer import builtin_name, type_names
from targets.tflite.graphs import each_graph, graphs
from targets.tflite.match import CHANNEL_AXIS, WEIGHT_OPERAND

SEPARATOR = " | "
"""Between the tensor names of a layer with several weights, in a site."""

BITS = {"FLOAT32": 32, "FLOAT16": 16, "INT8": 8, "INT4": 4, "INT2": 2}
"""Tensor types that a weight may have → bits of one stored weight."""


def read_realised(path: Path, sites: Mapping[str, Site]) -> dict[str, Realised]:
    """Return layer → what the file holds; CheckFailed when the file is corrupt or lacks a weight.

    A weight is in the first graph that has its name; another one that stores or computes a layer otherwise is told too.
    """
    flats = [(flat, _names(flat)) for whole in graphs(path) for flat in each_graph(whole)]
    found: dict[str, Realised] = {}
    for layer, site in sites.items():
        read = {name: [_realised(flat, names[name]) for flat, names in flats if name in names] for name in site.split(SEPARATOR)}
        for name in (each for each, places in read.items() if not places):
            raise CheckFailed(f"{path}: layer {layer}: no tensor is called {name!r}")
        graphs_with_it = max(map(len, read.values()))
        told = [_together([places[min(k, len(places) - 1)] for places in read.values()]) for k in range(graphs_with_it)]
        found[layer], *others = told
        for again in (each for each in others if each.scheme != told[0].scheme):
            found[layer] = Realised(f"{told[0].scheme} and {again.scheme}", told[0].bytes + again.bytes)
    return found


def _together(found: Sequence[tuple[str, int]]) -> Realised:
    """What the weights of one layer are: schemes and bytes."""
    return Realised(" and ".join(sorted({scheme for scheme, _ in found})), sum(size for _, size in found))


def _names(flat: Any) -> dict[str, int]:
    return {(tensor.name or b"").decode(errors="replace"): index for index, tensor in enumerate(flat.subgraphs[0].tensors)}


def _realised(flat: Any, index: int) -> tuple[str, int]:
    """Name of the scheme of one weight tensor, and the bytes of its codes, scales and zero points.

    What a lookup's table holds too is the lookup's.
    """
    graph = flat.subgraphs[0]
    tensor = graph.tensors[index]
    bits = BITS.get(type_names()[tensor.type])
    readers = [(op, position) for op in graph.operators for position, i in enumerate(op.inputs) if int(i) == index]
    tables = _tables(flat)
    own = index in tables or tensor.buffer not in {graph.tensors[each].buffer for each in tables}
    size = len(flat.buffers[tensor.buffer].data) if own and flat.buffers[tensor.buffer].data is not None else 0
    if bits is None or not readers:
        return f"{type_names()[tensor.type].lower()} weight" + ("" if readers else " that nothing reads"), size
    granularity, group, table = _granularity(flat, tensor, builtin_name(flat, _final(flat, readers[0][0])))
    modes = {_activations(flat, op, position) for op, position in readers}
    facts = (bits, "float" if bits >= 16 else "int", granularity, group)
    return "/".join(sorted(_scheme_name(*facts, mode) for mode in modes)), size + (table if own or not group else 0)


def _tables(flat: Any) -> set[int]:
    """Tensors that lookups read rows of."""
    lookups = (op for op in flat.subgraphs[0].operators if builtin_name(flat, op) == "EMBEDDING_LOOKUP")
    return {int(op.inputs[WEIGHT_OPERAND["EMBEDDING_LOOKUP"]]) for op in lookups}


def _final(flat: Any, op: Any) -> Any:
    """The operator that computes with a weight: behind the dequantize, where there is one."""
    if builtin_name(flat, op) != "DEQUANTIZE":
        return op
    made = int(op.outputs[0])
    return next((o for o in flat.subgraphs[0].operators if made in [int(i) for i in o.inputs]), op)


def _granularity(flat: Any, tensor: Any, builtin: str) -> tuple[str, int, int]:
    """Granularity, group size, and bytes of scales and zero points."""
    found = tensor.quantization
    if found is None or (found.scale is None and not found.details):
        return "tensor", 0, 0
    if found.details is not None:
        scales = flat.subgraphs[0].tensors[found.details.scales]
        return "group", int(found.details.blockSize), len(flat.buffers[scales.buffer].data)
    count = len(found.scale)
    axis = CHANNEL_AXIS.get(builtin, 0)
    channels = int(tensor.shape[axis])
    whole = count == channels and int(found.quantizedDimension) == axis
    return ("channel" if whole else "tensor"), 0, count * 12


def _activations(flat: Any, op: Any, position: int) -> str:
    """How an operator that reads a weight computes: from the types of its other operands."""
    name = builtin_name(flat, op)
    if name == "DEQUANTIZE":
        return "float"
    if name == "EMBEDDING_LOOKUP":
        return "float"
    if WEIGHT_OPERAND.get(name) != position:
        return f"operand {position} of {name}"
    data = 2 if name == "TRANSPOSE_CONV" else 0
    kind = type_names()[flat.subgraphs[0].tensors[op.inputs[data]].type]
    return {"FLOAT32": "dynamic", "INT8": "static"}.get(kind, kind)


def _scheme_name(bits: int, form: str, granularity: str, group: int, activations: str) -> str:
    if form == "float" and (bits == 32 or activations == "float"):
        return "fp32" if bits == 32 else "fp16"
    for scheme in all_schemes().values():
        if _facts(scheme) == (bits, form, granularity, group, activations):
            return scheme.name
    return f"{form}{bits} per {granularity} {group or ''} with {activations} activations"


def _facts(scheme: Scheme) -> tuple[int, str, str, int, str]:
    return scheme.bits, scheme.format, scheme.granularity, scheme.group, scheme.activations


def stored_bytes(elements: int, bits: int) -> int:
    """Bytes of `elements` packed codes."""
    return math.ceil(elements * bits / 8)
