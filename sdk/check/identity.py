"""Is the phone that was measured the one that the bundle is for? Told from what both say of themselves."""

from __future__ import annotations

import re

from sdk.check.result import DeviceEntry
from sdk.devices import DeviceProfile, list_devices

SYSTEMS = {"android": "android", "linux": "linux", "darwin": "macos", "ios": "ios", "ipados": "ipados"}
"""How a system's name starts in a result's `device.os` → as profiles call it."""
NAMED = ("linux", "ios", "ipados")
"""Systems on which every model has a name that its profile knows."""
_REVISION = re.compile(r"\s+Rev(ision)?\s+[\d.]+$", re.IGNORECASE)
"""What a device tree says behind the name of a board, such as ` Rev 1.0`: boards of every revision are one device."""


def other_device(profile: DeviceProfile | None, found: DeviceEntry) -> str:
    """Return why `found` is not the device of `profile`, or an empty text where it is, or where one side does not say.

    Android's own spelling of a device decides (`play.device`, Build.BRAND/Build.DEVICE); without it, a model that
    another shipped profile is named after, or another system. A board of Linux, an iPhone and an iPad are the profile's only
    where what they say is its title, an alias, or one of its `os.models` (`iPhone16,1`).
    """
    if profile is None or profile.name == "host":
        return ""
    spelled = profile.play.device
    if spelled is not None and found.product:
        if found.product.casefold() == spelled.value.casefold():
            return ""
        return f"{found.id} is {found.product}, and the bundle is for {spelled.value} ({profile.title})"
    named = _named_after(found.model)
    if named is not None:
        return "" if named.name == profile.name else f"{found.id} is {_a(named.title)}, and the bundle is for {profile.title}"
    system = next((name for start, name in SYSTEMS.items() if found.os.casefold().startswith(start)), "")
    if system and system != profile.os.name:
        return f"{found.id} runs {system}, and the bundle is for {profile.title}, which runs {profile.os.name}"
    if system in NAMED and found.model:
        return f"{found.id} is {_a(found.model)}, and the bundle is for {profile.title}"
    return ""


def _a(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _named_after(model: str) -> DeviceProfile | None:
    """The shipped profile whose title, alias or system's name is this model."""
    wanted = _REVISION.sub("", model).casefold()
    return next((each for each in list_devices() if wanted in {name.casefold() for name in _names(each)}), None)


def _names(profile: DeviceProfile) -> tuple[str, ...]:
    models = profile.os.models
    return (profile.title, *profile.aliases, *(models.value if models is not None else ()))
