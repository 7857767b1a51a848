"""Apple's published rules, read back from a finished folder by code that shares nothing with what wrote it.

Sources: docs.swift.org PackageDescription; developer.apple.com/documentation/backgroundassets/creating-managed-asset-packs;
the limits of App Store Connect Help. App Store Connect refuses ids with full stops, which no page says.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from sdk.bundles import contents, sha256_file
from sdk.errors import CheckFailed
from sdk.release.store.limits import check_limit
from sdk.release.store.record import ReleaseRecord, Rule

_TOOLS = re.compile(r"// swift-tools-version:\s?\d+\.\d+")
_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_PLATFORMS = {"iOS", "macOS", "tvOS", "visionOS"}
_EVENTS = {"firstInstallation", "subsequentUpdate"}


def swift_package(folder: Path, record: ReleaseRecord) -> str:
    """Swift package: it names its tools version, its target and resources that are there."""
    if "swift" not in record.forms:
        return "no Swift package"
    text = (folder / "Package.swift").read_text("utf-8")
    if not _TOOLS.fullmatch(text.partition("\n")[0]):
        raise CheckFailed("Package.swift: its first line must be // swift-tools-version:X.Y")
    names = re.findall(r'(?:name|path): "([^"]+)"', text)
    if set(names) != {record.pack} or not (folder / record.pack / f"{record.pack}.swift").is_file():
        raise CheckFailed(f"Package.swift: names {sorted(set(names))}, the target {record.pack} is expected, with its source")
    resources = re.findall(r'\.copy\("([^"]+)"\)', text)
    for name in resources:
        _inside(folder / record.pack, name)
    if len(resources) != len(set(resources)) or "models" not in resources:
        raise CheckFailed(f"Package.swift: copies {resources}: models once is expected")
    if text.count("(") != text.count(")") or text.count("[") != text.count("]"):
        raise CheckFailed("Package.swift: its brackets do not match")
    return f"{record.pack}: {', '.join(resources)}"


def accessor(folder: Path, record: ReleaseRecord) -> str:
    """accessor: there is a case for every variant, which leads to its artifact."""
    if "swift" not in record.forms:
        return "no Swift package"
    text = (folder / record.pack / f"{record.pack}.swift").read_text("utf-8")
    cases = dict(re.findall(r'^    case (`\w+`) = "([^"]+)"$', text, re.MULTILINE))
    if sorted(cases.values()) != sorted(variant.folder for variant in record.variants):
        raise CheckFailed(f"{record.pack}.swift has cases for {sorted(cases.values())}")
    wanted = {variant.folder: variant.artifact for variant in record.variants}
    for case, identifier in cases.items():
        if f"case .{case}: return folder.appendingPathComponent({json.dumps(wanted[identifier])})" not in text:
            raise CheckFailed(f"{record.pack}.swift: {case} does not lead to {wanted[identifier]}")
    return f"{len(cases)} cases"


def checksums(folder: Path, record: ReleaseRecord) -> str:
    """checksums: they are those of the models' files, all of them."""
    if "swift" not in record.forms:
        return "no Swift package"
    stated = json.loads((folder / record.pack / "checksums.json").read_text("utf-8"))
    found = {f"models/{name}": sha256_file(path) for name, path in contents(folder / record.pack / "models").items()}
    for name in sorted({*stated, *found}):
        if stated.get(name) != found.get(name):
            raise CheckFailed(f"checksums.json does not agree with {name}")
    return f"{len(found)} files"


def models(folder: Path, record: ReleaseRecord) -> str:
    """models: every variant's artifact is where the record says."""
    for variant in record.variants:
        _inside(folder / record.pack / "models" / variant.folder, variant.artifact)
    return f"{len(record.variants)} variants"


