"""Converts a float model once: the bytes of the float file, with the model's own names, and where each weight is."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.cache import Cache, code_digest, key_of, versions
from sdk.errors import LoweringError
from sdk.models import Model, TensorSpec
from targets.tflite.flatbuffer import builtin_name, new_buffer, new_operator, new_tensor, read, schema, type_names, write
from targets.tflite.images import know_paddings
from targets.tflite.lift import Lifted, lift
from targets.tflite.loops import Recurrence, take_loops
from targets.tflite.match import CHANNEL_AXIS, Place, find_places
from targets.tflite.pointwise import can_be_linear
from targets.tflite.refused import refuse_operators
from targets.tflite.silence import silence
from targets.tflite.standins import stood_in
from targets.tflite.stitch import make_loops, stitched

TYPES = {
    "float32": "FLOAT32", "float64": "FLOAT64", "float16": "FLOAT16", "int64": "INT64", "int32": "INT32",
    "int16": "INT16", "int8": "INT8", "uint8": "UINT8", "bool": "BOOL",
}
"""Torch dtype → tensor type of the format."""


INPUTS_KEY = "snugfit_inputs"
"""Metadata entry with the names of all inputs, one a line."""


GROUPED_BUILTINS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
"""Operators with a narrow scheme that stores no zero points (group scales)."""

FILE = "converted.tflite"

SURE_SHARE, UNUSED_SHARE = 0.016, 0.0015
"""Bytes per weight that prices may count for zero points that a plan may turn out not to use: for widths of which
some layer has no narrow scheme without zero points (0.4 % of float weights), and others (0.3 % of 4-bit weights)."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a float file: how many steps it takes, and the float file of one of them."""

    steps: int
    source: FloatModel


@dataclass(frozen=True, slots=True)
class FloatModel:
    """The float file of a model: its bytes and, per layer, the places of its weights (tensor indices in it).

    `pointwise` names the layers that are 1x1 convolutions, which kernels treat as linears. `shared` are the
    numbers of channels whose zero points the file stores once for all layers. A `bare` file is without the layers' weights.
    `loops` have files of their own, in which the places of their layers are.
    """

    data: bytes = field(repr=False)
    places: Mapping[str, tuple[Place, ...]]
    pointwise: frozenset[str]
    shared: frozenset[int]
    bare: bool = False
    loops: tuple[Loop, ...] = ()

    def whole(self) -> bytes:
        """Return the file with its loops."""
        return stitched(self.data, [(loop.steps, loop.source.data) for loop in self.loops], self.shared)


_OWN_GRAPHS = ("scatter", "index_put", "index_add", "index_reduce", "col2im", "unpool", ".sort", ".argsort")
"""Words in the names of operators that the converter writes as scatters and sorts, which hold a graph of what they do to two."""


def _has_graph(op: Any) -> bool:
    """Whether an operator refers to a subgraph, as loops, branches and what scatters do."""
    options = op.builtinOptions2 if op.builtinOptions2 is not None else op.builtinOptions
    return any("subgraph" in name.lower() for name in vars(options)) if options is not None else False


