"""Which phones Play gives a variant to: device groups by device id, SoC and RAM, and their XML.

Format: developer.android.com/google/play/on-device-ai (Device targeting). The first group that a phone matches counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from sdk.devices import DeviceProfile
from sdk.errors import BadInput
from sdk.release.selector.rules import REPORTED
from sdk.release.store.limits import limits
from sdk.release.store.variants import Variant

CONFIGURATION = "device_targeting_configuration.xml"
NAMESPACE = "http://schemas.android.com/apk/config"
OTHER = "other"
"""Play's own group of the phones that match no group; it must not be defined."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Phones that meet all of it: one of the ids, none of the excluded, one of the SoCs, RAM of at least so many bytes.

    Ids are (brand, device), SoCs (manufacturer, model), as Android spells them; empty: any.
    """

    ids: tuple[tuple[str, str], ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()
    socs: tuple[tuple[str, str], ...] = ()
    ram: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """Phones that meet one of the selectors get the variant of this name."""

    name: str
    selectors: tuple[Selector, ...]


def device_groups(variants: Sequence[Variant]) -> tuple[DeviceGroup, ...]:
    """Return one group per variant, those of more RAM first; BadInput names a device that Play's names are unknown of.

    A device is selected by its id where the profile has it. Other phones with the same SoC, and RAM of at least
    `REPORTED` of the device's, get the same variant, unless their id is one of another group.
    """
    ids = {variant.id: _ids(variant.devices) for variant in variants}
    groups = []
    for variant in variants:
        others = tuple(sorted(pair for name, pairs in ids.items() if name != variant.id for pair in pairs))
        named = (Selector(ids=ids[variant.id]),) if ids[variant.id] else ()
        groups.append((_least_ram(variant), DeviceGroup(variant.id, (*named, *_by_soc(variant, others)))))
    return tuple(group for _, group in sorted(groups, key=lambda each: (-each[0], each[1].name)))


def targeting_xml(groups: Sequence[DeviceGroup]) -> str:
    """Return the device targeting configuration."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<config:device-targeting-config xmlns:config="{NAMESPACE}">']
    for group in groups:
        lines.append(f"    <config:device-group name={quoteattr(group.name)}>")
        for selector in group.selectors:
            lines += _selector_lines(selector)
        lines.append("    </config:device-group>")
    return "\n".join([*lines, "</config:device-targeting-config>", ""])


def _selector_lines(selector: Selector) -> list[str]:
    ram = f' ram-min-bytes="{selector.ram}"' if selector.ram is not None else ""
    properties = [
        *(_element("included-device-id", brand=brand, device=device) for brand, device in selector.ids),
        *(_element("excluded-device-id", brand=brand, device=device) for brand, device in selector.excluded),
        *(_element("system-on-chip", manufacturer=maker, model=model) for maker, model in selector.socs),
    ]
    return [f"        <config:device-selector{ram}>", *properties, "        </config:device-selector>"]


def _element(name: str, **attributes: str) -> str:
    pairs = " ".join(f"{key}={quoteattr(value)}" for key, value in attributes.items())
    return f"            <config:{name} {pairs}/>"


def _ids(devices: Sequence[DeviceProfile]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(_pair(device.play.device.value) for device in devices if device.play.device))


def _by_soc(variant: Variant, others: tuple[tuple[str, str], ...]) -> tuple[Selector, ...]:
    """One selector per least RAM; where there are too many, those of most RAM are folded into the strictest."""
    chips: dict[int, set[tuple[str, str]]] = {}
    for device in variant.devices:
        if device.play.soc and device.ram:
            chips.setdefault(int(device.ram.value * REPORTED), set()).add(_pair(device.play.soc.value))
        elif not device.play.device:
            raise BadInput(
                f"device {device.name}: its profile has neither `play.device` nor `play.soc` with `ram`, so Play cannot "
                "tell it apart: add one with its source, or leave the device out"
            )
    most = limits()["play_selectors"].most - 1
    while len(chips) > most:
        second, first = sorted(chips)[-2:]
        chips[first] |= chips.pop(second)
    return tuple(Selector(excluded=others, socs=tuple(sorted(socs)), ram=ram) for ram, socs in sorted(chips.items()))


def _least_ram(variant: Variant) -> int:
    return min((device.ram.value for device in variant.devices if device.ram), default=0)


def _pair(name: str) -> tuple[str, str]:
    first, _, second = name.partition("/")
    return first, second
