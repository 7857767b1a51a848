"""Finds targets: the folders of the package `targets`, then the entry points `sdk.targets` of other distributions."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sdk.errors import BadInput, Missing, SdkError
from sdk.lowering.protocol import Target

PACKAGE = "targets"
GROUP = "sdk.targets"
_MEMBERS = (
    "name", "artifact", "fallback", "lossless", "toolchain", "capabilities", "memory", "price", "lower", "realised", "placement",
    "open", "reference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """A target that is on offer, not imported yet; `origin` is the module or distribution that offers it."""

    name: str
    origin: str
    _import: Callable[[], Any]

    def load(self) -> Target:
        """Import the target. SdkError says why it cannot be imported or what it lacks."""
        try:
            target = self._import()
        except Exception as error:
            raise SdkError(
                f"target {self.name!r} ({self.origin}) cannot be imported: {type(error).__name__}: {error}"
            ) from error
        lacks = [member for member in _MEMBERS if not hasattr(target, member)]
        if isinstance(target, type) or lacks:
            what = "it is a class, not an instance" if isinstance(target, type) else f"it lacks {', '.join(lacks)}"
            raise SdkError(f"target {self.name!r} ({self.origin}) does not follow the Target protocol: {what}")
        if target.name != self.name:
            raise SdkError(f"target {self.name!r} ({self.origin}) calls itself {target.name!r}: both must agree")
        checked: Target = target
        return checked


def target_entries() -> tuple[TargetEntry, ...]:
    """Return every target on offer, sorted by name; SdkError when two go by one name."""
    entries: dict[str, TargetEntry] = {}
    for entry in (*_built_in(), *_third_party()):
        other = entries.setdefault(entry.name, entry)
        if other is not entry:
            raise SdkError(
                f"two targets are called {entry.name!r}: {other.origin} and {entry.origin}; uninstall one of them"
            )
    return tuple(entries[name] for name in sorted(entries))


def list_targets() -> tuple[Target, ...]:
    """Return every target; SdkError when one cannot be imported."""
    return tuple(entry.load() for entry in target_entries())


def find_target(name: str) -> Target:
    """Return the target called `name`; BadInput names the nearest when there is none."""
    entries = {entry.name: entry for entry in target_entries()}
    if name in entries:
        return entries[name].load()
    near = difflib.get_close_matches(name.lower(), entries, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(entries)}"
    raise BadInput(f"no target is called {name[:60]!r}; {meant}")


def ready_target(name: str) -> Target:
    """Return the target called `name` with its whole toolchain installed; Missing says how to install the rest."""
    return ready(find_target(name))


def ready(target: Target) -> Target:
    """Return `target` (or its variant) when its whole toolchain is installed; Missing says how to install the rest."""
    toolchain = target.toolchain()
    if toolchain.missing:
        raise Missing(f"target {target.name!r} needs {', '.join(toolchain.missing)}: {toolchain.install}")
    return target


def _built_in() -> list[TargetEntry]:
    package = importlib.import_module(PACKAGE)
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return [TargetEntry(name, f"{PACKAGE}.{name}", _importer(f"{PACKAGE}.{name}")) for name in names]


def _importer(module: str) -> Callable[[], Any]:
    def load() -> Any:
        return importlib.import_module(module).TARGET

    return load


def _third_party() -> tuple[TargetEntry, ...]:
    return _installed(tuple(sys.path))


@cache
def _installed(path: tuple[str, ...]) -> tuple[TargetEntry, ...]:
    """The entry points on the import path `path`: it is searched once, as that reads a file of every distribution there."""
    found = importlib.metadata.entry_points(group=GROUP)
    return tuple(TargetEntry(point.name, _distribution(point), point.load) for point in found)


def _distribution(point: importlib.metadata.EntryPoint) -> str:
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    return f"{owner}, {point.value}"
