"""`--accelerator` from the outside: what the profile allows, what the manifest says, and what is never called verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.bundles import open_bundle
from sdk.cli.main import run
from sdk.devices import list_devices
from sdk.lowering.discovery import find_target, list_targets

pytestmark = pytest.mark.usefixtures("quiet")
FREE = ["--uniform", "fp16"]


def test_a_bundle_for_the_gpu_says_that_nothing_ran_there(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--device", toy, "--accelerator", "gpu", *FREE]) == 0
    shown = capsys.readouterr().out
    bundle = open_bundle(app / "dist" / "net-toy-null-gpu")
    made_for = bundle.manifest.accelerator
    assert made_for is not None and (made_for.kind, made_for.executed) == ("gpu", False)
    assert made_for.coverage is not None and 0 < made_for.coverage.delegated <= made_for.coverage.macs
    assert "NOT executed" in shown and made_for.coverage.words in shown and made_for.numerics in shown
    assert any("not executed on the gpu" in note for note in bundle.manifest.notes)
    assert "accelerator: gpu" in bundle.plan


def test_verify_calls_it_not_executed(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--device", toy, "--accelerator", "gpu", "--out", "made", *FREE]) == 0
    capsys.readouterr()
    assert run(["verify", "made"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "NOT EXECUTED" in lines["gpu"] and " ok " in lines["coverage"]
    assert run(["verify", "made", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["not_executed"] == ["gpu"]


def test_an_edited_coverage_is_found(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--device", toy, "--accelerator", "gpu", "--out", "made", *FREE]) == 0
    from sdk.bundles import dump

    manifest = open_bundle("made").manifest
    made_for = manifest.accelerator
    assert made_for is not None and made_for.coverage is not None
    better = made_for.coverage.model_copy(update={"macs": made_for.coverage.macs + 1})
    changed = manifest.model_copy(update={"accelerator": made_for.model_copy(update={"coverage": better})})
    (app / "made" / "manifest.json").write_text(dump(changed))
    capsys.readouterr()
    assert run(["verify", "made"]) == 1
    assert "coverage" in capsys.readouterr().err


def test_the_cpu_is_the_target_itself(app: Path, toy: str) -> None:
    for name, words in (("plain", []), ("cpu", ["--accelerator", "cpu"]), ("auto", ["--accelerator", "auto"])):
        assert run(["package", "--device", toy, "--out", name, *words]) == 0
    plain, cpu, auto = ((app / name / "model.null").read_bytes() for name in ("plain", "cpu", "auto"))
    assert plain == cpu == auto
    for name in ("plain", "cpu", "auto"):
        assert "accelerator" not in json.loads((app / name / "manifest.json").read_text())
        assert "accelerator:" not in (app / name / "plan.yaml").read_text()


def test_auto_says_what_it_left_out_and_why(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--device", toy, "--accelerator", "auto", "--json"]) == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["notes"])
    assert "--accelerator gpu" in notes and "the toy NPU has no public path" in notes


REFUSED = [
    (["--accelerator", "npu"], "nothing reaches the npu of toy: the toy NPU has no public path", 2),
    (["--accelerator", "gpu", "--target", "tflite"], "'tflite' does not reach the gpu of toy: use null", 2),
    (["--accelerator", "tpu"], "tpu", 2),
    (["--accelerator", "gpu", "--device", "host", "--target", "tflite"], "host has none: it has cpu", 2),
    (["--accelerator", "npu", "--device", "pixel8"], "Tensor TPU has no public path", 2),
    (["--accelerator", "npu", "--device", "galaxy_s24_snapdragon", "--target", "auto"], "Qualcomm AI Engine Direct SDK", 3),
    (["--accelerator", "npu", "--device", "galaxy_s24", "--target", "auto"], "Exynos AI LiteCore SDK", 3),
]


@pytest.mark.parametrize(("words", "said", "code"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_what_cannot_be_had_is_one_sentence(
    app: Path, toy: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str, code: int
) -> None:
    device = [] if "--device" in words else ["--device", toy]
    assert run(["package", *device, *words]) == code
    message = capsys.readouterr().err.strip()
    assert said in message and len(message.splitlines()) == 1
    assert not (app / "dist").exists()


def test_a_plan_for_the_gpu_is_not_packaged_for_the_cpu(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--device", toy, "--accelerator", "gpu", "--out", "plan.yaml", *FREE]) == 0
    assert run(["package", "--device", toy, "--plan", "plan.yaml"]) == 2
    assert "accelerator: gpu" in capsys.readouterr().err
    assert run(["package", "--device", toy, "--plan", "plan.yaml", "--accelerator", "gpu"]) == 0


def test_the_project_file_and_python_say_the_same(app: Path, toy: str) -> None:
    text = (app / "sdk.yaml").read_text().replace("devices: [host]", f"devices: [{toy}]")
    (app / "sdk.yaml").write_text(text + "accelerator: gpu\n")
    assert run(["package", "--out", "made", *FREE]) == 0
    made = open_bundle("made").manifest
    bundle = sdk.package("model.py:net", device=toy, target="null", accelerator="gpu", uniform="fp16", out="called")
    assert bundle.manifest.accelerator == made.accelerator
    assert "accelerator='gpu'" in bundle.manifest.command


def test_a_check_on_the_cpu_is_refused(app: Path, toy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "--device", toy, "--accelerator", "gpu", "--out", "made", *FREE]) == 0
    assert run(["check", "made", "--on", "local"]) == 3
    assert "for the gpu" in capsys.readouterr().err


@pytest.mark.parametrize("profile", list_devices(), ids=lambda each: each.name)
def test_every_way_in_a_profile_leads_to_a_variant(profile: Any) -> None:
    for accelerator in profile.accelerators:
        for name, backend in accelerator.backends.items():
            variant = find_target(name).on(accelerator.kind, backend.value)
            assert variant.accelerator.kind == accelerator.kind and variant.name == name


def test_documented_rows_name_their_source_and_measure_nothing() -> None:
    for target in list_targets():
        for kind in ("gpu", "npu"):
            for backend in ("vulkan", "coreml", None):
                try:
                    variant: Any = target.on(kind, backend)
                except Exception:
                    continue
                if target.name == "coreml":
                    continue  # its table is measured: the same program on other units
                assert all(row.source and row.speed is None for row in variant.capabilities())
