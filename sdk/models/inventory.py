"""What a model is made of: every weight-carrying layer, and the parameters that no scheme covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "linear", "conv1d", "conv2d", "depthwise", "conv_transpose1d", "conv_transpose2d", "embedding", "lstm", "gru"
]


@dataclass(frozen=True, slots=True)
class Layer:
    """One planned unit: a weight and the operator that uses it.

    `name` is the weight's qualified name without the trailing `.weight`. `weights` are the qualified
    names of the parameters that a scheme stores (one, except LSTM/GRU). `shape` is the (first) weight's
    shape; `channel_axis` its axis of output channels. `parameters` counts the weights' elements, `macs`
    the multiply-accumulates of one inference at the example inputs' shapes. `bias` is the qualified name
    of the bias parameter. `input` and `output` name the tensors (nodes of the normalised graph) that the
    layer reads and writes; `output` is that of the activation function fused behind it (`fused`: the
    nodes from the layer's own to `output`, both included). `uses` counts the operators that read the weight.
    """

    name: str
    kind: Kind
    weights: tuple[str, ...]
    shape: tuple[int, ...]
    channel_axis: int
    parameters: int
    macs: int
    bias: str | None
    input: str
    output: str
    fused: tuple[str, ...]
    uses: int
    tied: tuple[str, ...] = ()
    """Other qualified names of the same storage (tied weights, decided once)."""
    groups: int = 1
    """Groups of a convolution's channels that do not mix."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A parameter or buffer that no scheme covers; it is stored as float."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True, slots=True)
class LayerInventory:
    """All layers in the order of execution, and what is left over."""

    layers: tuple[Layer, ...]
    uncovered: tuple[Uncovered, ...]

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def parameters(self) -> int:
        """Number of weights over all layers (biases and uncovered ones left out)."""
        return sum(layer.parameters for layer in self.layers)
