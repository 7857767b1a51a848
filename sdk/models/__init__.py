"""Models in: references and modules become a normalised graph with a layer inventory."""

from sdk.models.inventory import Layer, LayerInventory, Uncovered
from sdk.models.model import Model, TensorSpec

__all__ = ["Layer", "LayerInventory", "Model", "TensorSpec", "Uncovered"]
