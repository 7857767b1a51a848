"""Fleet → selector: a rule per device of the fleet, then rules by RAM for devices that are not in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sdk.release.selector.document import Need, Requires, Rule, SelectorDocument, VariantRule
from sdk.release.selector.select import spelled

REPORTED = 0.8
"""Least share of its RAM that a device reports: the kernel and the firmware keep the rest (policy)."""

_SPOKEN = 4
"""Letters and digits of a word that names a SoC by itself, such as SM8550."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One device of the fleet, as the rules see it: bytes of RAM and of what an app may use of it, limits, its variant.

    `min_os`: its least version, if known; `runtimes`: those that run there.
    """

    name: str
    os: str
    min_os: float | None
    soc: str
    ram: int | None
    app_memory: int | None
    runtimes: frozenset[str]
    max_size: int | None
    max_loss: float | None
    variant: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One variant, as the rules see it: `loaded` bytes of memory at most; `price`: less is better.

    `min_os`: where its runtime tells OS versions apart; `socs`: names of those that run it, None where every one does.
    """

    id: str
    runtime: str
    artifact: str
    sha256: str
    bytes: int
    loaded: int
    loss: float
    price: float
    min_os: float | None
    socs: tuple[str, ...] | None = None

    def keeps(self, phone: Phone) -> bool:
        """Whether it is within the phone's limits and memory."""
        small = phone.max_size is None or self.bytes <= phone.max_size
        good = phone.max_loss is None or self.loss <= phone.max_loss
        return small and good and (phone.app_memory is None or self.loaded <= phone.app_memory)


def make_selector(offers: Sequence[Offer], phones: Sequence[Phone]) -> SelectorDocument:
    """Return the rules; phones that look alike (OS, SoC, RAM) have the same variant."""
    spellings = _spellings({phone.soc for phone in phones})
    ranked = sorted(offers, key=lambda offer: (offer.price, offer.bytes, offer.id))
    known = _known(phones, spellings)
    systems = sorted({phone.os for phone in phones})
    unknown = [rule for system in systems for rule in _unknown(system, phones, ranked)]
    return SelectorDocument(
        variants=tuple(_variant(offer, phones, spellings) for offer in sorted(offers, key=lambda offer: offer.id)),
        rules=(*known, *unknown),
    )


def _known(phones: Sequence[Phone], spellings: dict[str, tuple[str, ...]]) -> list[Rule]:
    """One rule per look: from REPORTED of the RAM, or the next smaller look's RAM, up to all of it."""
    rules = []
    ordered = sorted(phones, key=lambda phone: (phone.os, phone.soc, phone.ram or 0, phone.name))
    for (system, soc), same in groupby(ordered, lambda phone: (phone.os, phone.soc)):
        below = -1
        for ram, alike in groupby(same, lambda phone: phone.ram):
            row = list(alike)
            names = ", ".join(phone.name for phone in row)
            span = None if ram is None else (max(int(REPORTED * ram), below + 1), ram)
            rules.append(Rule(variant=row[0].variant, device=names, os=system, soc=spellings[soc], ram=span))
            below = ram or 0
    return sorted(rules, key=lambda rule: rule.device)


def _unknown(system: str, phones: Sequence[Phone], ranked: Sequence[Offer]) -> list[Rule]:
    """A device that is not in the fleet is held to the limits of the fleet's with the nearest RAM not above its own."""
    here = [phone for phone in phones if phone.os == system]
    offered = [offer for offer in ranked if any(offer.runtime in phone.runtimes for phone in here)]
    sizes = sorted({phone.ram for phone in here if phone.ram is not None}, reverse=True)
    if not sizes:
        return [_open(offer, system, None) for offer in offered if all(offer.keeps(phone) for phone in here)]
    rules, most = [], None
    for ram in sizes:
        least = int(REPORTED * ram) if ram != sizes[-1] else 0
        fitting = [offer for offer in offered if all(offer.keeps(phone) for phone in here if phone.ram == ram)]
        rules += [_open(offer, system, (least, most)) for offer in fitting]
        most = least - 1
    return rules


def _open(offer: Offer, system: str, ram: tuple[int, int | None] | None) -> Rule:
    return Rule(variant=offer.id, os=system, ram=ram)


def _variant(offer: Offer, phones: Sequence[Phone], spellings: dict[str, tuple[str, ...]]) -> VariantRule:
    able = [phone for phone in phones if offer.runtime in phone.runtimes]
    socs = None if offer.socs is None else tuple(sorted({word for soc in offer.socs for word in spellings[soc]}))
    needs = {
        system: _need(offer, [phone for phone in able if phone.os == system])
        for system in sorted({phone.os for phone in able})
    }
    return VariantRule(
        id=offer.id, artifact=offer.artifact, bytes=offer.bytes, sha256=offer.sha256,
        requires=Requires(runtime=offer.runtime, os=needs, soc=socs),
    )  # fmt: skip


def _need(offer: Offer, phones: Sequence[Phone]) -> Need:
    """The least version of the runtime, or of these phones; the RAM of which an app gets what the variant takes."""
    stated = [phone.min_os for phone in phones if phone.min_os is not None]
    version = offer.min_os if offer.min_os is not None else min(stated, default=None)
    shares = [phone.app_memory / phone.ram for phone in phones if phone.ram and phone.app_memory]
    if not shares:
        return Need(version=_version(version))
    needed = math.ceil(offer.loaded / min(shares))
    enough = [int(REPORTED * phone.ram) for phone in phones if phone.ram and phone.app_memory and offer.keeps(phone)]
    return Need(version=_version(version), ram=min([needed, *enough]))


def _version(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _spellings(socs: set[str]) -> dict[str, tuple[str, ...]]:
    """SoC → how a device may report it: whole, without the maker, or one word with letters and digits; none of two SoCs."""
    found = {soc: {spelled(soc), spelled(soc.partition(" ")[2])} | _words(soc) for soc in socs}
    counts = Counter(word for words in found.values() for word in words)
    return {soc: tuple(sorted(word for word in words if word and counts[word] == 1)) for soc, words in found.items()}


def _words(soc: str) -> set[str]:
    words = {spelled(word) for word in soc.split()}
    return {word for word in words if len(word) >= _SPOKEN and not word.isalpha() and not word.isdigit()}
