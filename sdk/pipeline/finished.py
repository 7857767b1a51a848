"""Bundles that were finished before: what one is filed under, and how it is put in place again without doing anything twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from sdk.bundles import MANIFEST, PLAN, REFERENCE, Manifest, integrity, parse
from sdk.cache import Cache, code_digest, key_of
from sdk.pipeline.lowered import Lowered, copy, lowering_key, parity_key, remove
from sdk.pipeline.planning import Planned, families_of
from sdk.pipeline.request import Request
from sdk.progress import Reporter

_PARTS = "parts.json"


@dataclass(frozen=True, slots=True)
class BundleKey:
    """Digests of all that decides a bundle, and of all that decides its artifact; `known` when that is in the cache."""

    bundle: str
    lowering: str
    known: bool


def bundle_key(request: Request, planned: Planned) -> BundleKey:
    """Return what the bundle of a planned request is filed under, without making it."""
    lowering = lowering_key(Lowered(planned.plan, planned, Reporter(), Path()))
    device, target = planned.device, planned.target
    said = [
        planned.plan.model_dump(mode="json"), planned.notes, device.name, sorted(families_of(device, target)),
        request.command, request.project_sha256, request.max_size, request.max_loss, request.uniform, request.plan is not None,
        request.metric is not None, planned.workbench.samples.origin,
    ]  # fmt: skip
    code = code_digest("sdk.bundles", "sdk.pipeline", "sdk.planning", "sdk.recovery", "sdk.verify", "sdk.devices")
    return BundleKey(
        key_of("bundle", lowering, *said, code), lowering, planned.workbench.kept.cache.holds("lowered", lowering)
    )


def recall(folder: Path, request: Request, planned: Planned, report: Reporter) -> bool:
    """Fill the empty `folder` with the bundle that was made of the same request before; False where one has to be made.

    Its parts come from the cache and every byte is held against its manifest.
    """
    if not _is_kept(request, planned):
        return False
    with report.stage("look for the finished bundle"):
        manifest = recall_by(bundle_key(request, planned).bundle, planned.target.artifact, folder)
    for note in manifest.notes if manifest is not None else ():
        report.note(note)
    return manifest is not None


def recall_by(key: str, artifact: str, folder: Path) -> Manifest | None:
    """Fill the empty `folder` with the bundle of that key and return its manifest; None where a part of it is not known."""
    cache = Cache()
    parts = cache.read("bundles", key, lambda entry: _texts(entry, folder))
    if parts is not None:
        found = cache.read("lowered", parts["lowered"], lambda entry: copy(entry / artifact, folder / artifact))
        run = cache.read("verified", parts["verified"], lambda entry: copy(entry / REFERENCE, folder / REFERENCE))
        if found is not None and run is not None:
            manifest = parse((folder / MANIFEST).read_bytes(), MANIFEST)
            if all(each.ok for each in integrity(folder, manifest)):
                return manifest
    for path in folder.iterdir():
        remove(path)
    return None


def remember(folder: Path, request: Request, lowered: Lowered) -> None:
    """Keep the finished bundle in `folder`: its texts, and where the cache has its artifact and its recorded run."""
    planned = lowered.planned
    if _is_kept(request, planned):
        planned.workbench.kept.cache.fetch(
            "bundles", bundle_key(request, planned).bundle, load=lambda entry: entry, make=lambda: folder,
            save=lambda source, entry: _keep(source, entry, lowered),
        )


def _is_kept(request: Request, planned: Planned) -> bool:
    """No bundle with a metric of the user's own, which is measured every time, nor with a tokenizer, which is in no key."""
    return request.metric is None and planned.model.language is None


def _keep(source: Path, entry: Path, lowered: Lowered) -> None:
    for name in (MANIFEST, PLAN):
        shutil.copyfile(source / name, entry / name)
    parts = {"lowered": lowering_key(lowered), "verified": parity_key(lowered)}
    (entry / _PARTS).write_text(json.dumps(parts, sort_keys=True), encoding="utf-8")


def _texts(entry: Path, folder: Path) -> dict[str, str]:
    for name in (MANIFEST, PLAN):
        shutil.copyfile(entry / name, folder / name)
    parts: dict[str, str] = json.loads((entry / _PARTS).read_text("utf-8"))
    return parts
