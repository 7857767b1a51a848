"""Manifests for Apple-hosted asset packs, one per variant, which `xcrun ba-package` turns into archives on a Mac.

Format: developer.apple.com/documentation/backgroundassets/creating-managed-asset-packs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdk.release.store.ios.swift import MODELS
from sdk.release.store.variants import Variant

POLICIES = {"essential": "essential", "prefetch": "prefetch", "on-demand": "onDemand"}
"""What a person writes → the key of the download policy."""
EVENTS = ("firstInstallation", "subsequentUpdate")
FOLDER = "background-assets"


def write_manifests(folder: Path, name: str, delivery: str, variants: tuple[Variant, ...]) -> None:
    """Write `background-assets/<pack>.json` for every variant; its paths are relative to `folder`."""
    (folder / FOLDER).mkdir()
    for variant in variants:
        data = manifest(name, delivery, variant)
        text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / FOLDER / f"{data['assetPackID']}.json").write_text(text + "\n", encoding="utf-8")


def manifest(name: str, delivery: str, variant: Variant) -> dict[str, Any]:
    """Return the manifest of one asset pack; ids have hyphens, for App Store Connect takes no other sign."""
    policy = {} if delivery == "on-demand" else {"installationEventTypes": list(EVENTS)}
    return {
        "assetPackID": f"{name}-{variant.id}".replace("_", "-"),
        "downloadPolicy": {POLICIES[delivery]: policy},
        "fileSelectors": [{"directory": f"{name}/{MODELS}/{variant.folder}"}],
        "platforms": ["iOS"],
    }
