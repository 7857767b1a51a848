"""What each (layer, scheme) costs in quality."""

from sdk.sensitivity.activations import quantize_dynamic, quantize_static
from sdk.sensitivity.blind import blind_layers
from sdk.sensitivity.losses import LOSSES, choose_loss, divergence, measure
from sdk.sensitivity.own import OwnLoss
from sdk.sensitivity.response import PROBABLE, Response, response
from sdk.sensitivity.score import Scoring, Sensitivity, score
from sdk.sensitivity.slopes import finite_slopes
from sdk.sensitivity.statistics import NotFinite, Taking, take_statistics

__all__ = [
    "LOSSES", "PROBABLE", "NotFinite", "OwnLoss", "Response", "Scoring", "Sensitivity", "Taking", "blind_layers", "choose_loss",
    "divergence", "finite_slopes", "measure", "quantize_dynamic", "quantize_static", "response", "score", "take_statistics",
]  # fmt: skip
