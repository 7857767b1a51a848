"""Silero VAD at 16 kHz, rebuilt as a torch module around the weights of its published ONNX file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

RATE = 16000
CHUNK, CONTEXT = 512, 64
"""Samples that are judged at a time, and those before them that the network sees as well."""
WINDOW, HOP, BINS, WIDTH = 256, 128, 129, 128
"""Window and step of the spectrum in samples, its frequencies, width of the state."""


def onnx_file() -> Path:
    """Return the ONNX file inside the installed package, without importing that package.

    The wheel's `silero_vad_16k.safetensors` holds other, older weights.
    """
    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("silero-vad is missing: see examples/requirements-no-deps.txt")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx"


def detector() -> tuple[Any, tuple[Any, ...]]:
    """Return the network in eval mode and example inputs.

    `audio`, float32 `[1, 576]` in -1..1 (`CONTEXT` samples of the chunk before and `CHUNK` new ones), and `state`, float32
    `[2, 1, 128]` (zeros at first) → probabilities of silence and of speech `[1, 2]`, and the state for the next chunk.
    The published model gives the second probability alone.
    """
    import torch

    network = _network()
    network.load_state_dict(_weights())
    return network.eval(), (torch.zeros(1, CONTEXT + CHUNK), torch.zeros(2, 1, WIDTH))


def _network() -> Any:
    """Build the network with random weights."""
    import torch
    from torch import nn

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spectrum = nn.Conv1d(1, 2 * BINS, WINDOW, HOP, bias=False)
            self.encoder = nn.Sequential(
                nn.Conv1d(BINS, 128, 3, padding=1), nn.ReLU(),
                nn.Conv1d(128, 64, 3, stride=2, padding=1), nn.ReLU(),
                nn.Conv1d(64, 64, 3, stride=2, padding=1), nn.ReLU(),
                nn.Conv1d(64, WIDTH, 3, padding=1), nn.ReLU(),
            )  # fmt: skip
            self.cell = nn.LSTMCell(WIDTH, WIDTH)
            self.last = nn.Conv1d(WIDTH, 1, 1)

        def forward(self, audio: Any, state: Any) -> Any:
            padded = nn.functional.pad(audio, (0, CONTEXT), mode="reflect")
            real, imaginary = self.spectrum(padded.unsqueeze(1)).split(BINS, 1)
            x = (real.square() + imaginary.square()).sqrt()
            hidden, memory = self.cell(self.encoder(x).squeeze(-1), (state[0], state[1]))
            speech = self.last(hidden.relu().unsqueeze(-1)).sigmoid().squeeze(-1)
            return torch.cat((1 - speech, speech), 1), torch.stack((hidden, memory))

    return Detector()


def _weights() -> dict[str, Any]:
    """Read the ONNX initialisers under the module's own names."""
    import onnx
    import torch
    from onnx import numpy_helper

    names = {"stft.forward_basis_buffer": "spectrum.weight"}
    for kind in ("weight", "bias"):
        names |= {f"encoder.{i}.reparam_conv.{kind}": f"encoder.{2 * i}.{kind}" for i in range(4)}
        names |= {f"decoder.rnn.{kind}_{side}": f"cell.{kind}_{side}" for side in ("ih", "hh")}
        names[f"decoder.decoder.2.{kind}"] = f"last.{kind}"
    stored = {item.name.removeprefix("model."): item for item in onnx.load(onnx_file()).graph.initializer}
    return {ours: torch.from_numpy(numpy_helper.to_array(stored[name]).copy()) for name, ours in names.items()}
