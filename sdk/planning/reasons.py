"""Why a layer got its scheme, in a few words, from what its neighbours on the front would change."""

from __future__ import annotations

from sdk.planning.options import Choices, Option
from sdk.units import format_size


def reason(choices: Choices, chosen: Option) -> str:
    """Return the trade that the chosen option refused: what a step up costs, what a step down saves."""
    front = choices.front
    if len(choices.options) == 1:
        return "the only scheme allowed here"
    if chosen not in front:
        better = beaten_by(choices, chosen)
        return f"for memory or latency: {better.scheme} is no bigger and no lossier" if better else ""
    at = front.index(chosen)
    parts = []
    if at + 1 < len(front):
        parts.append(_up(chosen, front[at + 1]))
    if at > 0:
        parts.append(_down(chosen, front[at - 1]))
    if len(front) == 1:
        return "smallest and least lossy of those allowed"
    if at + 1 == len(front):
        return f"least loss: {parts[0]}"
    if at == 0:
        return f"smallest: {parts[0]}"
    return "; ".join(parts)


def beaten_by(choices: Choices, option: Option) -> Option | None:
    """Return the front's option that is at most as big and at most as lossy as `option`, or None."""
    found = [o for o in choices.front if o.bytes <= option.bytes and o.loss <= option.loss and o != option]
    return min(found, key=lambda o: (o.loss, o.bytes)) if found else None


def loss_text(loss: float) -> str:
    """Show a loss in two significant digits."""
    return f"{loss:.2g}"


def _up(chosen: Option, other: Option) -> str:
    cost, saved = format_size(other.bytes - chosen.bytes), loss_text(chosen.loss - other.loss)
    return f"{other.scheme} costs {cost} more to save {saved}"


def _down(chosen: Option, other: Option) -> str:
    saved, added = format_size(chosen.bytes - other.bytes), loss_text(other.loss - chosen.loss)
    return f"{other.scheme} would save {saved} but add {added}"
