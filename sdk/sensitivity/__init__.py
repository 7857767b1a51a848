"""What each (layer, scheme) costs in quality."""

from sdk.sensitivity.losses import LOSSES, choose_loss, measure
from sdk.sensitivity.score import Sensitivity, score, take_statistics

__all__ = ["LOSSES", "Sensitivity", "choose_loss", "measure", "score", "take_statistics"]
