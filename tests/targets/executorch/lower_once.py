"""Lower one quantized model to the path given: what a second process does in a test."""

import sys
from pathlib import Path

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.executorch import TARGET

if __name__ == "__main__":
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(100, 64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    model = load_model(module, (torch.arange(8)[None],))
    schemes = {"0": "int8_g32", "1": "int4_g32_dynamic", "3": "int8_channel_dynamic"}
    quantized = quantize(model, {name: scheme_named(s) for name, s in schemes.items()})
    TARGET.lower(quantized, Path(sys.argv[1]), None, lambda _: None)
