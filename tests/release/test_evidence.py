"""The evidence itself: valid by its standards, deterministic, and written whole or not at all."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from sdk.bundles import open_bundle, sha256_file
from sdk.cli.main import run
from sdk.release.evidence import read_private_key, sign_bundle
from sdk.release.evidence.bom import package_url

pytestmark = pytest.mark.usefixtures("quiet")


def statement(bundle: Path) -> dict:
    return json.loads(base64.b64decode(json.loads((bundle / "provenance.intoto.jsonl").read_text())["payload"]))


def test_the_bom_is_valid_cyclonedx(bundle: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (bundle / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bom_says_what_the_manifest_says(bundle: Path) -> None:
    bom, manifest = json.loads((bundle / "bom.cdx.json").read_text()), open_bundle(bundle).manifest
    assert bom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": manifest.artifact.sha256}]
    kinds = {each["bom-ref"]: each["type"] for each in bom["components"]}
    assert kinds["model"] == "machine-learning-model" and kinds["calibration"] == "data"
    assert {each["version"] for each in bom["components"]} >= set(manifest.tool_versions.values())
    assert "timestamp" not in json.dumps(bom)


def test_the_statement_is_in_toto_with_slsa_provenance(bundle: Path) -> None:
    made, manifest = statement(bundle), open_bundle(bundle).manifest
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    found = {each["name"]: each["digest"]["sha256"] for each in made["subject"]}
    there = {path.name for path in bundle.iterdir()} - {"provenance.intoto.jsonl"}
    assert found == {name: sha256_file(bundle / name) for name in there}
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["command"] == manifest.command
    assert {each["name"] for each in definition["resolvedDependencies"]} == {
        "model", "calibration", *(f"tool:{name}" for name in manifest.tool_versions),
    }  # fmt: skip
    assert set(made["predicate"]["runDetails"]) == {"builder", "metadata"}


def test_the_project_file_is_among_the_parameters(app: Path, keys: Path) -> None:
    assert run(["package", "--out", "made"]) == 0
    assert run(["sign", "made", "--key", str(keys / "ours.pem")]) == 0
    project = statement(app / "made")["predicate"]["buildDefinition"]["externalParameters"]["project"]
    assert project == {"name": "sdk.yaml", "digest": {"sha256": sha256_file(app / "sdk.yaml")}}


def test_signing_again_gives_the_same_bytes(bundle: Path, keys: Path) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    sign_bundle(bundle, read_private_key(keys / "ours.pem"))
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_an_altered_bundle_is_not_signed(
    signed: dict[str, Path], tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(signed["unsigned"], bundle)
    (bundle / "model.null").write_bytes(b"other")
    assert run(["sign", str(bundle), "--key", str(keys / "ours.pem")]) == 1
    assert "not signed" in capsys.readouterr().err
    assert {path.name for path in bundle.iterdir()} == {"manifest.json", "plan.yaml", "model.null", "reference.safetensors"}


BAD_KEYS = {
    "no key": ("none.pem", "there is no such key file"),
    "a public key": ("ours.pub.pem", "is a public key"),
    "text": ("text.pem", "is no private key"),
    "a key of another kind": ("p256.pem", "is not an ed25519 key"),
    "a passphrase": ("locked.pem", "has a passphrase"),
}


@pytest.mark.parametrize("what", BAD_KEYS)
def test_bad_keys_are_one_sentence(what: str, bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    name, words = BAD_KEYS[what]
    (keys / "text.pem").write_text("secret")
    other = ec.generate_private_key(ec.SECP256R1())
    for file, lock in (("p256.pem", s.NoEncryption()), ("locked.pem", s.BestAvailableEncryption(b"x"))):
        (keys / file).write_bytes(other.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, lock))
    assert run(["sign", str(bundle), "--key", str(keys / name)]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_verifying_with_the_private_key_is_refused(
    bundle: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(bundle), "--key", str(keys / "ours.pem")]) == 2
    assert "is a private key" in capsys.readouterr().err


def test_purls_are_spelled_as_their_specification_says() -> None:
    assert package_url("AI_Edge.litert", "2.3.0+cpu") == "pkg:pypi/ai-edge-litert@2.3.0%2Bcpu"
