"""What became of a request before, found again by the exported model and the raw samples, before anything is computed of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdk.bundles import Bundle, open_bundle, write_bundle
from sdk.cache import Cache, code_digest, key_of
from sdk.errors import SdkError
from sdk.lowering import variant_of
from sdk.lowering.discovery import find_target
from sdk.pipeline.finished import recall_by
from sdk.pipeline.kept import module_of, toolchain_versions
from sdk.pipeline.losses import own
from sdk.pipeline.planning import start
from sdk.pipeline.request import Request
from sdk.pipeline.sources import Sources
from sdk.progress import SilentReporter

_DATA = "survey.json"


@dataclass(frozen=True, slots=True)
class Survey:
    """What planning found: digests of the bundle and of its artifact, or why there is none and what would be possible."""

    bundle: str = ""
    lowering: str = ""
    error: str = ""
    counter_offer: dict[str, Any] | None = None


def survey_key(request: Request, sources: Sources) -> str | None:
    """Return what the survey of a request is filed under; None for requests whose sources do not decide all of it."""
    free = request.metric is None and request.plan is None and request.recovered is None and not own(request.loss)
    digest = sources.digest if free and sources.exported.loaded.language is None else None
    if digest is None:
        return None
    try:
        device, target, min_os = start(request, SilentReporter())
    except SdkError:
        return None
    asked = [request.max_size, request.max_loss, request.max_memory, request.max_latency, request.uniform, request.loss]
    asked += [request.objective, request.accelerator, *variant_of(target)]
    return key_of(
        "survey", digest, device.model_dump(mode="json"), target.name, min_os, asked, request.name, request.command,
        request.project_sha256, toolchain_versions(target), code_digest("sdk", module_of(target)),
    )


def recall_survey(key: str) -> Survey | None:
    """Return the survey that is filed under `key`."""
    return Cache().read("surveys", key, _load)


def remember_survey(key: str, survey: Survey) -> None:
    """File a survey."""
    Cache().fetch("surveys", key, load=_load, make=lambda: survey, save=_save)


def _load(entry: Path) -> Survey:
    return Survey(**json.loads((entry / _DATA).read_text("utf-8")))


def _save(survey: Survey, entry: Path) -> None:
    (entry / _DATA).write_text(json.dumps(asdict(survey)), encoding="utf-8")


class _Unknown(Exception):
    """The bundle is not in the cache."""


def place_finished(key: str, target: str, out: Path) -> Bundle | None:
    """Put the bundle of `BundleKey.bundle` at `out`; where the cache does not hold it, leave that as it is and return None."""
    artifact = find_target(target).artifact

    def fill(folder: Path) -> None:
        if recall_by(key, artifact, folder) is None:
            raise _Unknown

    try:
        write_bundle(out, fill)
    except _Unknown:
        return None
    return open_bundle(out)
