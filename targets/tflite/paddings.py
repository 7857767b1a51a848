"""Paddings of a static layer's input, in 8 bits: behind the conversion, where XNNPACK makes them part of the convolution.

A convolution of PyTorch pads both sides alike, which with a stride is no padding that TFLite's has; the converter writes an
operator of its own, which the quantizer leaves in floats, in front of the conversion. Padding with zeros and converting
commute: the code of zero is the zero point, with which an operator in 8 bits pads.
"""

from __future__ import annotations

import copy
from typing import Any

from targets.tflite.flatbuffer import builtin_name


def pad_in_integers(flat: Any) -> Any:
    """Return the file (object form) in which every padding that one conversion to 8 bits alone reads comes behind it.

    Where what is padded was 8 bits of the same scale before, it stays so: both conversions go.
    """
    for graph in flat.subgraphs:
        for pad in [op for op in graph.operators if builtin_name(flat, op) == "PAD"]:
            padded = int(pad.outputs[0])
            behind = _readers(graph, padded)
            if len(behind) == 1 and padded not in graph.outputs and builtin_name(flat, behind[0]) == "QUANTIZE":
                _swap(flat, graph, pad, behind[0])
    return flat


def _swap(flat: Any, graph: Any, pad: Any, convert: Any) -> None:
    """Convert what is padded, then pad; the padding's result takes the conversion's place, its operand that of the padding."""
    import numpy as np

    source, between, codes = int(pad.inputs[0]), int(pad.outputs[0]), int(convert.outputs[0])
    before = next((op for op in graph.operators if source in op.outputs and builtin_name(flat, op) == "DEQUANTIZE"), None)
    narrow = between if before is None else int(before.inputs[0])
    if before is None or not _alike(graph.tensors[narrow], graph.tensors[codes]):
        narrow, name = between, graph.tensors[between].name  # a float tensor that nobody reads any more
        graph.tensors[between] = copy.copy(graph.tensors[codes])
        graph.tensors[between].name, graph.tensors[between].shape = name, graph.tensors[source].shape
        convert.inputs, convert.outputs = np.asarray([source], np.int32), np.asarray([between], np.int32)
        places = [next(i for i, op in enumerate(graph.operators) if op is each) for each in (pad, convert)]
        graph.operators[places[0]], graph.operators[places[1]] = convert, pad
    else:
        graph.operators.remove(convert)
    pad.inputs, pad.outputs = np.asarray([narrow, *pad.inputs[1:]], np.int32), np.asarray([codes], np.int32)
    if before is not None and source not in graph.outputs and not _readers(graph, source):
        graph.operators.remove(before)


def _readers(graph: Any, tensor: int) -> list[Any]:
    """The operators that read a tensor."""
    return [op for op in graph.operators if tensor in op.inputs]


def _alike(one: Any, two: Any) -> bool:
    """Whether two tensors have 8 bits of one scale and zero point."""
    if one.type != two.type:
        return False
    return [list(one.quantization.scale), list(one.quantization.zeroPoint)] == [
        list(two.quantization.scale), list(two.quantization.zeroPoint)
    ]
