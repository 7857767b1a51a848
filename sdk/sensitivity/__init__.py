"""What each (layer, scheme) costs in quality."""

from sdk.sensitivity.activations import quantize_dynamic, quantize_static
from sdk.sensitivity.losses import LOSSES, choose_loss, divergence, measure
from sdk.sensitivity.score import Sensitivity, chunks_of, portions, score, take_statistics

__all__ = [
    "LOSSES", "Sensitivity", "choose_loss", "chunks_of", "divergence", "measure", "portions", "quantize_dynamic",
    "quantize_static", "score", "take_statistics",
]  # fmt: skip
