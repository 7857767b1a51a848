"""Writes 1x1 convolutions as fully connected operators, whose kernels hold 4-bit weights soundly and fast.

The tensors of the format are channels-last, so a 1x1 convolution with stride 1 is exactly a fully connected
operator over the last axis.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sdk.schemes import Scheme
from targets.tflite.flatbuffer import opcode, schema
from targets.tflite.match import Place


def is_linear_scheme(scheme: Scheme, place: Place) -> bool:
    """Whether a 1x1 convolution's scheme is stored on a fully connected operator: all narrower than 8 bits."""
    return place.builtin == "CONV_2D" and scheme.format == "int" and scheme.bits < 8


def can_be_linear(flat: Any, place: Place) -> bool:
    """Whether every operator that reads the weight is a 1x1 convolution of stride 1 over all input channels."""
    graph = flat.subgraphs[0]
    if place.builtin != "CONV_2D" or tuple(place.shape[1:3]) != (1, 1):
        return False
    for index in place.operators:
        op = graph.operators[index]
        options, source = op.builtinOptions, graph.tensors[op.inputs[0]]
        if (options.strideW, options.strideH) != (1, 1) or int(source.shape[-1]) != place.shape[3]:
            return False
    return True


def as_linear(flat: Any, place: Place) -> Place:
    """Turn the operators that read `place` into fully connected ones and return the place as they see it."""
    import numpy as np

    graph = flat.subgraphs[0]
    for index in place.operators:
        op = graph.operators[index]
        options = schema().FullyConnectedOptionsT()
        options.fusedActivationFunction = op.builtinOptions.fusedActivationFunction
        options.keepNumDims = True
        op.opcodeIndex = opcode(flat, "FULLY_CONNECTED")
        op.builtinOptionsType = schema().BuiltinOptions.FullyConnectedOptions
        op.builtinOptions = options
    shape = (place.shape[0], place.shape[3])
    graph.tensors[place.tensor].shape = np.asarray(shape, np.int32)
    return dataclasses.replace(place, builtin="FULLY_CONNECTED", shape=shape)
