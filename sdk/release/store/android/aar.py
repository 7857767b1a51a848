"""The assets-only AAR: every variant in one Android library, for apps that choose on the phone.

Entries of an AAR: developer.android.com/studio/projects/android-library (Anatomy of an AAR file).
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from sdk.release.selector import SELECTOR
from sdk.release.store.shipped import shipped_files
from sdk.release.store.variants import Source
from sdk.release.store.zips import write_zip

_MANIFEST = """\
<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="models.{package}">
    <uses-sdk android:minSdkVersion="21"/>
</manifest>
"""


def write_aar(path: Path, pack: str, source: Source) -> None:
    """Write the AAR at `path`: its models are in `assets/<pack>/<variant>/`, a fleet's selector beside them."""
    entries: dict[str, bytes | Path] = {
        "AndroidManifest.xml": _MANIFEST.format(package=pack.lower()).encode(),
        "R.txt": b"",
        "classes.jar": _empty_jar(),
    }
    for variant in source.variants:
        for name, file in shipped_files(variant.bundle).items():
            entries[f"assets/{pack}/{variant.folder}/{name}"] = file
    if source.selector is not None:
        entries[f"assets/{pack}/{SELECTOR}"] = source.selector
    write_zip(path, entries)


def _empty_jar() -> bytes:
    """A jar without classes, which the format wants to be there."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as jar:
        jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "Manifest-Version: 1.0\n\n")
    return memory.getvalue()
