"""What each (layer, scheme) costs in quality."""

from sdk.sensitivity.losses import LOSSES, choose_loss, measure
from sdk.sensitivity.score import Sensitivity, importance, score

__all__ = ["LOSSES", "Sensitivity", "choose_loss", "importance", "measure", "score"]
