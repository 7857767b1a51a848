"""Predicts the logarithm of a latency: a Gaussian process over shapes, devices, runtimes, precisions and models.

Each part of the covariance says what rows share: trends in the shapes (of all rows, and of a runtime's), a device, a runtime
on it, a precision, a model, a model in a runtime. The weights of the parts are those of greatest marginal likelihood
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 5.4), so how far a device or model that was never seen may
differ is learned from how far those that were seen do: that is what makes the interval honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.stats import t

from benchmarks.published.rows import Row

Z90 = 1.6448536269514722
"""Standard deviations on both sides that hold 90 % of a normal distribution."""
DEVICE, MODEL = (6, 7), (8, 9, 10)
"""Which parts of the covariance are a device's, and a model's."""
LENGTH = 1.5
"""Distance in standardised features over which latencies resemble each other."""


class Pools:
    """Rows that are alike: of one runtime and precision, whatever the device; all of them where those are too few."""

    KEYS = (("runtime", "precision"), ())

    def __init__(self, rows: Sequence[Row]) -> None:
        self.found: dict[Any, list[Row]] = {}
        for row in rows:
            for names in self.KEYS:
                self.found.setdefault((names, *(getattr(row, name) for name in names)), []).append(row)

    def of(self, row: Row) -> list[Row]:
        """Return the nearest pool of at least three rows."""
        pools = (self.found.get((names, *(getattr(row, name) for name in names)), []) for names in self.KEYS)
        return next(pool for pool in pools if len(pool) >= 3)

    def roofline(self, rows: Sequence[Row]) -> Any:
        """Return the logarithm of MACs over the pool's median throughput, for each row."""
        return np.array([np.log(row.macs * np.median([each.milliseconds / each.macs for each in self.of(row)])) for row in rows])


class Transfer:
    """Fitted to rows; predicts others."""

    def __init__(self, rows: Sequence[Row], start: Any = None, steps: int = 40) -> None:
        self.rows = rows
        features = np.array([row.features for row in rows])
        self.middle, self.scale = features.mean(0), features.std(0) + 1e-9
        self.pools = Pools(rows)
        self.left = np.log([row.milliseconds for row in rows]) - self.pools.roofline(rows)
        parts = self._parts(rows, rows)
        begin = np.full(len(parts) + 1, -2.0) if start is None else start
        bounds = [(-12.0, 4.0)] * len(begin)
        found = minimize(self._likelihood, begin, args=(parts,), jac=True, bounds=bounds, options={"maxiter": steps})
        self.weights = found.x
        covariance = sum(np.exp(w) * part for w, part in zip(self.weights, parts, strict=False))
        self.factor = cho_factor(covariance + np.exp(self.weights[-1]) * np.eye(len(rows)))
        self.solved = cho_solve(self.factor, self.left)

    def predict(self, rows: Sequence[Row]) -> tuple[Any, Any, Any]:
        """Return the medians in ms and the bounds that hold nine in ten, for each row."""
        weights = np.exp(self.weights)
        cross = sum(w * part for w, part in zip(weights, self._parts(rows, self.rows), strict=False))
        own = sum(w * np.diag(part) for w, part in zip(weights, self._parts(rows, rows), strict=False)) + weights[-1]
        middle = self.pools.roofline(rows) + cross @ self.solved
        told = np.einsum("ij,ji->i", cross, cho_solve(self.factor, cross.T))
        spread = np.sqrt(np.maximum(own - told + self._unseen(rows), 1e-12))
        return np.exp(middle), np.exp(middle - Z90 * spread), np.exp(middle + Z90 * spread)

    def _unseen(self, rows: Sequence[Row]) -> Any:
        """Variance that is added for devices and models that were never seen.

        How far those differ is estimated from as many as there are in the fit, so the bounds are those of Student's t with one
        degree of freedom less, not of a normal distribution.
        """
        weights, added = np.exp(self.weights), np.zeros(len(rows))
        for name, places in (("device", DEVICE), ("model", MODEL)):
            known = {getattr(row, name) for row in self.rows}
            wider = (t.ppf(0.95, max(1, len(known) - 1)) / Z90) ** 2 - 1
            unseen = np.array([getattr(row, name) not in known for row in rows])
            added += unseen * wider * sum(weights[place] for place in places)
        return added

    def _parts(self, one: Sequence[Row], two: Sequence[Row]) -> list[Any]:
        """The parts of the covariance between two lists of rows, each a matrix."""
        a, b = (((np.array([row.features for row in rows]) - self.middle) / self.scale) for rows in (one, two))
        linear = a @ b.T / a.shape[1]
        near = np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * LENGTH**2))
        same = {
            name: np.array([[getattr(x, name) == getattr(y, name) for y in two] for x in one], dtype=float)
            for name in ("device", "runtime", "precision", "model")
        }
        return [
            linear, near, same["runtime"], same["runtime"] * linear, same["precision"], same["precision"] * linear,
            same["device"], same["device"] * same["runtime"], same["model"], same["model"] * same["runtime"],
            same["model"] * same["precision"],
        ]  # fmt: skip

    def _likelihood(self, logs: Any, parts: list[Any]) -> tuple[float, Any]:
        """Minus the logarithm of the marginal likelihood, and its gradient in the logarithms of the weights."""
        size = len(self.left)
        weighted = [np.exp(w) * part for w, part in zip(logs, parts, strict=False)] + [np.exp(logs[-1]) * np.eye(size)]
        factor = cho_factor(sum(weighted) + 1e-9 * np.eye(size))
        solved = cho_solve(factor, self.left)
        inverse = cho_solve(factor, np.eye(size))
        value = 0.5 * self.left @ solved + np.log(np.diag(factor[0])).sum()
        gap = inverse - np.outer(solved, solved)
        return float(value), np.array([0.5 * float((gap * part).sum()) for part in weighted])
