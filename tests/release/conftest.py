"""A signed bundle of the small app, made once, and its keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sdk
from sdk.release.evidence import read_private_key, sign_bundle

APP = Path(__file__).parents[1] / "cli" / "app" / "model.py"


def make_key(folder: Path, name: str) -> Path:
    """Write `name`.pem and `name`.pub.pem, as openssl would; return the private one."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = folder / f"{name}.pem"
    private.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub.pem").write_bytes(public)
    return private


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make_key(folder, name)
    return folder


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two bundles of the same model, the older one with another plan, and `unsigned`, a copy of the newer."""
    folder = tmp_path_factory.mktemp("packaged")
    made = {}
    for name, size in (("older", "40kB"), ("newer", "30kB")):
        made[name] = folder / name
        sdk.package(
            f"{APP}:net", device="host", target="null", max_size=size, calibration=f"{APP}:samples", out=made[name]
        )  # fmt: skip
    made["unsigned"] = shutil.copytree(made["newer"], folder / "unsigned")
    return made


@pytest.fixture(scope="session")
def signed(packaged: dict[str, Path], keys: Path) -> dict[str, Path]:
    """`packaged`, with `older` and `newer` signed."""
    for name in ("older", "newer"):
        sign_bundle(packaged[name], read_private_key(keys / "ours.pem"))
    return packaged


@pytest.fixture
def bundle(signed: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the newer signed bundle, to be damaged."""
    shutil.copytree(signed["newer"], tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="session")
def for_devices(packaged: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the same model for several devices: the same artifact, each with its own device in the manifest."""
    from sdk.bundles import dump, open_bundle

    folder, made = tmp_path_factory.mktemp("devices"), {}
    for device in ("pixel8", "pixel8pro", "pixel9", "oneplus12", "galaxy_s24_snapdragon", "iphone13", "iphone15pro", "host"):
        made[device] = Path(shutil.copytree(packaged["unsigned"], folder / device))
        manifest = open_bundle(made[device]).manifest.model_copy(update={"device": device})
        (made[device] / "manifest.json").write_text(dump(manifest))
    return made


@pytest.fixture(scope="session")
def releases(for_devices: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One release per store, of two devices each, by the words of the command line."""
    from sdk.cli.main import run

    folder = tmp_path_factory.mktemp("releases")
    for store, devices in (("android", ("pixel8", "pixel9")), ("ios", ("iphone13", "iphone15pro"))):
        assert run(["release", store, *(str(for_devices[name]) for name in devices), "--out", str(folder / store)]) == 0
    return {store: folder / store for store in ("android", "ios")}
