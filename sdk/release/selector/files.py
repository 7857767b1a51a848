"""Writes the selector beside a fleet's bundles: the rules, the reference selectors for an app, and their test vectors."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from sdk.bundles import contents, sha256_file
from sdk.release.selector.document import SELECTOR, SelectorDocument
from sdk.release.selector.vectors import vectors

SOURCES = ("Selector.kt", "Selector.swift")
FOLDER = "selector"
CASES = 200
"""Test vectors that come with a fleet."""


def write_selector(folder: Path, document: SelectorDocument) -> None:
    """Write `selector.json`, and `selector/` with the Kotlin and Swift sources and `vectors.json`, into `folder`."""
    (folder / SELECTOR).write_text(document.text(), encoding="utf-8")
    sources = folder / FOLDER
    sources.mkdir()
    for name in SOURCES:
        (sources / name).write_bytes((files("sdk.release.selector") / "reference" / name).read_bytes())
    found = vectors(json.loads(document.text()), CASES)
    (sources / "vectors.json").write_text(_compact(found["cases"]), encoding="utf-8")


def selector_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of the selector in `folder` by its path there; CheckFailed for links and devices."""
    sources = contents(folder / FOLDER) if (folder / FOLDER).is_dir() else {}
    found = {f"{FOLDER}/{name}": sha256_file(path) for name, path in sources.items()}
    return {SELECTOR: sha256_file(folder / SELECTOR), **found}


def _compact(cases: list[object]) -> str:
    lines = ",\n".join(json.dumps(case, sort_keys=True, ensure_ascii=False) for case in cases)
    return f'{{"cases": [\n{lines}\n]}}\n'
