"""How far outputs are from the float model's, and how long one run takes here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.cases import Case


def quality(case: Case, run: Callable[..., Any], metric: bool = True) -> dict[str, float]:
    """Judge `run` on the case's held-out inputs against the float model, and with the task metric if asked.

    `host_ms` is the median of the runs, on whatever else this machine was doing: a ratio, not a latency.
    """
    times: list[float] = []

    def timed(*inputs: Any) -> Any:
        started = time.perf_counter()
        outputs = run(*inputs)
        times.append(time.perf_counter() - started)
        return outputs

    got = case.outputs(timed)
    middle = sorted(times)[len(times) // 2] * 1e3
    found = {**distances(case.loss, case.float_outputs, got), "inputs": len(got), "host_ms": middle}
    return {**found, "metric": float(case.metric(run))} if metric else found


def distances(loss: str, wanted: Any, got: Any) -> dict[str, float]:
    """Compare outputs `[inputs, width]`: `kl` (nats) and `agreement` (0..1), `cosine`, or `mse` relative to the squared norm."""
    import numpy as np

    if not np.isfinite(got).all():
        return {"nan": float((~np.isfinite(got)).mean())}
    if loss == "kl":
        return {
            "kl": float(divergence(wanted, got).mean()),
            "agreement": float((wanted.argmax(1) == got.argmax(1)).mean()),
        }
    if loss == "mse":
        return {"mse": float(((wanted - got) ** 2).sum(1).mean() / (wanted**2).sum(1).mean())}
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    return {"cosine": float(((wanted * got).sum(1) / np.maximum(norms, 1e-12)).mean())}


def divergence(wanted: Any, got: Any) -> Any:
    """Return KL(float || got) of every row of logits, in nats."""
    import numpy as np

    p, q = _log_softmax(wanted), _log_softmax(got)
    return (np.exp(p) * (p - q)).sum(1)


def _log_softmax(logits: Any) -> Any:
    import numpy as np

    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
