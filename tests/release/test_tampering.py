"""Whatever is done to a signed bundle is found: bytes, files, replays, other tools, ways out of the directory."""

from __future__ import annotations

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.bundles import Manifest, describe_artifact, dump, open_bundle, sha256_file
from sdk.cli.main import run
from sdk.release.evidence import check_evidence, read_private_key, read_public_key, sign_bundle
from sdk.release.evidence.bom import bill_of_materials
from sdk.release.evidence.envelope import canonical, read_envelope, seal_statement
from sdk.release.evidence.statement import statement_of

pytestmark = pytest.mark.usefixtures("quiet")

CHANGES = 500


def verdict(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["verify", str(bundle), "--key", str(keys / "ours.pub.pem")])
    return code, capsys.readouterr().err


def test_a_signed_bundle_verifies(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(bundle, keys, capsys) == (0, "")
    assert run(["verify", str(bundle)]) == 0
    assert "not checked" in capsys.readouterr().out


def test_every_random_change_of_a_byte_is_found(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(20)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {"manifest.json", "plan.yaml", "bom.cdx.json", "provenance.intoto.jsonl"}
    missed = []
    for i in range(CHANGES):
        path = files[i % len(files)]
        kept = path.read_bytes()
        at, bit = chance.randrange(len(kept)), 1 << chance.randrange(8)
        path.write_bytes(kept[:at] + bytes([kept[at] ^ bit]) + kept[at + 1 :])
        if verdict(bundle, keys, capsys)[0] not in (1, 2):
            missed.append((path.name, at, bit))
        path.write_bytes(kept)
    assert not missed
    assert verdict(bundle, keys, capsys)[0] == 0


def test_the_signature_itself_may_not_change_either(bundle: Path, keys: Path) -> None:
    path, public = bundle / "provenance.intoto.jsonl", read_public_key(keys / "ours.pub.pem")
    kept = path.read_bytes()
    for at in range(0, len(kept), 11):
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
        assert not all(found.ok for found in check_evidence(bundle, public)), at


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte more": (lambda b: (b / "model.null").write_bytes((b / "model.null").read_bytes() + b"\0"), "model.null"),
    "a byte less": (lambda b: (b / "plan.yaml").write_bytes((b / "plan.yaml").read_bytes()[:-1]), "plan.yaml"),
    "a file more": (lambda b: (b / "readme").touch(), "readme was added"),
    "a hidden file": (lambda b: (b / ".cache").touch(), ".cache was added"),
    "no recorded run": (lambda b: (b / "reference.safetensors").unlink(), "reference.safetensors was removed"),
    "no BOM": (lambda b: (b / "bom.cdx.json").unlink(), "without the other"),
    "no signature": (lambda b: (b / "provenance.intoto.jsonl").unlink(), "without the other"),
    "no evidence": (lambda b: [(b / n).unlink() for n in ("bom.cdx.json", "provenance.intoto.jsonl")], "is not signed"),
    "blanks in the signature": (
        lambda b: (b / "provenance.intoto.jsonl").write_text((b / "provenance.intoto.jsonl").read_text().replace(":", ": ", 1)),
        "one spelling",
    ),
    "a linked plan": (lambda b: _linked(b, "plan.yaml"), "plan.yaml is a symbolic link"),
    "a linked artifact": (lambda b: _linked(b, "model.null"), "model.null is a symbolic link"),
    "a linked signature": (lambda b: _linked(b, "provenance.intoto.jsonl"), "is a symbolic link"),
    "a linked folder": (lambda b: (b / "more").symlink_to("/etc"), "more is a symbolic link"),
    "a pipe": (lambda b: os.mkfifo(b / "plan.pipe"), "plan.pipe is a pipe"),
}


def _linked(bundle: Path, name: str) -> None:
    (bundle / name).rename(bundle.parent / name)
    (bundle / name).symlink_to(bundle.parent / name)


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_named(what: str, bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage, words = DAMAGE[what]
    damage(bundle)
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and words in said


def test_another_key_is_found(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign_bundle(bundle, read_private_key(keys / "theirs.pem"))
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "another key signed it" in said


def test_a_key_name_is_no_proof(bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed by theirs, and relabelled as ours."""
    ours = read_envelope((bundle / "provenance.intoto.jsonl").read_bytes())[2]
    sign_bundle(bundle, read_private_key(keys / "theirs.pem"))
    data = json.loads((bundle / "provenance.intoto.jsonl").read_bytes())
    data["signatures"][0]["keyid"] = ours
    (bundle / "provenance.intoto.jsonl").write_bytes(canonical(data) + b"\n")
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "was changed after it was signed" in said


def test_a_replayed_signature_of_an_older_bundle_is_refused(
    bundle: Path, signed: dict[str, Path], keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for replayed in (("provenance.intoto.jsonl",), ("provenance.intoto.jsonl", "bom.cdx.json")):
        for name in replayed:
            shutil.copy(signed["older"] / name, bundle / name)
        code, said = verdict(bundle, keys, capsys)
        assert code == 1 and "of another bundle" in said


def test_a_whole_older_bundle_is_told_by_the_release_that_was_signed(
    bundle: Path, signed: dict[str, Path], keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, public = tmp_path / "older", str(keys / "ours.pub.pem")
    shutil.copytree(signed["older"], older)
    for path, release in ((older, "41"), (bundle, "42")):
        assert run(["sign", str(path), "--key", str(keys / "ours.pem"), "--release", release]) == 0
        assert verdict(path, keys, capsys) == (0, "")
    shown = {release: run(["verify", str(bundle), "--key", public, "--newer-than", release]) for release in ("41", "42")}
    assert shown == {"41": 0, "42": 1}
    shutil.rmtree(bundle)
    shutil.copytree(older, bundle)
    capsys.readouterr()
    assert run(["verify", str(bundle), "--key", public, "--newer-than", "41"]) == 1
    assert "signed as release 41, not newer than 41" in capsys.readouterr().err
    assert run(["verify", str(signed["newer"]), "--key", public, "--newer-than", "41"]) == 1
    assert "without a release number" in capsys.readouterr().err
    assert run(["verify", str(bundle), "--newer-than", "41"]) == 2
    assert "add --key" in capsys.readouterr().err


def test_a_swapped_artifact_with_its_hashes_computed_again_is_refused(
    bundle: Path, signed: dict[str, Path], keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that the format itself can seal is sealed again; without --key this would pass."""
    for name in ("model.null", "plan.yaml", "reference.safetensors", "manifest.json"):
        shutil.copy(signed["older"] / name, bundle / name)
    other = open_bundle(bundle).manifest
    (bundle / "manifest.json").write_text(dump(other.model_copy(update={"device": "pixel8"})))
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "was changed after it was signed" in said
    for name in ("bom.cdx.json", "provenance.intoto.jsonl"):
        (bundle / name).unlink()
    assert run(["verify", str(bundle)]) == 0
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "is not signed" in said


def resigned(bundle: Path, keys: Path, manifest: Manifest, bom_of: Manifest, stated: Manifest) -> None:
    """Sign contradictory evidence, as a careless pipeline with the right key might."""
    (bundle / "manifest.json").write_text(dump(manifest))
    (bundle / "bom.cdx.json").write_text(bill_of_materials(bom_of))
    key = read_private_key(keys / "ours.pem")
    (bundle / "provenance.intoto.jsonl").write_bytes(seal_statement(statement_of(bundle, stated), key))


@pytest.mark.parametrize("where", ["manifest", "bom.cdx.json", "provenance.intoto.jsonl", "the run"])
def test_other_tools_than_stated_are_found_even_when_signed(
    where: str, bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true = open_bundle(bundle).manifest
    other = parsed(true.model_copy(update={"tool_versions": {**true.tool_versions, "torch": "2.12.0"}}))
    manifest, bom_of, stated = {
        "manifest": (other, true, true),
        "bom.cdx.json": (true, other, true),
        "provenance.intoto.jsonl": (true, true, other),
        "the run": (other, other, other),
    }[where]
    resigned(bundle, keys, manifest, bom_of, stated.model_copy(update={"digest": manifest.digest}))
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "torch" in said and "2.12.0" in said


def parsed(manifest: Manifest) -> Manifest:
    """The manifest with the seal that its file would have."""
    return Manifest.model_validate_json(dump(manifest))


def test_a_path_that_leaves_the_bundle_is_refused(
    bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = bundle.parent / "outside.null"
    (bundle / "model.null").rename(outside)
    made = open_bundle(bundle).manifest
    there = describe_artifact(outside).model_copy(update={"path": "../outside.null"})
    moved = parsed(made.model_copy(update={"artifact": there}))
    resigned(bundle, keys, moved, moved, moved)
    code, said = verdict(bundle, keys, capsys)
    assert code == 1 and "leads out of the bundle" in said


def test_a_zip_is_verified_and_one_with_traversal_refused(
    bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = bundle.parent / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(bundle.iterdir()):
            file.write(path, f"net/{path.name}")
    assert verdict(archive, keys, capsys) == (0, "")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../evil", "evil")
    code, said = verdict(archive, keys, capsys)
    assert code == 1 and "bundle.zip: entry '../../evil' leaves the folder" in said
    assert not (bundle.parents[1] / "evil").exists()


@pytest.fixture
def directory_bundle(tmp_path: Path, signed: dict[str, Path], keys: Path) -> Path:
    """A signed bundle whose artifact is a directory, as Core ML packages are."""
    bundle = tmp_path / "package"
    shutil.copytree(signed["unsigned"], bundle)
    weights = bundle / "model.mlpackage" / "Data" / "weights"
    weights.mkdir(parents=True)
    (bundle / "model.null").rename(weights / "weight.bin")
    (bundle / "model.mlpackage" / "Manifest.json").write_text("{}")
    made = open_bundle(bundle).manifest
    described = made.model_copy(update={"artifact": describe_artifact(bundle / "model.mlpackage")})
    (bundle / "manifest.json").write_text(dump(described))
    sign_bundle(bundle, read_private_key(keys / "ours.pem"))
    return bundle


def test_every_file_of_a_directory_is_under_the_signature(directory_bundle: Path, keys: Path) -> None:
    public = read_public_key(keys / "ours.pub.pem")
    assert all(found.ok for found in check_evidence(directory_bundle, public))
    before = sha256_file(directory_bundle / "provenance.intoto.jsonl")
    for path in sorted(path for path in directory_bundle.rglob("*") if path.is_file()):
        kept = path.read_bytes()
        path.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
        assert not all(found.ok for found in check_evidence(directory_bundle, public)), path.name
        path.write_bytes(kept)
    (directory_bundle / "model.mlpackage" / "Data" / "more").touch()
    assert "Data/more was added" in check_evidence(directory_bundle, public)[-1].detail
    (directory_bundle / "model.mlpackage" / "Data" / "more").unlink()
    sign_bundle(directory_bundle, read_private_key(keys / "ours.pem"))
    assert sha256_file(directory_bundle / "provenance.intoto.jsonl") == before