def convert(model: Model, bare: bool = False) -> FloatModel:
    """Convert with litert_torch; LoweringError names the first line of the converter's complaint.

    A `bare` file is without its layers' weights, which the converter does not see: those of a language model fill the memory.
    """
    refuse_operators(model)
    lifted = lift(model, bare)
    recurrences = take_loops(lifted.module, model.inventory.layers)
    flat = read(_convert_bytes(model, lifted.module, (*model.example, *lifted.values)))
    make_loops(flat, recurrences)
    if len(flat.subgraphs) != 1:
        names = sorted({builtin_name(flat, op) for op in flat.subgraphs[0].operators if _has_graph(op)})
        called = {str(node.target) for node in model.program.graph.nodes if node.op == "call_function"}
        of = sorted(name for name in called if any(word in name for word in _OWN_GRAPHS))
        raise LoweringError(
            f"model {model.source!r}: the converter writes {', '.join(names) or 'an operator'}"
            f"{' for ' + ', '.join(of) if of else ''} with a graph of its own, which is not supported on tflite: "
            "write the model without (a sum at places that are data, as of scatter_add, is a product with a one-hot matrix), or "
            "choose another target"
        )
    stood = _fix_lifted(flat, lifted, len(model.inputs))
    if bare:
        places = stood_in(flat, model, stood)
    else:
        places = find_places(flat, model.inventory.layers, lifted.weights, lifted.rows)
        fill(flat, model, places)
    places = _name_everything(flat, model, places)
    pointwise = frozenset(name for name, found in places.items() if all(can_be_linear(flat, p) for p in found))
    loops = tuple(Loop(each.steps, _convert_step(model, each, lifted, i)) for i, each in enumerate(recurrences))
    places |= _in_loops(model, loops)
    return FloatModel(write(flat), places, pointwise, shared_widths(places, pointwise), bare, loops)


def _in_loops(model: Model, loops: Sequence[Loop]) -> dict[str, tuple[Place, ...]]:
    """Layer → places in the loops' files, in the order of its weights, of each layer that they hold as a whole."""
    found = {(name, place.parameter): place for loop in loops for name, each in loop.source.places.items() for place in each}
    return {
        layer.name: tuple(found[layer.name, weight] for weight in layer.weights)
        for layer in model.inventory.layers if all((layer.name, weight) in found for weight in layer.weights)
    }


def _convert_step(model: Model, loop: Recurrence, lifted: Lifted, number: int) -> FloatModel:
    """The float file of one step of a loop; its layer's weights have their own names in it."""
    import numpy as np

    flat = read(_convert_bytes(model, loop.body, loop.example, number))
    graph, signature = flat.subgraphs[0], flat.signatureDefs[0]
    signature.inputs.sort(key=_signature_index)
    signature.outputs.sort(key=_signature_index)
    graph.inputs = np.asarray([entry.tensorIndex for entry in signature.inputs], np.int32)
    graph.outputs = np.asarray([entry.tensorIndex for entry in signature.outputs], np.int32)
    (layer,) = (each for each in model.inventory.layers if each.name == loop.layer)
    places = find_places(flat, [dataclasses.replace(layer, weights=loop.weights)], lifted.weights, {})
    fill(flat, model, places)
    taken = set[str]()
    for index, tensor in enumerate(graph.tensors):
        tensor.name = _free(f"t{index}", taken).encode()
    for place in itertools.chain.from_iterable(places.values()):
        graph.tensors[place.tensor].name = _free(place.parameter, taken).encode()
    _drop_unused_buffers(flat)
    return FloatModel(write(flat), places, frozenset(), frozenset())


def shared_widths(places: Mapping[str, tuple[Place, ...]], pointwise: frozenset[str]) -> frozenset[int]:
    """Numbers of channels whose zero points are stored once.

    A price is a sum over layers, so one vector for several layers is charged whether used or not. That is exact
    enough where a layer of that width has no narrow scheme without zero points, or where the vector is small.
    """
    found = [(p.shape[CHANNEL_AXIS[p.builtin]], name, p) for name, group in places.items() for p in group]
    counts = Counter(width for width, _, _ in found)
    sure = {w for w, name, p in found if p.builtin not in GROUPED_BUILTINS and name not in pointwise and counts[w] > 1}
    weights = sum(math.prod(p.shape) for _, _, p in found)
    chosen = _within(sorted(sure), weights * SURE_SHARE)
    return chosen | _within(sorted(w for w, n in counts.items() if n > 2 and w not in sure), weights * UNUSED_SHARE)


def _within(widths: list[int], room: float) -> frozenset[int]:
    """The smallest widths whose zero points fit in `room` bytes together."""
    sums = itertools.accumulate(8 * width for width in widths)
    return frozenset(width for width, total in zip(widths, sums, strict=True) if total <= room)


