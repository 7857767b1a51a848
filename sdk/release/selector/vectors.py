"""Test vectors: facts of devices near and far from a fleet's, with what the reference selector says of each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sdk.release.selector.select import Facts, select

_SYSTEMS = ("android", "ios", "ipados", "linux", "macos", "windows", "tizen", None)
_VERSIONS = (
    "8", "12", "13.0.1", "14", "15", "16", "16.7.10", "17", "17.4.1", "18", "18.0", "26.1", "", "18-beta", "1.2.3.4.5", None,
)  # fmt: skip
_SOCS = ("Tensor G3", "SM8550", "Apple A17 Pro", "Snapdragon 8 Gen 9", "MT6989", "Exynos\u00e9 1380", "", None)
_RUNTIMES = ("coreml", "executorch", "tflite", "null", "onnx")
_LEAST, _MOST = 2**28, 2**35


def vectors(document: Mapping[str, Any], count: int, seed: int = 7, runtimes: Sequence[str] = _RUNTIMES) -> dict[str, Any]:
    """Return `{"cases": [{"facts", "variant", "reason"}, …]}`: half near the rules, half anywhere; the same every time."""
    dice = random.Random(seed)
    cases = []
    for number in range(count):
        facts = _near(document, dice, runtimes) if number % 2 else _anywhere(dice, runtimes)
        chosen = select(document, Facts.of(facts))
        cases.append({"facts": facts, **asdict(chosen)})
    return {"cases": cases}


def _anywhere(dice: random.Random, runtimes: Sequence[str]) -> dict[str, Any]:
    return {
        "os": _one(dice, _SYSTEMS),
        "os_version": _one(dice, _VERSIONS),
        "ram": int(_LEAST * (_MOST / _LEAST) ** dice.random()) if dice.random() < 0.9 else None,
        "soc": _one(dice, _SOCS),
        "runtimes": [each for each in runtimes if dice.random() < 0.6],
    }


def _near(document: Mapping[str, Any], dice: random.Random, runtimes: Sequence[str]) -> dict[str, Any]:
    """Facts at, just inside or just outside of a rule's bounds, one of them perhaps replaced by anything."""
    rule = _one(dice, document["rules"])
    variant = next(each for each in document["variants"] if each["id"] == rule["variant"])
    need = variant["requires"]["os"][rule["os"]]
    bounds = [each for each in (*(rule["ram"] or ()), need["ram"]) if each is not None] or [_MOST]
    facts = _anywhere(dice, runtimes) | {
        "os": rule["os"],
        "os_version": need["version"] or "1",
        "ram": max(_one(dice, bounds) + _one(dice, (-1, 0, 1)), 0),
        "runtimes": [variant["requires"]["runtime"]] if dice.random() < 0.5 else list(runtimes),
    }
    if rule["soc"]:
        facts["soc"] = _one(dice, rule["soc"]).upper()
    if dice.random() < 0.3:
        key = _one(dice, sorted(facts))
        facts[key] = _anywhere(dice, runtimes)[key]
    return facts


def _one(dice: random.Random, values: Sequence[Any]) -> Any:
    return values[int(dice.random() * len(values))]
