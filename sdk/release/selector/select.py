"""The reference selector: facts that a phone reports → variant. Selector.kt and Selector.swift say the same, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PARTS = 4
"""Numbers that a version has at most."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an app knows of its device; None: not known.

    `os`: android, ios, ipados, linux, macos or windows; `os_version`: dotted numbers, such as 17.4.1; `ram`: all of it,
    in bytes, as the OS reports it; `soc`: as the OS reports it; `runtimes`: those that the app holds.
    """

    os: str | None = None
    os_version: str | None = None
    ram: int | None = None
    soc: str | None = None
    runtimes: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Facts:
        """Read facts from JSON; what has another type counts as not known."""
        words = {key: data[key] for key in ("os", "os_version", "soc") if isinstance(data.get(key), str)}
        ram = data.get("ram")
        runtimes = data.get("runtimes")
        return cls(
            ram=ram if isinstance(ram, int) and not isinstance(ram, bool) else None,
            runtimes=tuple(each for each in runtimes if isinstance(each, str)) if isinstance(runtimes, list) else (),
            **words,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """The variant's id, or None when none fits, and why."""

    variant: str | None
    reason: str


def select(document: Mapping[str, Any], facts: Facts) -> Selection:
    """Return the variant that the first matching rule picks, whose requirements are met; `document`: selector.json."""
    variants = {variant["id"]: variant for variant in document["variants"]}
    for rule in document["rules"]:
        if matches(rule, facts) and unmet(variants[rule["variant"]], facts) is None:
            known = f"known device: {rule['device']}" if rule["device"] else "best variant that fits"
            return Selection(rule["variant"], known)
    reasons = [f"{variant['id']}: {unmet(variant, facts) or 'budget'}" for variant in document["variants"]]
    return Selection(None, f"no variant fits: {'; '.join(reasons)}")


def matches(rule: Mapping[str, Any], facts: Facts) -> bool:
    """Whether a rule is for a device with these facts; what is not known never matches."""
    if rule["os"] != facts.os:
        return False
    if rule["soc"] is not None and spelled(facts.soc) not in rule["soc"]:
        return False
    if rule["ram"] is None:
        return True
    least, most = rule["ram"]
    return facts.ram is not None and facts.ram >= least and (most is None or facts.ram <= most)


def unmet(variant: Mapping[str, Any], facts: Facts) -> str | None:
    """The first requirement that the facts do not meet, in one word or two, or None."""
    requires = variant["requires"]
    if requires["runtime"] not in facts.runtimes:
        return "runtime"
    need = requires["os"].get(facts.os)
    if need is None:
        return "os"
    if need["version"] is not None and not at_least(facts.os_version, need["version"]):
        return "os version"
    if requires["soc"] is not None and spelled(facts.soc) not in requires["soc"]:
        return "soc"
    if need["ram"] is not None and (facts.ram is None or facts.ram < need["ram"]):
        return "ram"
    return None


def at_least(version: str | None, least: str) -> bool:
    """Whether a version is `least` or newer; one that cannot be read is not."""
    found, wanted = numbers(version), numbers(least)
    return found is not None and wanted is not None and found >= wanted


def numbers(version: str | None) -> list[int] | None:
    """The four numbers of a version, missing ones 0; None for what is not one to four dotted numbers."""
    if version is None:
        return None
    parts = version.split(".")
    if len(parts) > PARTS or not all(1 <= len(part) <= 9 and all("0" <= each <= "9" for each in part) for part in parts):
        return None
    return [int(part) for part in parts] + [0] * (PARTS - len(parts))


def spelled(soc: str | None) -> str:
    """A SoC's name in lower-case ASCII letters and digits alone."""
    return "".join(each.lower() for each in soc or "" if each.isascii() and each.isalnum())
