"""Each verb from the outside: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.bundles import open_bundle
from sdk.cli.main import VERBS, run
from sdk.cli.requests import command_line
from sdk.planning import read_plan

pytestmark = pytest.mark.usefixtures("quiet")


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_package_writes_a_bundle_that_verifies(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package"]) == 0
    shown = capsys.readouterr()
    out = app / "dist" / "net-host-null"
    assert {path.name for path in out.iterdir()} == {"manifest.json", "model.null", "plan.yaml", "reference.safetensors"}
    manifest = open_bundle(out).manifest
    assert manifest.artifact.bytes <= 30_000
    assert abs(manifest.predicted.artifact_bytes.value - manifest.artifact.bytes) <= 0.01 * manifest.artifact.bytes
    assert manifest.metric is not None and abs(manifest.metric.float_ or 0) < 1e-9
    assert manifest.measured.loss.origin == "host" and manifest.predicted.loss.origin == "predicted"
    for words in ("head", manifest.artifact.sha256, "relative_error", "metric: artifact"):
        assert words in shown.out
    assert str(app) not in (out / "manifest.json").read_text()
    assert run(["verify", str(out)]) == 0


def test_two_runs_give_the_same_bytes(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert run(["package", "--out", name]) == 0
    for path in (app / "one").iterdir():
        assert path.read_bytes() == (app / "two" / path.name).read_bytes()


def test_json_is_all_that_stdout_holds(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--json", "--out", "made"]) == 0
    bundle = data(capsys)["bundles"][0]
    assert bundle["path"] == "made"
    assert bundle["manifest"] == json.loads((app / "made" / "manifest.json").read_text())
    for verb in (["plan"], ["inspect"], ["targets"], ["targets", "null"], ["devices", "list"], ["devices", "show", "host"],
                 ["verify", "made"], ["diff", "made", "made"]):  # fmt: skip
        assert run([*verb, "--json"]) in (0, 1)
        assert isinstance(data(capsys), dict)


def test_flags_win_over_the_project_file(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--uniform", "q8", "--out", "made"]) == 0
    assert {layer.realised for layer in open_bundle(app / "made").manifest.layers} <= {
        "int8_channel_dynamic", "int8_channel", "fp32",
    }  # fmt: skip
    assert run(["package", "--max-size", "75kB", "--out", "made"]) == 0
    assert {layer.realised for layer in open_bundle(app / "made").manifest.layers} == {"fp32"}


def test_several_devices_give_a_bundle_each(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--device", "Pixel 8,iphone15pro", "--out", "made", "--json"]) == 0
    assert [bundle["path"] for bundle in data(capsys)["bundles"]] == ["made/pixel8-null", "made/iphone15pro-null"]
    assert run(["verify", "made/pixel8-null"]) == 0


def test_a_plan_is_edited_and_packaged(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--out", "plan.yaml"]) == 0
    text = (app / "plan.yaml").read_text()
    scheme = read_plan(app / "plan.yaml").schemes["head"]
    line = next(line for line in text.splitlines() if "layer: head" in line)
    (app / "edited.yaml").write_text(text.replace(line, line.replace(f"scheme: {scheme}", "scheme: int4_g32")))
    capsys.readouterr()
    assert run(["diff", "plan.yaml", "edited.yaml", "--json"]) == 0
    assert [(c["layer"], c["new"]) for c in data(capsys)["layers"]] == [("head", "int4_g32")]
    assert run(["package", "--plan", "edited.yaml", "--out", "made"]) == 0
    layers = {layer.name: layer.realised for layer in open_bundle(app / "made").manifest.layers}
    assert layers["head"] == "int4_g32"
    assert run(["plan", "--out", "plan.yaml"]) == 0, "a plan may be replaced by a plan"


def test_explain_shows_every_scheme(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--explain", "head"]) == 0
    shown = capsys.readouterr().out
    assert "int4_g32" in shown and "chosen" in shown


def test_plan_prints_yaml_on_request(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--out", "-"]) == 0
    (app / "copy.yaml").write_text(capsys.readouterr().out)
    assert read_plan(app / "copy.yaml").model.name == "net"


def test_init_writes_a_file_that_works(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "sdk.yaml").unlink()
    args = ["--model", "model.py:net", "--device", "host", "--target", "null", "--max-size", "30kB"]
    assert run(["init", *args, "--calibration", "model.py:samples"]) == 0
    assert run(["package", "--out", "made"]) == 0
    assert run(["init"]) == 2
    assert run(["init", "--force"]) == 0


def test_inspect_lists_every_layer(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--json"]) == 0
    found = data(capsys)
    assert [layer["name"] for layer in found["layers"]] == ["conv", "dw", "head", "out"]
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 3, 8, 8]}]
    assert run(["inspect", "model.py:bare", "--inputs", "model.py:inputs"]) == 0
    assert "16x3x3x3" in capsys.readouterr().out


def test_a_package_of_modules_is_found_beside_the_project(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "nets_of_app").mkdir()
    shutil.copy(app / "model.py", app / "nets_of_app" / "tiny.py")
    assert run(["package", "nets_of_app.tiny:net", "--calibration", "nets_of_app.tiny:samples", "--out", "made"]) == 0


TAMPERED = {
    "one byte of the artifact": ("model.null", lambda raw: raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:]),
    "the first byte of the artifact": ("model.null", lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
    "a byte more": ("model.null", lambda raw: raw + b"\0"),
    "a layer's realised scheme": ("manifest.json", lambda raw: raw.replace(b'"realised": "', b'"realised": "lut1_', 1)),
    "a figure": ("manifest.json", lambda raw: raw.replace(b'"loss": "kl"', b'"loss": "mse"')),
    "white space of the manifest": ("manifest.json", lambda raw: raw.replace(b" ", b"  ", 1)),
    "the plan": ("plan.yaml", lambda raw: raw.replace(b"layer: conv,", b"layer: conV,")),
    "the recorded run": ("reference.safetensors", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("finished") / "made"
    app = Path(__file__).parent / "app"
    reference = f"{app}/model.py"
    sdk.package(f"{reference}:net", device="host", target="null", max_size="30kB", calibration=f"{reference}:samples", out=made)
    return made


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_found(what: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, change = TAMPERED[what]
    bundle = tmp_path / "made"
    shutil.copytree(finished, bundle)
    assert run(["verify", str(bundle)]) == 0
    raw = (bundle / name).read_bytes()
    assert change(raw) != raw
    (bundle / name).write_bytes(change(raw))
    capsys.readouterr()
    assert run(["verify", str(bundle)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def resealed(bundle: Path, old: str, new: str) -> None:
    """Edit the manifest and seal it again, as somebody who knows the format would."""
    from sdk.bundles import Manifest, dump

    text = (bundle / "manifest.json").read_text()
    assert old in text
    (bundle / "manifest.json").write_text(dump(Manifest.model_validate_json(text.replace(old, new))))


def test_an_altered_scheme_is_found_even_under_a_new_seal(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "made"
    shutil.copytree(finished, bundle)
    layer = next(each for each in open_bundle(bundle).manifest.layers if each.realised != "int4_g32")
    resealed(bundle, f'"realised": "{layer.realised}"', '"realised": "int4_g32"')
    assert run(["verify", str(bundle)]) == 1
    assert "realised" in capsys.readouterr().err


def test_the_api_has_the_words_of_the_command(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(app))
    import torch
    from model import metric, net, samples  # type: ignore[import-not-found]

    module, _ = net()
    bundle = sdk.package(module, device="host", target="null", max_size="30kB", calibration=samples(), metric=metric, out="made")
    assert bundle.path == Path("made")
    assert bundle.manifest.artifact.bytes <= 30_000
    (x,) = samples()[0]
    (got,) = bundle.run(x)
    again = sdk.open_bundle("made").run(x.numpy())[0]
    assert (got == again).all() and got.shape == (1, 10)
    assert float((torch.from_numpy(got) - module(x)).norm() / module(x).norm()) < 0.1
    plan = sdk.plan(module, device="host", target="null", max_size=30_000, calibration=samples())
    assert plan.schemes == read_plan(app / "made" / "plan.yaml").schemes
    again = sdk.package(module, device="host", target="null", plan=plan, calibration=samples(), out="again")
    assert again.manifest.artifact == bundle.manifest.artifact


def test_the_command_names_no_absolute_path(app: Path) -> None:
    argv = ["/usr/bin/sdk", "package", f"{app}/model.py:net", "--out", f"{app}/made", f"--plan={app}/plan.yaml", "--project", "x",
            "--json", "--metric", "/elsewhere/metrics.py:top1", "--max-size", "4MB"]  # fmt: skip
    assert command_line(argv) == "sdk package model.py:net --plan=plan.yaml --metric metrics.py:top1 --max-size 4MB"


def test_unexpected_errors_are_one_sentence_unless_debugged(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sdk.pipeline

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(sdk.pipeline, "package", broken)
    assert run(["package"]) == 1
    shown = capsys.readouterr().err
    assert "error: unexpected ZeroDivisionError: division by zero" in shown and "Traceback" not in shown
    monkeypatch.setenv("SDK_DEBUG", "1")
    assert run(["package"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_every_verb_has_help_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert run([verb, "--help"]) == 0
        assert f"sdk {verb}" in capsys.readouterr().out.partition("\n")[2]


PRINTING = """
import os, sys
from sdk.cli.screen import quiet
from sdk.cli.output import toolchains_on_stderr
quiet()
with toolchains_on_stderr():
    print("a user's line")
    print("[cpuinfo_utils.cpp:71] Reading file")
    os.write(1, b"native output")
    os.write(2, b"native log")
print("ours")
"""


def test_stdout_is_ours_and_stderr_is_python_s() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, text=True, check=True)
    assert done.stdout == "ours\n"
    assert done.stderr == "a user's line\n"
