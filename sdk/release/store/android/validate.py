"""Play's published rules, read back from a finished folder by code that shares nothing with what wrote it.

Sources: developer.android.com/google/play/on-device-ai; the validators of github.com/google/bundletool
(DeviceGroupConfigValidator, DeviceGroupParityValidator, DeviceGroupTargetingValidator); the configuration's schema as
github.com/android/tools (DeviceTargetingConfigParserTest) tests it; the AAR's anatomy of developer.android.com.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
import zipfile
from pathlib import Path

from sdk.bundles import contents, safe_entries
from sdk.errors import CheckFailed
from sdk.release.store.limits import check_limit, download_bytes, limits
from sdk.release.store.record import ReleaseRecord, Rule

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_CONFIG = "{http://schemas.android.com/apk/config}"
_PROPERTIES = {
    "included-device-id": ({"brand"}, {"device"}), "excluded-device-id": ({"brand"}, {"device"}),
    "system-on-chip": ({"manufacturer", "model"}, set()),
    "required-system-feature": ({"name"}, set()), "forbidden-system-feature": ({"name"}, set()),
}  # fmt: skip
"""Element of a selector → the attributes that it must and may have."""
_CODE = (".dex", ".jar", ".so", ".class", ".kt", ".java")


def pack_module(folder: Path, record: ReleaseRecord) -> str:
    """AI pack: a Gradle module of its own name with one delivery type."""
    if "ai-pack" not in record.forms:
        return "no AI pack"
    if not _NAME.fullmatch(record.pack):
        raise CheckFailed(f"pack name {record.pack!r} must start with a letter and hold letters, digits and underscores alone")
    text = (folder / record.pack / "build.gradle").read_text("utf-8")
    _once(text, r"id\s+'com\.android\.ai-pack'", "the plugin com.android.ai-pack")
    _once(text, rf'packName\s*=\s*"{re.escape(record.pack)}"', f'packName = "{record.pack}"')
    kinds = re.findall(r'deliveryType\s*=\s*"([^"]*)"', text)
    if len(kinds) != 1 or kinds[0] not in ("install-time", "fast-follow", "on-demand"):
        raise CheckFailed(f"build.gradle states the delivery types {kinds}: exactly one of install-time, fast-follow, on-demand")
    return f"{record.pack}, {kinds[0]}"


def app_lines(folder: Path, record: ReleaseRecord) -> str:
    """Gradle lines: the app's files name the pack, the configuration and the default group."""
    if "ai-pack" not in record.forms:
        return "no AI pack"
    app, settings = ((folder / "app" / name).read_text("utf-8") for name in ("build.gradle", "settings.gradle"))
    _once(app, rf'assetPacks\s*=\s*\[":{re.escape(record.pack)}"\]', f'assetPacks = [":{record.pack}"]')
    _once(settings, rf"include ':{re.escape(record.pack)}'", f"include ':{record.pack}'")
    _once(app, r'defaultGroup\s*=\s*"other"', 'defaultGroup = "other"')
    for name in re.findall(r"deviceTargetingConfig\s*=\s*file\('([^']*)'\)", app) or [""]:
        if not name or not (folder / "app" / name).is_file():
            raise CheckFailed(f"deviceTargetingConfig names {name!r}, which is not there")
    flag = "android.experimental.enableDeviceTargetingConfigApi=true"
    if flag not in (folder / "app" / "gradle.properties").read_text("utf-8").splitlines():
        raise CheckFailed(f"gradle.properties does not set {flag}")
    return "build.gradle, settings.gradle, gradle.properties"


def targeting(folder: Path, record: ReleaseRecord) -> str:
    """device groups: the device targeting configuration follows its schema and limits."""
    if "ai-pack" not in record.forms:
        return "no AI pack"
    names = [_check_group(group) for group in _groups(folder)]
    if not names:
        raise CheckFailed("has no device group: at least one is needed")
    for name in names:
        if names.count(name) > 1:
            raise CheckFailed(f"device group {name!r} is defined twice")
    return f"{len(names)} groups: {', '.join(names)}"


def group_folders(folder: Path, record: ReleaseRecord) -> str:
    """group folders: every folder of the pack is there for the same groups, which are those of the configuration."""
    if "ai-pack" not in record.forms:
        return "no AI pack"
    assets = folder / record.pack / "src" / "main" / "assets"
    found: dict[str, set[str]] = {}
    for path in sorted(assets.rglob("*")):
        if path.is_dir() and "#" in path.name:
            base, _, group = path.name.partition("#group_")
            if not base or not _NAME.fullmatch(group):
                raise CheckFailed(f"{path.name}: a targeted folder is called NAME#group_GROUP")
            found.setdefault(f"{path.parent.relative_to(assets)}/{base}", set()).add(group)
    defined = {group.get("name") for group in _groups(folder)}
    for base, groups in found.items():
        if groups - {"other"} != defined:
            raise CheckFailed(f"{base} is there for {sorted(groups)}, the configuration defines {sorted(map(str, defined))}")
    if not found:
        raise CheckFailed(f"{record.pack} has no #group_ folder: nothing would be delivered")
    return ", ".join(f"{base.removeprefix('./')} for {len(groups)} groups" for base, groups in found.items())


def only_models(folder: Path, record: ReleaseRecord) -> str:
    """models alone: AI packs and the AAR hold no Java, Kotlin or native library."""
    names = [name for name in contents(folder) if name.startswith(f"{record.pack}/src/")]
    if "aar" in record.forms:
        with zipfile.ZipFile(folder / f"{record.pack}.aar") as archive:
            names += [name for name in archive.namelist() if name != "classes.jar"]
    for name in names:
        if name.endswith(_CODE):
            raise CheckFailed(f"{name} is code: ship it in the app")
    return f"{len(names)} files"


