"""Chooses the output channels of a big layer that are scored for all of them."""

from __future__ import annotations

from typing import Any

from sdk.models import Layer

WHOLE = 2_000_000
"""Weights up to which a layer is scored as a whole."""

RUN = 16
"""Neighbouring channels that are taken together, so that no table of several channels is torn."""

RUNS, TAKEN = 32, 1 << 20
"""Runs of channels that are taken at least, and weights where these have fewer; of a table WHOLE, as few rows are looked up."""

PART = 1 << 12
"""Channels weighed at a time."""


def scored(layer: Layer) -> int:
    """How many of the layer's weights are rounded to score it."""
    return _runs(layer) * RUN * _inputs(layer) if _is_big(layer) else layer.parameters


def sampled(layer: Layer, weight: Any, importance: Any, looked_up: Any = None) -> tuple[Any, Any] | None:
    """Return some of the layer's channels (int64) and how likely each was to be among them (float32); None: all count.

    A run of channels is taken with a probability in proportion to its importance times its mean square (systematic sampling,
    Madow 1949), so that one that decides is not missed. A layer whose `importance` is None or zero is not sampled. Of a table the
    rows that are `looked_up` (bool, one per row) count alone: all of them where that is few enough, and then their
    probabilities are None. A palette of several rows is then fitted to rows that are no neighbours.
    """
    import torch

    if not _is_big(layer) or importance is None:
        return None
    if looked_up is not None:
        chosen = looked_up.nonzero()[:, 0]
        if 0 < len(chosen) <= _runs(layer) * RUN:
            others = looked_up.logical_not().nonzero()[: -len(chosen) % RUN, 0]  # without gradients: they fill the last palette
            return torch.cat([chosen, others]).sort().values, None
        importance = _known(importance, looked_up)
    rows, costs = (value.detach().movedim(layer.channel_axis, 0).flatten(1) for value in (weight, importance))
    sizes = torch.cat([_sizes(*parts) for parts in zip(rows.split(PART), costs.split(PART), strict=True)])
    sizes = torch.nn.functional.pad(sizes, (0, -len(sizes) % RUN)).reshape(-1, RUN).sum(1)
    likely = _inclusion(sizes, _runs(layer))
    order = torch.randperm(len(likely), generator=torch.Generator().manual_seed(0))  # heads repeat themselves, channel by channel
    ends = likely[order].cumsum(0) + 0.5
    taken = order[ends.floor() > (ends - likely[order]).floor()].sort().values
    chosen = (taken.unsqueeze(1) * RUN + torch.arange(RUN)).flatten()
    inside = chosen < len(rows)
    return (chosen[inside], likely[taken].repeat_interleave(RUN)[inside].float()) if len(taken) else None


def _is_big(layer: Layer) -> bool:
    """Whether some channels may stand for all: of recurrent and grouped layers they are of several sorts."""
    alike = len(layer.weights) == 1 and layer.groups == 1
    return alike and layer.parameters > WHOLE and _runs(layer) * RUN < layer.shape[layer.channel_axis]


def _runs(layer: Layer) -> int:
    return max(RUNS, (WHOLE if layer.kind == "embedding" else TAKEN) // (RUN * _inputs(layer)))


def _inputs(layer: Layer) -> int:
    return layer.parameters // layer.shape[layer.channel_axis]


def _known(importance: Any, looked_up: Any) -> Any:
    """The importance of the rows that are looked up: of those that no sample with importance had, the mean of the others."""
    seen = importance.flatten(1).any(1)
    mean = importance[seen].float().mean(0, keepdim=True) if bool(seen.any()) else importance[:1].float()
    return importance.float().where(seen.unsqueeze(1), mean) * looked_up.unsqueeze(1)


def _sizes(weight: Any, importance: Any) -> Any:
    """What each channel ([channels, inputs]) is expected to lose, but for a factor ([channels], float64)."""
    return importance.double().sum(1) * weight.double().square().mean(1)


def _inclusion(sizes: Any, count: int) -> Any:
    """Probabilities in proportion to `sizes`, none above one, that add up to `count`, or to as many as are not zero."""
    import torch

    sure = torch.zeros(len(sizes), dtype=torch.bool)
    while True:
        rest, left = sizes.masked_fill(sure, 0), count - int(sure.sum())
        likely = torch.where(sure, 1.0, rest * (left / rest.sum().clamp(min=1e-300)))
        more = (likely > 1) & ~sure
        if not bool(more.any()):
            return likely
        sure |= more
