"""Which bundles a release holds, and which devices each is for: single bundles, or a fleet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.bundles import Bundle, Finding, integrity, open_bundle
from sdk.devices import DeviceProfile, find_device
from sdk.errors import BadInput, CheckFailed
from sdk.release.evidence import check_evidence
from sdk.release.fleet import FLEET, check_fleet_evidence, open_fleet
from sdk.release.selector import SELECTOR

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Variant:
    """One bundle, and the devices that it is for.

    `id`: its name in the stores, letters, digits and underscores; `folder`: its name on disk, which a fleet's selector says.
    """

    id: str
    folder: str
    bundle: Bundle
    devices: tuple[DeviceProfile, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What a release is made of: the model's name, its variants, and the folder of the fleet that they are."""

    name: str
    variants: tuple[Variant, ...]
    fleet: Path | None = None

    @property
    def selector(self) -> Path | None:
        """The fleet's `selector.json`."""
        return self.fleet / SELECTOR if self.fleet is not None else None


def gather(
    paths: Sequence[Path], systems: frozenset[str], profiles: Iterable[Path] = (), key: Ed25519PublicKey | None = None
) -> Source:
    """Return the variants in `paths` (bundles, or one fleet) for devices whose OS is in `systems`.

    `profiles`: files of devices that are not shipped. With `key` every bundle must be signed by it. BadInput for what is
    no bundle, another model, a device in two variants, or nothing for these systems; CheckFailed for what was altered.
    """
    own = {profile.name: profile for profile in map(find_device, profiles)}
    fleet = next((path for path in paths if (path / FLEET).is_file()), None)
    if fleet is not None and len(paths) > 1:
        raise BadInput(f"{fleet}: is a fleet, which has a selector for all of its variants: release it by itself")
    found = [_of_bundle(path, own) for path in paths] if fleet is None else _of_fleet(fleet, own)
    kept = [each for each in (_for_systems(variant, systems) for variant in found) if each is not None]
    if not kept:
        names = sorted({device.name for variant in found for device in variant.devices})
        raise BadInput(f"no bundle is for {' or '.join(sorted(systems))}: these are for {', '.join(names)}")
    if fleet is not None:
        _hold(fleet, check_fleet_evidence(fleet, open_fleet(fleet), key, None))
    for variant in kept:
        _check(variant, key)
    _coherent(kept)
    kept.sort(key=lambda variant: variant.id)
    return Source(kept[0].bundle.manifest.model.name, tuple(kept), fleet)


def identifier(name: str) -> str:
    """Return `name` with letters, digits and underscores alone, beginning with a letter: what both stores take."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_")
    return found if found[:1].isalpha() else f"model_{found}".rstrip("_")


def _of_fleet(path: Path, own: dict[str, DeviceProfile]) -> list[Variant]:
    found = []
    for entry in open_fleet(path).variants:
        bundle = open_bundle(path / entry.id)
        if bundle.manifest.digest != entry.digest:
            raise CheckFailed(f"{path / entry.id}: is not the bundle that {FLEET} names (its manifest differs): package again")
        found.append(Variant(identifier(entry.id), entry.id, bundle, tuple(_device(name, own) for name in entry.devices)))
    return found


def _of_bundle(path: Path, own: dict[str, DeviceProfile]) -> Variant:
    bundle = open_bundle(path)
    device = _device(bundle.manifest.device, own)
    name = identifier(f"{device.name}_{bundle.manifest.target}")
    return Variant(name, name, bundle, (device,))


def _device(name: str, own: dict[str, DeviceProfile]) -> DeviceProfile:
    if name in own:
        return own[name]
    try:
        return find_device(name)
    except BadInput:
        raise BadInput(f"device {name} is not shipped: name its profile with --profile FILE") from None


def _for_systems(variant: Variant, systems: frozenset[str]) -> Variant | None:
    devices = tuple(device for device in variant.devices if device.os.name in systems)
    return replace(variant, devices=devices) if devices else None


def _check(variant: Variant, key: Ed25519PublicKey | None) -> None:
    bundle = variant.bundle
    _hold(bundle.path, [*check_evidence(bundle.path, key), *integrity(bundle.path, bundle.manifest)])


def _hold(path: Path, findings: Iterable[Finding]) -> None:
    for finding in findings:
        if not finding.ok:
            raise CheckFailed(f"{path}: {finding.what}: {finding.detail}")


def _coherent(variants: list[Variant]) -> None:
    models = {variant.bundle.manifest.model.digest: str(variant.bundle.path) for variant in variants}
    if len(models) > 1:
        first, second, *_ = models.values()
        raise BadInput(f"{first} and {second} are of different models: release each by itself")
    owners: dict[str, Variant] = {}
    for variant in variants:
        for device in variant.devices:
            other = owners.setdefault(device.name, variant)
            if other is not variant:
                raise BadInput(f"device {device.name} is served by {other.bundle.path} and {variant.bundle.path}: keep one")
    ids = [variant.id for variant in variants]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice:
        raise BadInput(f"two variants are called {twice}: release them one by one")
