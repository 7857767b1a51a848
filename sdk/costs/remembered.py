"""Costs of a layer in a scheme that are computed once: a search predicts hundreds of plans of the same layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sdk.models import Layer
from sdk.schemes import Scheme

T = TypeVar("T")


class Remembering(Protocol):
    """Something that has a place for what it computed."""

    known: dict[tuple[str, str, str], Any]


def remembered(method: Callable[[Any, Layer, Scheme], T]) -> Callable[[Any, Layer, Scheme], T]:
    """Return the method of (layer, scheme) that looks into `known` of its object first."""

    @functools.wraps(method)
    def look(self: Remembering, layer: Layer, scheme: Scheme) -> T:
        key = method.__name__, layer.name, scheme.name
        if key not in self.known:
            self.known[key] = method(self, layer, scheme)
        found: T = self.known[key]
        return found

    return look
