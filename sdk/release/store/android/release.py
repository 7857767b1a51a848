"""Bundles → a folder for Google Play, written whole and validated before it is put in place."""

from __future__ import annotations

from pathlib import Path

from sdk.bundles import write_bundle
from sdk.errors import BadInput, CheckFailed
from sdk.release.store.android.aar import write_aar
from sdk.release.store.android.packs import DELIVERIES, write_pack
from sdk.release.store.android.targeting import CONFIGURATION, OTHER, device_groups, targeting_xml
from sdk.release.store.record import FOLDER, ReleaseRecord, check_release, variant_records, write_record
from sdk.release.store.variants import Source, Variant, identifier

FORMS = ("ai-pack", "aar")
SYSTEMS = frozenset({"android"})
TARGETS = frozenset({"coreml"})
"""Targets that no Android phone runs."""


def release_android(
    source: Source, out: Path, *, delivery: str = "install-time", fallback: str | None = None,
    forms: tuple[str, ...] = FORMS, pack: str | None = None,
) -> ReleaseRecord:  # fmt: skip
    """Write the Play release of `source` to `out`, whole or not at all, and return its record.

    `delivery`: one of Play's three; `fallback`: id of the variant for phones that match no group (None: they get an empty
    pack); `pack`: its name. The same source gives the same bytes. BadInput; CheckFailed names a limit or rule of Play.
    """
    if delivery not in DELIVERIES:
        raise BadInput(f"--delivery: {delivery!r} is unknown: it is one of {', '.join(DELIVERIES)}")
    name = pack or identifier(source.name)
    if name != identifier(name) or name == OTHER:
        raise BadInput(f"--pack: {name!r} is no pack name: write letters, digits and underscores, a letter first")
    other = _fallback(source, fallback)
    groups = device_groups(source.variants) if "ai-pack" in forms else ()
    record = ReleaseRecord(
        store="google-play", pack=name, model=source.name, delivery=delivery, fallback=fallback, forms=forms,
        variants=variant_records(source),
    )  # fmt: skip

    def fill(folder: Path) -> None:
        if "ai-pack" in forms:
            write_pack(folder, name, delivery, source.variants, other)
            (folder / "app" / CONFIGURATION).write_text(targeting_xml(groups), encoding="utf-8")
        if "aar" in forms:
            write_aar(folder / f"{name}.aar", name, source)
        write_record(folder, record)
        for finding in check_release(folder):
            if not finding.ok:
                raise CheckFailed(f"{out}: {finding.what}: {finding.detail}")

    write_bundle(out, fill, FOLDER)
    return record


def _fallback(source: Source, name: str | None) -> Variant | None:
    if name is None:
        return None
    found = next((variant for variant in source.variants if variant.id == name), None)
    if found is None:
        raise BadInput(f"--fallback: no variant is called {name!r}: it is one of {', '.join(v.id for v in source.variants)}")
    return found