def asset_packs(folder: Path, record: ReleaseRecord) -> str:
    """asset packs: every manifest has the four keys, one policy, and selectors of files that are there."""
    if "assets" not in record.forms:
        return "no asset packs"
    names = []
    for path, data in _manifests(folder):
        if set(data) != {"assetPackID", "downloadPolicy", "fileSelectors", "platforms"}:
            raise CheckFailed(f"{path.name}: has the keys {sorted(data)}")
        names.append(data["assetPackID"])
        if not isinstance(names[-1], str) or not _ID.fullmatch(names[-1]):
            raise CheckFailed(f"{path.name}: assetPackID {names[-1]!r} must hold letters, digits and hyphens alone")
        _check_policy(path, data["downloadPolicy"])
        if not data["platforms"] or not set(data["platforms"]) <= _PLATFORMS:
            raise CheckFailed(f"{path.name}: platforms {data['platforms']} are not among {sorted(_PLATFORMS)}")
        if not data["fileSelectors"]:
            raise CheckFailed(f"{path.name}: selects no file")
        for selector in data["fileSelectors"]:
            _check_selector(path, folder, selector)
    if len(set(names)) != len(names) or len(names) != len(record.variants):
        raise CheckFailed(f"asset packs {names}: one for each of the {len(record.variants)} variants is expected")
    return ", ".join(names)


def sizes(folder: Path, record: ReleaseRecord) -> str:
    """sizes: the package and the asset packs are within Apple's limits."""
    size = sum(path.stat().st_size for path in contents(folder / record.pack).values())
    if "swift" in record.forms:
        check_limit("app_store_app", size, f"{record.pack} alone")
    if "assets" in record.forms:
        check_limit("app_store_packs", len(_manifests(folder)), "the release")
        check_limit("app_store_assets", size, f"{record.pack} uncompressed")
    return f"{size:,} bytes"


def _manifests(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for path in sorted((folder / "background-assets").glob("*.json")):
        data = json.loads(path.read_text("utf-8"))
        if not isinstance(data, dict):
            raise CheckFailed(f"{path.name}: is not a mapping")
        found.append((path, data))
    return found


def _check_policy(path: Path, policy: Any) -> None:
    kinds = list(policy) if isinstance(policy, dict) else []
    if len(kinds) != 1 or kinds[0] not in ("essential", "prefetch", "onDemand"):
        raise CheckFailed(f"{path.name}: downloadPolicy {kinds}: exactly one of essential, prefetch, onDemand")
    value = policy[kinds[0]]
    if kinds[0] == "onDemand":
        if value != {}:
            raise CheckFailed(f"{path.name}: onDemand must be an empty object")
        return
    events = value.get("installationEventTypes") if isinstance(value, dict) and len(value) == 1 else None
    if not events or not set(events) <= _EVENTS or len(set(events)) != len(events):
        raise CheckFailed(f"{path.name}: {kinds[0]} needs installationEventTypes of {sorted(_EVENTS)}")


def _check_selector(path: Path, folder: Path, selector: Any) -> None:
    kinds = list(selector) if isinstance(selector, dict) else []
    if kinds not in (["file"], ["directory"]):
        raise CheckFailed(f"{path.name}: a file selector has either `file` or `directory`, not {kinds}")
    place = _inside(folder, selector[kinds[0]])
    if place.is_dir() != (kinds[0] == "directory"):
        raise CheckFailed(f"{path.name}: {selector[kinds[0]]} is not a {kinds[0]}")
    if place.is_dir() and not any(each.is_file() for each in place.rglob("*")):
        raise CheckFailed(f"{path.name}: {selector[kinds[0]]} is empty")


def _inside(folder: Path, name: Any) -> Path:
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or name.startswith("/") or ".." in parts:
        raise CheckFailed(f"path {name!r} is not relative to the folder")
    if not folder.joinpath(*parts).exists():
        raise CheckFailed(f"{name} is not there")
    return folder.joinpath(*parts)


IOS: tuple[Rule, ...] = (swift_package, accessor, checksums, models, asset_packs, sizes)
