"""Store output: the same bytes every time, valid by the stores' rules, and refused where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdk.bundles import dump, open_bundle
from sdk.cli.main import run
from sdk.errors import CheckFailed
from sdk.release.evidence import read_private_key, sign_bundle
from sdk.release.store import check_release, read_record
from sdk.release.store import limits as limits_module
from sdk.release.store.limits import check_limit, limits

pytestmark = pytest.mark.usefixtures("quiet")

RELEASES = {"android": ["pixel8", "pixel9"], "ios": ["iphone13", "iphone15pro"]}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

@pytest.mark.parametrize("store", RELEASES)
def test_two_runs_on_two_paths_give_the_same_bytes(
    store: str, releases: dict[str, Path], for_devices: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "another" / "much deeper place"
    for name in reversed(RELEASES[store]):
        shutil.copytree(for_devices[name], elsewhere / name)
    first = tree(releases[store])
    for out, bundles in (("once", RELEASES[store]), ("twice", list(reversed(RELEASES[store])))):
        monkeypatch.chdir(elsewhere)
        assert run(["release", store, *bundles, "--out", out]) == 0
        assert tree(elsewhere / out) == first
    assert run(["release", store, *RELEASES[store], "--out", "once"]) == 0, "a release is replaced by a release"
    assert str(tmp_path).encode() not in b"".join(first.values())


@pytest.mark.parametrize("store", RELEASES)
def test_the_validator_passes(store: str, releases: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["release", "check", str(releases[store])]) == 0
    findings = check_release(releases[store])
    assert len(findings) >= 7 and all(finding.ok for finding in findings)


@pytest.mark.parametrize("store", RELEASES)
def test_a_changed_file_is_found(
    store: str, releases: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "release"
    shutil.copytree(releases[store], folder)
    path = next(path for path in sorted(folder.rglob("model.null")))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert run(["release", "check", str(folder)]) == 1
    assert "was changed after the release was written" in capsys.readouterr().err


LIMITS = {
    "play_pack": ("android", [], "one AI pack, as one phone downloads it"),
    "play_total": ("android", [], "all AI packs of an app"),
    "play_base": ("android", ["--form", "aar"], "the app's base module"),
    "app_store_app": ("ios", ["--form", "swift"], "the uncompressed iOS app"),
    "app_store_assets": ("ios", ["--form", "assets"], "all Apple-hosted asset packs"),
    "app_store_packs": ("ios", ["--form", "assets"], "Apple-hosted asset packs of an app"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_over_a_limit_is_refused_and_the_limit_named(
    name: str, for_devices: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, flags, words = LIMITS[name]
    unit = {"bytes": 1000} if limits()[name].bytes else {"count": 1}
    smaller = {**limits(), name: limits()[name].model_copy(update=unit)}
    monkeypatch.setattr(limits_module, "limits", lambda: smaller)
    out = tmp_path / "out"
    bundles = [str(for_devices[device]) for device in RELEASES[store]]
    assert run(["release", store, *bundles, "--out", str(out), *flags]) == 1
    said = capsys.readouterr().err
    assert words in said and limits_module.limits()[name].source in said
    assert list(tmp_path.iterdir()) == []


def test_the_limits_are_those_that_the_stores_publish() -> None:
    assert {name: limit.most for name, limit in limits().items()} == {
        "play_pack": 1_500_000_000, "play_total": 4_000_000_000, "play_base": 500_000_000, "play_selectors": 5,
        "play_device_ids": 10_000, "app_store_app": 4_000_000_000, "app_store_assets": 200_000_000_000, "app_store_packs": 100,
    }  # fmt: skip
    check_limit("play_pack", 1_500_000_000, "a pack")
    with pytest.raises(CheckFailed, match=r"1.50 GB is over the limit of 1.50 GB"):
        check_limit("play_pack", 1_500_000_001, "a pack")


def test_a_fallback_goes_to_all_other_phones(for_devices: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "play"
    assert run(["release", "android", str(for_devices["pixel8"]), "--out", str(out), "--fallback", "pixel8_null"]) == 0
    assets = out / "net" / "src" / "main" / "assets"
    assert {path.name for path in assets.iterdir()} == {"net#group_pixel8_null", "net#group_other"}
    assert tree(assets / "net#group_other") == tree(assets / "net#group_pixel8_null")
    assert read_record(out).fallback == "pixel8_null"


def test_signed_bundles_can_be_demanded(
    for_devices: dict[str, Path], keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(for_devices["pixel8"], tmp_path / "bundle"))
    command = ["release", "android", str(bundle), "--out", str(tmp_path / "play"), "--key", str(keys / "ours.pub.pem")]
    assert run(command) == 1
    assert "is not signed" in capsys.readouterr().err
    sign_bundle(bundle, read_private_key(keys / "ours.pem"))
    assert run(command) == 0


BAD = {
    "another system": (["android", "iphone15pro"], 2, "no bundle is for android"),
    "an Android phone": (["ios", "pixel8"], 2, "no bundle is for ios or ipados"),
    "this machine": (["android", "host"], 2, "no bundle is for android"),
    "a phone that Play cannot tell": (["android", "galaxy_s24_snapdragon"], 2, "neither `play.device` nor `play.soc`"),
    "a device twice": (["android", "pixel8", "pixel8"], 2, "device pixel8 is served by"),
    "no bundle": (["android", "none"], 2, "no such bundle"),
    "an unknown delivery": (["android", "pixel8", "--delivery", "later"], 2, "it is one of install-time"),
    "an unknown policy": (["ios", "iphone13", "--delivery", "later"], 2, "it is one of essential"),
    "all at once": (["ios", "iphone13", "iphone15pro", "--delivery", "essential"], 2, "every phone would download all 2"),
    "an unknown form": (["ios", "iphone13", "--form", "zip"], 2, "it is swift or assets"),
    "an unknown fallback": (["android", "pixel8", "--fallback", "pixel9"], 2, "no variant is called 'pixel9'"),
    "a bad pack name": (["android", "pixel8", "--pack", "my-pack"], 2, "is no pack name"),
    "a pack called other": (["android", "pixel8", "--pack", "other"], 2, "is no pack name"),
    "a bad package name": (["ios", "iphone13", "--pack", "net"], 2, "is no package name"),
    "a place that is taken": (["ios", "iphone13", "--out", "pixel8"], 2, "not a release"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    what: str, for_devices: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, words = BAD[what]
    folder = next(iter(for_devices.values())).parent
    monkeypatch.chdir(folder)
    before = {path.name for path in folder.iterdir()}
    out = [] if "--out" in arguments else ["--out", "out"]
    assert run(["release", *arguments, *out]) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == before


def test_an_altered_bundle_and_another_model_are_refused(
    for_devices: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    altered = Path(shutil.copytree(for_devices["pixel8"], tmp_path / "altered"))
    (altered / "model.null").write_bytes(b"other")
    assert run(["release", "android", str(altered), "--out", str(tmp_path / "out")]) == 1
    other = Path(shutil.copytree(for_devices["pixel9"], tmp_path / "other"))
    manifest = open_bundle(other).manifest
    model = manifest.model.model_copy(update={"digest": "0" * 64})
    (other / "manifest.json").write_text(dump(manifest.model_copy(update={"model": model})))
    assert run(["release", "android", str(for_devices["pixel8"]), str(other), "--out", str(tmp_path / "out")]) == 2
    assert "are of different models" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
