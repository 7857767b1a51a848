"""The file `fleet.yaml`: which devices an app ships to, with their shares and budgets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sdk.config import Budgets, Words
from sdk.devices.reading import read_model
from sdk.errors import BadInput

MOST_VARIANTS = 4
"""Variants at most, where neither the file nor `--max-variants` says."""

_ROUNDED = 0.01
"""How far shares may be from 1 in sum: people write a third as 0.33."""


def _share(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a share such as 0.25 or 25%")
    if not isinstance(value, str):
        return value
    try:
        return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise ValueError("write a share such as 0.25 or 25%") from None


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Frozen):
    """Devices with equal budgets, which divide `share` (of the app's installs) evenly.

    A budget given here replaces the fleet's budgets; `min_os` is the least OS version of all of them.
    """

    devices: Words
    name: Annotated[str, Field(strict=True, min_length=1)] | None = None
    share: Share | None = None
    budgets: Budgets = Budgets()
    min_os: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None


class FleetFile(_Frozen):
    """One `fleet.yaml`: `max_variants` bundles at most serve the `groups`.

    `loss_per_mb`: the loss that a megabyte (10^6 bytes) of download is worth; None: the default rate,
    `sdk.release.fleet.choose.default_rate`. `budgets` are those of groups that give none.
    """

    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    max_variants: Annotated[int, Field(strict=True, ge=1, le=64)] = MOST_VARIANTS
    loss_per_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    budgets: Budgets = Budgets()

    @model_validator(mode="after")
    def _shares(self) -> FleetFile:
        given = [group.share for group in self.groups if group.share is not None]
        if given and len(given) != len(self.groups):
            raise ValueError("groups: some have a share and some have none: give every group one, or none")
        if given and abs(sum(given) - 1) > _ROUNDED:
            raise ValueError(f"groups: the shares add up to {sum(given):g}: make them add up to 1 (or 100%)")
        return self

    @property
    def shares(self) -> tuple[float, ...]:
        """Each group's share, adding up to 1; without shares every device counts the same."""
        weights = [group.share if group.share is not None else float(len(group.devices)) for group in self.groups]
        return tuple(weight / sum(weights) for weight in weights)


def load_fleet(path: Path) -> FleetFile:
    """Return the fleet file at `path`, its profile files relative to the current directory.

    BadInput `file: key: value: mend`.
    """
    fleet = read_model(path, FleetFile, str(path))
    groups = tuple(
        group.model_copy(update={"devices": tuple(_placed(device, path.parent) for device in group.devices)})
        for group in fleet.groups
    )
    return fleet.model_copy(update={"groups": groups})


def even_fleet(devices: Sequence[str], max_variants: int = MOST_VARIANTS) -> FleetFile:
    """Return a fleet of `devices` with equal shares and no budgets of its own."""
    if not devices:
        raise BadInput("which devices? give --device NAME several times, or --fleet FILE")
    return FleetFile(groups=tuple(Group(devices=(device,)) for device in devices), max_variants=max_variants)


def _placed(device: str, folder: Path) -> str:
    """A profile's file is named relative to the fleet file."""
    is_file = device.lower().endswith((".yaml", ".yml")) and not os.path.isabs(device)
    return os.path.normpath(folder / device) if is_file else device
