"""Compares the schemes that an artifact's bytes hold with those that were planned."""

from __future__ import annotations

from collections.abc import Mapping

from sdk.errors import CheckFailed
from sdk.lowering import Realised


def check_realised(planned: Mapping[str, str], realised: Mapping[str, Realised]) -> None:
    """Raise CheckFailed naming the first layer whose realised scheme is not the planned one."""
    for name, scheme in planned.items():
        if name not in realised:
            raise CheckFailed(f"layer {name}: planned {scheme}, but the artifact holds no such layer")
        if realised[name].scheme != scheme:
            raise CheckFailed(f"layer {name}: planned {scheme}, but the artifact's bytes hold {realised[name].scheme}")
