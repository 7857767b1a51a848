"""`sdk package` for a fleet, from the outside: what it writes, prints and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sdk
from sdk.bundles import open_bundle
from sdk.cli.main import run
from sdk.errors import BadInput, CheckFailed
from sdk.release.fleet import open_fleet
from sdk.release.selector import Facts, select

pytestmark = pytest.mark.usefixtures("quiet")

FLEET = """
loss_per_mb: 0
groups:
  - {name: small, devices: [pixel6, iphone13], share: 30%, budgets: {max_size: 16kB}}
  - {devices: galaxy_s24, share: 0.7, budgets: {max_size: 40kB}}
"""


@pytest.fixture
def fleet(app: Path) -> Path:
    (app / "fleet.yaml").write_text(FLEET)
    return app


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_fleet_is_verified_whole_and_no_part_of_it_can_be_exchanged(fleet, capsys):
    assert run(["package", "--fleet", "fleet.yaml", "--out", "made"]) == 0
    made = fleet / "made"
    capsys.readouterr()
    assert run(["verify", "made", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ok"]
    assert {each["what"].partition(":")[0] for each in shown["findings"]} == {"selector", "other files", "null-1", "null-2"}
    for name, words in DAMAGE.items():
        before = (made / name).read_bytes()
        (made / name).write_bytes(before.replace(b"android", b"aNdroid", 1) if name.endswith("json") else before + b" ")
        assert run(["verify", "made"]) == 1
        assert words in capsys.readouterr().err
        (made / name).write_bytes(before)
    (made / "null-1").rename(fleet / "kept")
    shutil.copytree(made / "null-2", made / "null-1")
    assert run(["verify", "made"]) == 1
    assert "null-1: is another bundle" in capsys.readouterr().err
    shutil.rmtree(made / "null-1")
    (made / "null-1").symlink_to(fleet / "kept")
    assert run(["verify", "made"]) == 1
    assert "null-1: is a symbolic link" in capsys.readouterr().err


def test_a_signed_fleet_is_under_one_signature(fleet, keys, capsys):
    private, public = str(keys / "ours.pem"), str(keys / "ours.pub.pem")
    assert run(["package", "--fleet", "fleet.yaml", "--out", "made"]) == 0
    assert run(["verify", "made", "--key", public]) == 1
    assert "the fleet is not signed" in capsys.readouterr().err
    for _ in range(2):
        assert run(["sign", "made", "--key", private, "--release", "7"]) == 0
        signed = contents(fleet / "made")
    assert run(["sign", "made", "--key", private, "--release", "7"]) == 0 and contents(fleet / "made") == signed
    assert run(["verify", "made", "--key", public, "--newer-than", "6"]) == 0
    assert run(["verify", "made", "--key", public, "--newer-than", "7"]) == 1
    for name, before in signed.items():
        (fleet / "made" / name).write_bytes(bytes([before[0] ^ 1]) + before[1:])
        assert run(["verify", "made", "--key", public]) != 0, name
        (fleet / "made" / name).write_bytes(before)
    other = fleet / "made" / "null-1"
    assert run(["sign", str(other), "--key", str(keys / "theirs.pem")]) == 0
    capsys.readouterr()
    assert run(["verify", "made", "--key", public]) == 1
    assert "null-1/provenance.intoto.jsonl was changed" in capsys.readouterr().err
    assert run(["sign", "made", "--key", private, "--release", "7"]) == 0 and contents(fleet / "made") == signed


DAMAGE = {
    "selector.json": "selector: selector.json was changed",
    "selector/Selector.kt": "selector: selector/Selector.kt was changed",
    "null-2/plan.yaml": "null-2: plan.yaml: was changed",
}


def test_the_python_api_makes_the_same_variants(fleet):
    assert run(["package", "--fleet", "fleet.yaml", "--out", "made"]) == 0
    said = sdk.package_fleet(
        "model.py:net", fleet="fleet.yaml", target="null", calibration="model.py:samples", out="api"
    )  # fmt: skip
    assert said.variants and said == open_fleet(fleet / "api")
    assert [each.sha256 for each in said.variants] == [each.sha256 for each in open_fleet(fleet / "made").variants]
    with pytest.raises(BadInput, match="either devices or fleet"):
        sdk.package_fleet("model.py:net")
    with pytest.raises(BadInput, match="max_variants: 0"):
        sdk.package_fleet("model.py:net", devices=["pixel6"], max_variants=0)


def test_a_fleet_is_packaged_twice_to_the_same_bytes(fleet, capsys):
    assert run(["package", "--fleet", "fleet.yaml", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    made = fleet / "dist" / "net-fleet"
    assert shown["path"] == "dist/net-fleet" and shown["fleet"] == json.loads((made / "fleet.json").read_text())
    assert {path.name for path in made.iterdir()} == {"fleet.json", "selector.json", "selector", "null-1", "null-2"}
    assert run(["package", "--fleet", "fleet.yaml", "--out", "again"]) == 0
    assert "null-2" in (printed := capsys.readouterr().out) and "What each" not in printed.splitlines()[0]
    assert contents(made) == contents(fleet / "again")
    manifest = open_fleet(made)
    assert [(each.name, each.variant, each.share) for each in manifest.devices] == [
        ("galaxy_s24", "null-2", 0.7), ("iphone13", "null-1", 0.15), ("pixel6", "null-1", 0.15),
    ]  # fmt: skip
    for variant, most in zip(manifest.variants, (16_000, 40_000), strict=True):
        bundle = open_bundle(made / variant.id)
        assert bundle.manifest.digest == variant.digest and variant.bytes == bundle.manifest.artifact.bytes <= most
        assert run(["verify", str(made / variant.id)]) == 0
    steps = manifest.steps
    assert [step.variants for step in steps] == [1, 2] and steps[1].loss < steps[0].loss and steps[1].bytes > steps[0].bytes
    selector = json.loads((made / "selector.json").read_text())
    old = Facts("android", "12", 8 * 2**30 * 9 // 10, "Tensor G1", ("null",))
    assert select(selector, old).variant == "null-1"
    for case in json.loads((made / "selector" / "vectors.json").read_text())["cases"]:
        chosen = select(selector, Facts.of(case["facts"]))
        assert (chosen.variant, chosen.reason) == (case["variant"], case["reason"])


def test_devices_share_one_variant_when_asked(app, capsys):
    assert run(["package", "--device", "pixel8,pixel9", "--max-variants", "1", "--out", "made", "--json"]) == 0
    assert [each["devices"] for each in json.loads(capsys.readouterr().out)["fleet"]["variants"]] == [["pixel8", "pixel9"]]
    text = (app / "made" / "fleet.json").read_text()
    (app / "made" / "fleet.json").write_text(text.replace('"pixel9"', '"pixel7"'))
    with pytest.raises(CheckFailed, match="was edited"):
        open_fleet(app / "made")


def test_a_device_that_nothing_fits_ends_the_run_and_nothing_is_written(fleet, capsys):
    (fleet / "fleet.yaml").write_text(FLEET.replace("16kB", "3kB"))
    before = contents(fleet)
    assert run(["package", "--fleet", "fleet.yaml", "--json"]) == 1
    shown = capsys.readouterr()
    assert "device pixel6: nothing fits; with null, max_size 3.00 kB (3,000 bytes) cannot be met: the smallest" in shown.err
    assert json.loads(shown.out)["counter_offer"]["binding"] == "max_size"
    assert {k: v for k, v in contents(fleet).items() if "pycache" not in k} == before and not (fleet / "dist").exists()
