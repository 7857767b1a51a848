"""Bundles → a folder for the App Store, written whole and validated before it is put in place."""

from __future__ import annotations

import shutil
from pathlib import Path

from sdk.bundles import write_bundle
from sdk.errors import BadInput, CheckFailed
from sdk.release.selector import SELECTOR
from sdk.release.store.ios.assets import POLICIES, write_manifests
from sdk.release.store.ios.swift import MODELS, write_swift
from sdk.release.store.record import FOLDER, ReleaseRecord, check_release, variant_records, write_record
from sdk.release.store.shipped import copy_files, shipped_files
from sdk.release.store.variants import Source, identifier

FORMS = ("swift", "assets")
SYSTEMS = frozenset({"ios", "ipados"})


def release_ios(
    source: Source, out: Path, *, delivery: str | None = None, forms: tuple[str, ...] = FORMS, pack: str | None = None
) -> ReleaseRecord:
    """Write the App Store release of `source` to `out`, whole or not at all, and return its record.

    `delivery`: `essential`, `prefetch` or `on-demand` (the default where there are several variants, since a phone would
    download them all); `pack`: name of the Swift package. The same source gives the same bytes. BadInput; CheckFailed
    names a limit or rule of Apple.
    """
    policy = _policy(delivery, len(source.variants))
    name = pack or "".join(word[:1].upper() + word[1:] for word in identifier(source.name).split("_"))
    if name != identifier(name) or not name[0].isupper() or "_" in name:
        raise BadInput(f"--pack: {name!r} is no package name: write letters and digits, a capital first")
    record = ReleaseRecord(
        store="app-store", pack=name, model=source.name, delivery=policy, forms=forms, variants=variant_records(source)
    )

    def fill(folder: Path) -> None:
        for variant in source.variants:
            copy_files(shipped_files(variant.bundle), folder / name / MODELS / variant.folder)
        if source.selector is not None:
            shutil.copyfile(source.selector, folder / name / MODELS / SELECTOR)
        if "swift" in forms:
            write_swift(folder, name, source)
        if "assets" in forms:
            write_manifests(folder, name, policy, source.variants)
        write_record(folder, record)
        for finding in check_release(folder):
            if not finding.ok:
                raise CheckFailed(f"{out}: {finding.what}: {finding.detail}")

    write_bundle(out, fill, FOLDER)
    return record


def _policy(delivery: str | None, variants: int) -> str:
    policy = delivery or ("essential" if variants == 1 else "on-demand")
    if policy not in POLICIES:
        raise BadInput(f"--delivery: {policy!r} is unknown: it is one of {', '.join(POLICIES)}")
    if variants > 1 and policy != "on-demand":
        raise BadInput(
            f"--delivery {policy}: every phone would download all {variants} variants: use on-demand, and let the app's "
            "selector ask for one"
        )
    return policy
