"""Which recurrent layers a target writes out step by step, and what a user should hear of it."""

from __future__ import annotations

from sdk.costs.work import time_steps
from sdk.lowering import Target
from sdk.models import Layer, Model


def unrolled_notes(model: Model, target: Target) -> list[str]:
    """Say which layers become an operator, or several, for each of their steps: the file and its loading time grow with them."""
    kinds = getattr(target, "unrolls", ())
    steps = {layer.name: (layer.kind, _steps(model, layer)) for layer in model.inventory.layers if layer.kind in kinds}
    said = [f"{name} ({kind}, {count} steps)" for name, (kind, count) in steps.items() if count > 1]
    return [f"written out step by step for {target.name}, which makes many operators: {', '.join(said)}"] if said else []


def _steps(model: Model, layer: Layer) -> int:
    """Steps in time that a recurrent layer takes over the model's example."""
    return time_steps(next(n for n in model.program.graph.nodes if n.name == layer.fused[0]))
