"""Device groups: who gets which variant, as Play reads the configuration."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from sdk.bundles import open_bundle
from sdk.devices import DeviceProfile, find_device, list_devices
from sdk.release.selector.rules import REPORTED
from sdk.release.store.android.targeting import DeviceGroup, device_groups, targeting_xml
from sdk.release.store.variants import Variant

CONFIG = "{http://schemas.android.com/apk/config}"


def served(text: str, brand: str, device: str, maker: str, model: str, ram: int) -> str | None:
    """The group that Play serves a phone from, as developer.android.com/google/play/on-device-ai describes it."""
    for group in xml.fromstring(text):
        if any(_matches(selector, (brand, device), (maker, model), ram) for selector in group):
            return group.get("name")
    return None


def _matches(selector: xml.Element, phone: tuple[str, str], chip: tuple[str, str], ram: int) -> bool:
    def pairs(name: str, first: str, second: str) -> list[tuple[str | None, str | None]]:
        return [(each.get(first), each.get(second)) for each in selector.findall(f"{CONFIG}{name}")]

    included, excluded = (pairs(f"{kind}-device-id", "brand", "device") for kind in ("included", "excluded"))
    chips = pairs("system-on-chip", "manufacturer", "model")
    least = int(selector.get("ram-min-bytes", 0))
    return (not included or phone in included) and phone not in excluded and (not chips or chip in chips) and ram >= least


@pytest.fixture
def bundle(packaged: dict[str, Path]):
    return open_bundle(packaged["unsigned"])


def groups_of(bundle, *variants: tuple[str, ...]) -> tuple[DeviceGroup, ...]:
    return device_groups(
        [Variant(f"v{i}", f"v{i}", bundle, tuple(map(find_device, names))) for i, names in enumerate(variants)]
    )


def test_every_device_is_served_its_own_variant_whatever_else_matches(bundle) -> None:
    variants = (("pixel8", "pixel6"), ("pixel8pro", "oneplus12"), ("pixel9",), ("pixel7", "galaxy_a54"))
    text = targeting_xml(groups_of(bundle, *variants))
    for i, names in enumerate(variants):
        for name in names:
            device = find_device(name)
            maker, _, model = device.play.soc.value.partition("/") if device.play.soc else ("", "", "")
            brand, _, code = device.play.device.value.partition("/")
            assert served(text, brand, code, maker, model, device.ram.value) == f"v{i}"


def test_a_phone_with_the_same_chip_and_memory_is_served_too(bundle) -> None:
    text = targeting_xml(groups_of(bundle, ("pixel8",), ("pixel8pro",)))
    gib = 2**30
    assert served(text, "google", "akita", "Google", "Tensor G3", int(7.5 * gib)) == "v0"
    assert served(text, "google", "other", "Google", "Tensor G3", 12 * gib) == "v1"
    assert served(text, "google", "small", "Google", "Tensor G3", 4 * gib) is None
    assert served(text, "nobody", "knows", "QTI", "SM8650", 16 * gib) is None
    assert served(text, "google", "shiba", "Google", "Tensor G3", 12 * gib) == "v0", "its id wins over a larger memory"


def test_those_of_more_memory_come_first(bundle) -> None:
    assert [group.name for group in groups_of(bundle, ("pixel8",), ("pixel9",), ("galaxy_a54",))] == ["v1", "v0", "v2"]


def test_many_memories_are_folded_into_five_selectors(bundle) -> None:
    base = find_device("pixel8")
    phones = []
    for i in range(9):
        data = base.model_dump(by_alias=True)
        data |= {"name": f"phone{i}", "aliases": (), "ram": {**data["ram"], "value": (4 + i) * 2**30}}
        data["play"]["soc"]["value"] = f"Maker/chip{i}"
        data["app_memory"] = None
        phones.append(DeviceProfile.model_validate(data))
    (group,) = device_groups([Variant("v", "v", bundle, tuple(phones))])
    assert len(group.selectors) == 5
    for selector in group.selectors[1:]:
        for _, chip in selector.socs:
            assert selector.ram >= int((4 + int(chip.removeprefix("chip"))) * 2**30 * REPORTED), "never less than the device has"


def test_android_s_names_are_facts_with_sources() -> None:
    named = [profile for profile in list_devices() if profile.play.device or profile.play.soc]
    assert len(named) >= 8
    for profile in named:
        assert profile.os.name == "android"
        for fact in (profile.play.device, profile.play.soc):
            assert fact is None or (fact.source and "/" in fact.value)
