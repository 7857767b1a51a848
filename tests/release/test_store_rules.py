"""The validators find what is broken: releases are damaged, and their record written anew so that only a rule can see it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.bundles import Finding
from sdk.release.store import check_release, read_record
from sdk.release.store.record import RECORD, write_record

pytestmark = pytest.mark.usefixtures("quiet")

CONFIG = "app/device_targeting_configuration.xml"


def found(folder: Path, damage: Callable[[Path], object]) -> list[Finding]:
    """Damage the release and return the rules that do not hold."""
    record = read_record(folder)
    damage(folder)
    (folder / RECORD).unlink()
    write_record(folder, record)
    return [finding for finding in check_release(folder) if not finding.ok]


def edit(name: str, old: str, new: str, count: int = -1) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, count))

    return change


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def touch(name: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")

    return make


def merge(name: str, **changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = next(folder.glob(name))
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def aar(*, drop: str = "", add: str = "", garble: bytes = b"") -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "net.aar"
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        entries.pop(drop, None)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**entries, **({add: b"x"} if add else {})}.items():
                archive.writestr(name, content)
        if garble:
            raw = path.read_bytes()
            assert garble in raw
            path.write_bytes(raw.replace(garble, garble[::-1], 1))

    return change


GROUP = '<config:device-group name="pixel8_null">'
SELECTOR = "<config:device-selector>"
SHIBA = '<config:included-device-id brand="google" device="shiba"/>'
FIRST = "<config:device-targeting-config"
LAST = "</config:device-targeting-config>"
ASSETS = "net/src/main/assets"
NINE = "net#group_pixel9_null"
GRADLE = "net/build.gradle"

ANDROID: dict[str, tuple[Callable[[Path], object], str]] = {
    "not XML": (edit(CONFIG, LAST, ""), "not well-formed"),
    "an entity": (edit(CONFIG, FIRST, '<!DOCTYPE x [<!ENTITY a "b">]>' + FIRST), "document type"),
    "another namespace": (edit(CONFIG, "schemas.android.com", "example.com"), "its root is"),
    "the group `other`": (edit(CONFIG, GROUP, GROUP.replace("pixel8_null", "other")), "Play's own"),
    "a group twice": (edit(CONFIG, "pixel9_null", "pixel8_null"), "defined twice"),
    "a bad group name": (edit(CONFIG, "pixel8_null", "8-pixel"), "letters, digits and underscores"),
    "a group without selectors": (edit(CONFIG, LAST, f'<config:device-group name="none"/>{LAST}'), "has no selector"),
    "six selectors": (edit(CONFIG, GROUP, GROUP + f"{SELECTOR}{SHIBA}</config:device-selector>" * 5), "over the limit of 5"),
    "a selector of nothing": (edit(CONFIG, GROUP, GROUP + "<config:device-selector/>"), "takes every phone"),
    "RAM backwards": (edit(CONFIG, 'ram-min-bytes="', 'ram-max-bytes="5" ram-min-bytes="'), "no range of bytes"),
    "RAM in words": (edit(CONFIG, 'ram-min-bytes="', 'ram-min-bytes="8GB'), "no range of bytes"),
    "a property of no kind": (edit(CONFIG, SHIBA, '<config:screen size="6"/>'), "is no property"),
    "an id without a brand": (edit(CONFIG, SHIBA, '<config:included-device-id device="shiba"/>'), "is no property"),
    "an empty model": (edit(CONFIG, 'model="Tensor G3"', 'model=""'), "is no property"),
    "no configuration": (remove(CONFIG), "which is not there"),
    "two delivery types": (edit(GRADLE, "deliveryType", 'deliveryType = "on-demand"\ndeliveryType'), "delivery types"),
    "an unknown delivery": (edit(GRADLE, "install-time", "later"), "delivery types"),
    "another pack name": (edit(GRADLE, '"net"', '"nets"'), 'packName = "net"'),
    "an asset pack's plugin": (edit(GRADLE, "ai-pack", "asset-pack"), "com.android.ai-pack"),
    "a pack that the app does not name": (edit("app/build.gradle", ":net", ":nut"), "assetPacks"),
    "targeting that is not switched on": (edit("app/gradle.properties", "=true", "=false"), "does not set"),
    "a group without a folder": (lambda f: (f / ASSETS / NINE).rename(f / ASSETS / "more"), "the configuration defines"),
    "a folder without a group": (touch("net/src/main/assets/net#group_pixel7/model.null"), "the configuration defines"),
    "a folder of the wrong form": (touch("net/src/main/assets/net#pixel9/model.null"), "NAME#group_GROUP"),
    "a native library": (touch("net/src/main/assets/net#group_pixel8_null/libevil.so"), "is code"),
    "code in the AAR": (aar(add="assets/net/evil.dex"), "is code"),
    "an AAR without a manifest": (aar(drop="AndroidManifest.xml"), "has no AndroidManifest.xml"),
    "an AAR with resources": (aar(add="res/values/strings.xml"), "only assets"),
    "an AAR without an artifact": (aar(drop="assets/net/pixel9_null/model.null"), "is not in the AAR"),
    "an AAR that leaves its folder": (aar(add="assets/../../evil"), "leaves the folder"),
    "a damaged AAR": (aar(garble=b'"schema_version": 2'), "damaged"),
}  # fmt: skip

PACK = "background-assets/*.json"
COPY = '.copy("models")'
EVENTS = {"installationEventTypes": ["firstInstallation"]}
LATER = {"installationEventTypes": ["later"]}
IOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tools version": (edit("Package.swift", "// swift-tools-version:5.9\n", ""), "first line"),
    "a resource that is not there": (edit("Package.swift", COPY, f'{COPY}, .copy("more")'), "more is not there"),
    "a resource outside": (edit("Package.swift", COPY, f'{COPY}, .copy("../release.json")'), "not relative"),
    "another target": (edit("Package.swift", 'path: "Net"', 'path: "Nut"'), "the target Net is expected"),
    "an open bracket": (edit("Package.swift", "products: [", "products: "), "brackets"),
    "a wrong checksum": (edit("Net/checksums.json", ": \"", ": \"0", 1), "does not agree"),
    "a file without a checksum": (touch("Net/models/more.bin"), "does not agree"),
    "a case that leads elsewhere": (edit("Net/Net.swift", "(\"model.null\")", "(\"other.null\")", 1), "does not lead to"),
    "a case too few": (edit("Net/Net.swift", '    case `iphone13Null` = "iphone13_null"\n', ""), "has cases for"),
    "an artifact that is missing": (remove("Net/models/iphone13_null/model.null"), "is not there"),
    "an id with a full stop": (merge(PACK, assetPackID="com.example.net"), "letters, digits and hyphens"),
    "two policies": (merge(PACK, downloadPolicy={"essential": {}, "onDemand": {}}), "exactly one of"),
    "no policy": (merge(PACK, downloadPolicy={}), "exactly one of"),
    "on demand with events": (merge(PACK, downloadPolicy={"onDemand": EVENTS}), "empty object"),
    "essential without events": (merge(PACK, downloadPolicy={"essential": {}}), "needs installationEventTypes"),
    "an unknown event": (merge(PACK, downloadPolicy={"prefetch": LATER}), "needs installationEventTypes"),
    "an unknown platform": (merge(PACK, platforms=["android"]), "are not among"),
    "no platform": (merge(PACK, platforms=[]), "are not among"),
    "no files": (merge(PACK, fileSelectors=[]), "selects no file"),
    "a selector outside": (merge(PACK, fileSelectors=[{"directory": "../x"}]), "not relative"),
    "an absolute selector": (merge(PACK, fileSelectors=[{"file": "/etc/passwd"}]), "not relative"),
    "a selector of nothing": (merge(PACK, fileSelectors=[{"directory": "Net/none"}]), "is not there"),
    "a file called a directory": (merge(PACK, fileSelectors=[{"directory": "Net/Net.swift"}]), "is not a directory"),
    "both at once": (merge(PACK, fileSelectors=[{"directory": "Net", "file": "Net"}]), "either"),
    "an unknown key": (merge(PACK, size=3), "has the keys"),
    "a pack too few": (lambda f: next(f.glob(PACK)).unlink(), "one for each"),
    "the same id twice": (merge("background-assets/Net-iphone13-null.json", assetPackID="Net-iphone15pro-null"), "one for each"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANDROID)
def test_a_broken_play_release_is_found(what: str, releases: dict[str, Path], tmp_path: Path) -> None:
    damage, words = ANDROID[what]
    shutil.copytree(releases["android"], tmp_path / "play")
    bad = found(tmp_path / "play", damage)
    assert any(words in finding.detail for finding in bad), bad


@pytest.mark.parametrize("what", IOS)
def test_a_broken_app_store_release_is_found(what: str, releases: dict[str, Path], tmp_path: Path) -> None:
    damage, words = IOS[what]
    shutil.copytree(releases["ios"], tmp_path / "apple")
    bad = found(tmp_path / "apple", damage)
    assert any(words in finding.detail for finding in bad), bad
