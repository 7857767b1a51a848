"""How a number is shown to people: by its unit, with the digits that mean something."""

from __future__ import annotations

from sdk.units import format_size

UNITS = {"kl": "nats", "kl_probabilities": "nats", "cosine": "1 − cosine", "mse": "relative squared error"}
"""Unit of each loss; another loss is in its own unit."""

MEANING = {
    "kl": "KL divergence of the answers' probabilities from the float model's: 0 is the same answer",
    "kl_probabilities": "KL divergence of the answers' probabilities from the float model's: 0 is the same answer",
    "cosine": "1 − cosine similarity of the answer and the float model's: 0 is the same direction",
    "mse": "squared error of the answer relative to the float model's answer: 0 is the same answer",
}


def shown(value: float | int | None, unit: str = "") -> str:
    """Show `value` in `unit`: bytes as `4.95 MB`, counts with separators, the rest with three significant digits."""
    if value is None:
        return "not known"
    if unit == "bytes":
        return format_size(int(value))
    if unit == "share":
        return f"{100 * value:.3g} %"
    text = f"{value:,}" if isinstance(value, int) else significant(value)
    return f"{text} {unit}" if unit in ("nats", "ms", "bits") else text


def significant(value: float) -> str:
    """Show three significant digits; powers of ten below a thousandth as `1.2e-4`."""
    if value and abs(value) < 1e-3:
        head, _, power = f"{value:.1e}".partition("e")
        return f"{head}e{int(power)}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