def pack_sizes(folder: Path, record: ReleaseRecord) -> str:
    """download sizes: what one phone downloads is within Play's limits."""
    if "ai-pack" not in record.forms:
        return "no AI pack"
    assets, shown = folder / record.pack / "src" / "main" / "assets", []
    everyone = [path for path in assets.rglob("*") if path.is_file() and "#group_" not in str(path.relative_to(assets))]
    groups = sorted({path.name.partition("#group_")[2] for path in assets.rglob("*#group_*") if path.is_dir()})
    for group in groups:
        mine = [p for top in assets.rglob(f"*#group_{group}") for p in top.rglob("*") if p.is_file()]
        size = download_bytes([*everyone, *mine], limits()["play_pack"].most)
        check_limit("play_pack", size, f"group {group}")
        check_limit("play_total", size, f"group {group}")
        shown.append(f"{group} {size:,}")
    return "bytes: " + ", ".join(shown)


def library(folder: Path, record: ReleaseRecord) -> str:
    """AAR: it has the entries of one, assets alone, and fits into a base module."""
    if "aar" not in record.forms:
        return "no AAR"
    path = folder / f"{record.pack}.aar"
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in safe_entries(archive, path.name)}
        if archive.testzip() is not None:
            raise CheckFailed(f"{path.name}: {archive.testzip()} is damaged")
        for name in ("AndroidManifest.xml", "classes.jar", "R.txt"):
            if name not in entries:
                raise CheckFailed(f"{path.name} has no {name}")
        manifest = xml.fromstring(archive.read("AndroidManifest.xml"))
    package = manifest.get("package", "")
    if manifest.tag != "manifest" or not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", package):
        raise CheckFailed(f"AndroidManifest.xml: package {package!r} is no package name")
    strange = [name for name in entries if not name.startswith("assets/")]
    if sorted(strange) != ["AndroidManifest.xml", "R.txt", "classes.jar"]:
        raise CheckFailed(f"{path.name} holds {strange}: only assets are expected beside the manifest")
    for variant in record.variants:
        _in_library(variant.artifact, f"assets/{record.pack}/{variant.folder}/", list(entries))
    check_limit("play_base", download_bytes([path], limits()["play_base"].most), path.name)
    return f"{len(entries)} entries, {path.stat().st_size:,} bytes"


def _in_library(artifact: str, prefix: str, names: list[str]) -> None:
    if not any(name == prefix + artifact or name.startswith(f"{prefix}{artifact}/") for name in names):
        raise CheckFailed(f"{prefix}{artifact} is not in the AAR")


def _groups(folder: Path) -> list[xml.Element]:
    path = folder / "app" / "device_targeting_configuration.xml"
    raw = path.read_bytes()
    if b"<!" in raw:
        raise CheckFailed(f"{path.name}: declares a document type or entity")
    try:
        root = xml.fromstring(raw)
    except xml.ParseError as error:
        raise CheckFailed(f"{path.name}: is not well-formed XML ({error})") from None
    if root.tag != f"{_CONFIG}device-targeting-config" or root.attrib:
        raise CheckFailed(f"{path.name}: its root is {root.tag}, not device-targeting-config of {_CONFIG.strip('{}')}")
    return list(root)


def _check_group(group: xml.Element) -> str:
    name = group.get("name", "")
    if group.tag != f"{_CONFIG}device-group" or set(group.attrib) != {"name"} or not _NAME.fullmatch(name):
        raise CheckFailed(f"{_short(group)} {name!r}: a device-group has a name of letters, digits and underscores")
    if name == "other":
        raise CheckFailed("device group 'other' is Play's own: it must not be defined")
    if not len(group):
        raise CheckFailed(f"device group {name!r} has no selector")
    check_limit("play_selectors", len(group), f"device group {name!r}")
    for selector in group:
        _check_selector(name, selector)
    for kind in ("included-device-id", "excluded-device-id"):
        check_limit("play_device_ids", len(group.findall(f"*/{_CONFIG}{kind}")), f"device group {name!r}: {kind}")
    return name


def _check_selector(group: str, selector: xml.Element) -> None:
    if selector.tag != f"{_CONFIG}device-selector" or set(selector.attrib) - {"ram-min-bytes", "ram-max-bytes"}:
        raise CheckFailed(f"device group {group!r}: {_short(selector)} with {sorted(selector.attrib)} is no selector")
    least, most = selector.get("ram-min-bytes", "0"), selector.get("ram-max-bytes")
    if not least.isdecimal() or (most is not None and (not most.isdecimal() or int(most) <= int(least))):
        raise CheckFailed(f"device group {group!r}: RAM from {least} to {most} is no range of bytes")
    if not len(selector) and not selector.attrib:
        raise CheckFailed(f"device group {group!r}: a selector without properties takes every phone")
    for element in selector:
        must, may = _PROPERTIES.get(element.tag.removeprefix(_CONFIG), (None, set()))
        given = {key for key, value in element.attrib.items() if value.strip()}
        if must is None or not must <= given <= must | may or len(given) != len(element.attrib):
            raise CheckFailed(f"device group {group!r}: {_short(element)} with {sorted(element.attrib)} is no property")


def _short(element: xml.Element) -> str:
    return element.tag.rpartition("}")[2]


def _once(text: str, pattern: str, what: str) -> None:
    count = len(re.findall(pattern, text))
    if count != 1:
        raise CheckFailed(f"{what} is there {count} times, not once")


ANDROID: tuple[Rule, ...] = (pack_module, app_lines, targeting, group_folders, only_models, pack_sizes, library)