def _convert_bytes(model: Model, module: Any, example: tuple[Any, ...], loop: int | None = None) -> bytes:
    """The converter's own file of the model's graph or of one of its loops, from the cache where it was made before."""
    code = code_digest("sdk.models", "targets.tflite")
    key = key_of("converted", model.digest, loop, versions("torch", "litert-torch", "ai-edge-litert"), code)
    return Cache().fetch(
        "converted", key, make=lambda: _run_converter(model, module, example), load=lambda folder: (folder / FILE).read_bytes(),
        save=lambda data, folder: _write(folder / FILE, data),
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _run_converter(model: Model, module: Any, example: tuple[Any, ...]) -> bytes:
    try:
        with silence():
            import litert_torch

            know_paddings()
            exporter = litert_torch.convert(module.eval(), example)
            return bytes(exporter._exporter.to_bytes())
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        told = next((line for line in lines if "error:" in line), lines[0]).rpartition("error:")[2].strip()
        raise LoweringError(
            f"model {model.source!r}: litert_torch cannot convert it ({told[:300]}): write the model without, or choose another "
            "target"
        ) from error


def _signature_index(entry: Any) -> int:
    return int(entry.name.decode().rpartition("_")[2])


def _fix_lifted(flat: Any, lifted: Lifted, count: int) -> dict[str, int]:
    """Make constants of the inputs that only served the conversion; return weight → tensor of those without values."""
    import numpy as np

    graph, signature = flat.subgraphs[0], flat.signatureDefs[0]
    kept, stood = [], {}
    for entry in signature.inputs:
        index = _signature_index(entry) - count
        if index < 0:
            kept.append(entry)
            continue
        if index in lifted.stand_ins:
            stood[lifted.stand_ins[index]] = int(entry.tensorIndex)
        else:
            value = lifted.values[index].numpy()
            tensor = graph.tensors[entry.tensorIndex]
            tensor.buffer = new_buffer(flat, value.astype(np.int32) if value.dtype == np.int64 else value)
        graph.inputs = np.asarray([i for i in graph.inputs if i != entry.tensorIndex], np.int32)
    signature.inputs = kept
    return stood


def fill(flat: Any, model: Model, places: Mapping[str, tuple[Place, ...]]) -> None:
    """Put every layer's own weight into its tensor (the converter saw changed ones where layers were equal)."""
    from sdk.models.rewrite import attribute

    module = model.module()
    for found in places.values():
        for place in found:
            array = place.arrange(attribute(module, place.parameter).detach().numpy())
            if place.ratio is not None:
                array = array * place.over_channels(place.ratio)
            flat.subgraphs[0].tensors[place.tensor].buffer = new_buffer(flat, array)


def _name_everything(flat: Any, model: Model, places: Mapping[str, tuple[Place, ...]]) -> dict[str, tuple[Place, ...]]:
    """Give inputs, outputs and weights the model's names and every other tensor a short one; drop unread buffers."""
    import numpy as np

    graph = flat.subgraphs[0]
    taken = {spec.name for spec in (*model.inputs, *model.outputs)}
    for index, tensor in enumerate(graph.tensors):
        tensor.name = _free(f"t{index}", taken).encode()
    for found in places.values():
        for place in found:
            graph.tensors[place.tensor].name = _free(place.parameter, taken).encode()
    shift = _name_inputs(flat, model.inputs)
    _name_outputs(flat, model.outputs, {spec.name for spec in model.inputs})
    signature = flat.signatureDefs[0]
    graph.inputs = np.asarray([entry.tensorIndex for entry in signature.inputs], np.int32)
    graph.outputs = np.asarray([entry.tensorIndex for entry in signature.outputs], np.int32)
    _drop_unused_buffers(flat)
    if len(flat.signatureDefs[0].inputs) < len(model.inputs):
        _note_inputs(flat, model.inputs)
    if not shift:
        return dict(places)
    return {name: tuple(_shifted(place, shift) for place in found) for name, found in places.items()}


def _note_inputs(flat: Any, specs: tuple[TensorSpec, ...]) -> None:
    """Keep the names of all inputs where the converter dropped some that nothing reads."""
    import numpy as np

    entry = schema().MetadataT()
    entry.name = INPUTS_KEY.encode()
    entry.buffer = new_buffer(flat, np.frombuffer("\n".join(spec.name for spec in specs).encode(), np.uint8))
    flat.metadata = [entry]


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _shifted(place: Place, by: int) -> Place:
    return dataclasses.replace(place, operators=tuple(op + by for op in place.operators))


def _name_inputs(flat: Any, specs: tuple[TensorSpec, ...]) -> int:
    """Name the inputs and cast those whose dtype the converter changed; return how many operators came first."""
    import numpy as np

    graph, made = flat.subgraphs[0], 0
    flat.signatureDefs[0].inputs.sort(key=_signature_index)
    for entry in flat.signatureDefs[0].inputs:
        spec = specs[_signature_index(entry)]
        inner = entry.tensorIndex
        entry.name = spec.name.encode()
        kind = type_names()[graph.tensors[inner].type]
        if TYPES[spec.dtype] == kind:
            graph.tensors[inner].name = spec.name.encode()
            continue
        outer = new_tensor(flat, spec.name, graph.tensors[inner].shape, TYPES[spec.dtype])
        graph.operators.insert(0, _cast(flat, outer, inner, TYPES[spec.dtype], kind))
        graph.inputs = np.asarray([outer if i == inner else i for i in graph.inputs], np.int32)
        entry.tensorIndex = outer
        made += 1
    return made


def _name_outputs(flat: Any, specs: tuple[TensorSpec, ...], inputs: set[str]) -> None:
    """Name the outputs and cast those whose dtype the converter changed; a tensor is not called what an input is called."""
    import numpy as np

    graph = flat.subgraphs[0]
    flat.signatureDefs[0].outputs.sort(key=_signature_index)
    for entry in flat.signatureDefs[0].outputs:
        spec = specs[_signature_index(entry)]
        inner = entry.tensorIndex
        entry.name = spec.name.encode()
        kind = type_names()[graph.tensors[inner].type]
        if TYPES[spec.dtype] == kind:
            if inner not in graph.inputs and spec.name not in inputs:
                graph.tensors[inner].name = spec.name.encode()
            continue
        outer = new_tensor(flat, spec.name, graph.tensors[inner].shape, TYPES[spec.dtype])
        graph.operators.append(_cast(flat, inner, outer, kind, TYPES[spec.dtype]))
        graph.outputs = np.asarray([outer if i == inner else i for i in graph.outputs], np.int32)
        entry.tensorIndex = outer


def _cast(flat: Any, source: int, result: int, kind_in: str, kind_out: str) -> Any:
    from targets.tflite.flatbuffer import type_number

    options = schema().CastOptionsT()
    options.inDataType, options.outDataType = type_number(kind_in), type_number(kind_out)
    return new_operator(flat, "CAST", [source], [result], options)


def _drop_unused_buffers(flat: Any) -> None:
    """Forget the buffers that no tensor holds (values without data share the empty buffer 0), and the metadata."""
    graph = flat.subgraphs[0]
    fresh, numbers = [flat.buffers[0]], {0: 0}
    for tensor in graph.tensors:
        if flat.buffers[tensor.buffer].data is None:
            numbers[tensor.buffer] = 0
        elif tensor.buffer not in numbers:
            numbers[tensor.buffer] = len(fresh)
            fresh.append(flat.buffers[tensor.buffer])
        tensor.buffer = numbers[tensor.buffer]
    flat.buffers, flat.metadata, flat.metadataBuffer = fresh, None, None
