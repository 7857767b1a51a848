"""The AI pack as Gradle wants it: its module, and the lines that the app's own Gradle files need.

Format: developer.android.com/google/play/on-device-ai (Get started with AI packs).
"""

from __future__ import annotations

from pathlib import Path

from sdk.release.store.android.targeting import CONFIGURATION, OTHER
from sdk.release.store.shipped import copy_files, shipped_files
from sdk.release.store.variants import Variant

DELIVERIES = ("install-time", "fast-follow", "on-demand")
ASSETS = "src/main/assets"
SNIPPETS = "app"
"""Folder of what goes into the app's own module and project."""

_PACK = """\
plugins {{
    id 'com.android.ai-pack'
}}

aiPack {{
    packName = "{pack}"
    dynamicDelivery {{
        deliveryType = "{delivery}"
    }}
}}
"""
_APP = """\
// Into the app module's build.gradle.
android {{
    assetPacks = [":{pack}"]
    androidResources {{
        noCompress "tflite", "pte" // so that a runtime can map the file
    }}
    bundle {{
        deviceTargetingConfig = file('{configuration}')
        deviceGroup {{
            enableSplit = true
            defaultGroup = "{other}"
        }}
    }}
}}
"""
_SETTINGS = """\
// Into the project's settings.gradle.
include ':{pack}'
"""
_PROPERTIES = """\
# Into the project's gradle.properties (Android Gradle Plugin 8.10 or newer).
android.experimental.enableDeviceTargetingConfigApi=true
"""


def write_pack(folder: Path, pack: str, delivery: str, variants: tuple[Variant, ...], fallback: Variant | None) -> None:
    """Write the module `pack` and the app's lines into `folder`; `fallback` goes to phones of no group."""
    (folder / pack).mkdir()
    _write(folder / pack / "build.gradle", _PACK.format(pack=pack, delivery=delivery))
    for group, variant in (*((v.id, v) for v in variants), *([(OTHER, fallback)] if fallback else [])):
        copy_files(shipped_files(variant.bundle), folder / pack / ASSETS / f"{pack}#group_{group}")
    (folder / SNIPPETS).mkdir()
    _write(folder / SNIPPETS / "build.gradle", _APP.format(pack=pack, configuration=CONFIGURATION, other=OTHER))
    _write(folder / SNIPPETS / "settings.gradle", _SETTINGS.format(pack=pack))
    _write(folder / SNIPPETS / "gradle.properties", _PROPERTIES)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
