"""Which devices are known, and how one is found by the name that a person types."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sdk.devices.probe import probe_host
from sdk.devices.profile import DeviceProfile
from sdk.devices.reading import parse_model, read_model
from sdk.errors import BadInput

_PACKAGE = "device_profiles"
HOST = "host"


def find_device(name_or_path: str | Path) -> DeviceProfile:
    """Return the profile of a device: a name (`pixel8`, `Pixel 8`, `google/pixel8`), a YAML file or `host`.

    Aliases count as names; case, spaces, dots, dashes and underscores do not count. BadInput names the
    nearest device.
    """
    if isinstance(name_or_path, Path) or _is_path(str(name_or_path)):
        return validate_file(name_or_path)
    wanted = _key(name_or_path)
    if wanted == HOST:
        return probe_host()
    names = _names()
    if wanted in names:
        return _shipped()[names[wanted]]
    raise BadInput(f"device {str(name_or_path)[:60]!r} is unknown: {_nearest(wanted, names)}")


def list_devices() -> tuple[DeviceProfile, ...]:
    """Return every shipped profile by vendor and name, then this machine's."""
    return (*_shipped().values(), probe_host())


def validate_file(path: str | Path) -> DeviceProfile:
    """Return the profile in the YAML file at `path`, or raise BadInput `file: field: value: mend`."""
    return read_model(Path(path), DeviceProfile, label=str(path))


def _is_path(text: str) -> bool:
    return text.lower().endswith((".yaml", ".yml")) or (os.sep in text and os.path.isfile(text))


def _key(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())


def _nearest(wanted: str, names: dict[str, str]) -> str:
    begun = sorted((each for each in names if wanted and each.startswith(wanted)), key=len)
    near = begun or get_close_matches(wanted, [*names, HOST], n=1, cutoff=0.6)
    name = names.get(near[0], HOST) if near else ""
    listed = f"`{name}` is the nearest" if name else "none is near"
    return f"{listed}; `sdk devices list` shows all, and a path to a profile's YAML works too"


@cache
def _names() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, profile in _shipped().items():
        for spelling in (name, profile.title, f"{profile.vendor}{name}", *profile.aliases):
            owner = found.setdefault(_key(spelling), name)
            if owner != name:
                raise BadInput(f"{_PACKAGE}: {spelling!r} names both {owner} and {name}: change one alias")
    return found


@cache
def _shipped() -> dict[str, DeviceProfile]:
    profiles: dict[str, DeviceProfile] = {}
    for vendor, file in _profile_files():
        label = f"{_PACKAGE}/{vendor}/{file.name}"
        profile = parse_model(file.read_text("utf-8"), DeviceProfile, label)
        named = f"{profile.vendor}/{profile.name}"
        if f"{named}.yaml" != f"{vendor}/{file.name}":
            raise BadInput(f"{label}: vendor and name must be those of the path, not {named}")
        profiles[profile.name] = profile
    return profiles


def _profile_files() -> list[tuple[str, Traversable]]:
    found = [
        (vendor.name, file)
        for vendor in files(_PACKAGE).iterdir()
        if vendor.is_dir()
        for file in vendor.iterdir()
        if file.name.endswith(".yaml")
    ]
    return sorted(found, key=lambda each: (each[0], each[1].name))
