"""`sdk check --on xcode:DIR`: the package that it writes, and transcripts such as the test in there would write."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest
import torch
from torch import nn

import sdk
from sdk.bundles import contents, open_bundle
from sdk.check import read_result
from sdk.check.runners.xcode_package import TEMPLATE
from sdk.cli.main import run

pytestmark = pytest.mark.usefixtures("quiet")
THERE = "Tests/Measured"


class Ids(nn.Module):
    """Whole numbers beside floats."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(50, 32), nn.Linear(32, 16)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.last(self.words(ids).mean(1)) * scale


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("coremltools")
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("xcode") / "net"
    samples = [(torch.randint(0, 50, (1, 8)), torch.randn(1, 16)) for _ in range(4)]
    sdk.package(Ids(), device="iphone15pro", target="coreml", uniform="fp16", calibration=samples, out=out, name="net")
    return out


@pytest.fixture
def place(package: Path, tmp_path: Path) -> Path:
    """A directory that holds the test package, and no transcript yet."""
    assert run(["check", str(package), "--on", f"xcode:{tmp_path / 'phone'}"]) == 3
    return tmp_path / "phone"


def written(place: Path, change: Callable[[dict[str, Any]], object] = lambda told: None) -> Path:
    """Write the transcript that `CheckTests.swift` would of what is in `place`, with a change."""
    check = json.loads((place / THERE / "check.json").read_text())
    outputs = [
        {
            "dtype": each["dtype"],
            "shape": each["shape"],
            "data": base64.b64encode((place / THERE / each["file"]).read_bytes()).decode(),
        }
        for each in check["outputs"]
    ]
    repeat = {
        "load_ns": 40_000_000, "first_ns": 9_000_000, "samples_ns": [2_000_000 + i for i in range(check["steps"]["runs"])],
        "stride": 1, "base_bytes": 30_000_000, "peak_bytes": 5_000_000, "resident_bytes": [34_000_000] * 50, "outputs": outputs,
    }  # fmt: skip
    state = {"thermal": "nominal", "low_power": False}
    told = {
        "format": check["format"], "artifact_sha256": check["artifact_sha256"], "compute_units": check["compute_units"],
        "steps": {**check["steps"], "seconds": int(check["steps"]["seconds"])},
        "before": state, "after": state, "compile_ns": 300_000_000,
        "device": {"machine": "iPhone16,1", "system": "ios", "version": "18.1.0", "abi": "arm64", "simulator": False},
        "repeats": [repeat for _ in range(check["steps"]["repeats"])],
    }  # fmt: skip
    told = json.loads(json.dumps(told))
    change(told)
    (place / "transcript.json").write_text(json.dumps(told, sort_keys=True))
    return place


def test_the_package_holds_the_artifact_its_run_and_what_to_do(package: Path, place: Path, tmp_path: Path) -> None:
    bundle = open_bundle(package)
    check = json.loads((place / THERE / "check.json").read_text())
    assert check["artifact_sha256"] == bundle.manifest.artifact.sha256 and check["compute_units"] == "all"
    assert check["steps"] == {"name": "quick", "warmup": 5, "runs": 50, "seconds": 0, "repeats": 3, "cooldown": 0}
    copied = {name: file.read_bytes() for name, file in contents(place / THERE / check["package"]).items()}
    assert copied == {name: file.read_bytes() for name, file in contents(bundle.artifact).items()}
    assert [(each["name"], each["dtype"]) for each in check["inputs"]] == [("ids", "int32"), ("scale", "float32")]
    for each, array in zip((*check["inputs"], *check["outputs"]), (*bundle.reference[0], *bundle.reference[1]), strict=True):
        raw = numpy.frombuffer((place / THERE / each["file"]).read_bytes(), "<i4" if each["dtype"] == "int32" else "<f4")
        assert numpy.array_equal(raw.reshape(each["shape"]), array)
    assert run(["check", str(package), "--on", f"xcode:{tmp_path / 'other'}"]) == 3
    both = [{name: file.read_bytes() for name, file in contents(root).items()} for root in (place, tmp_path / "other")]
    assert both[0] == both[1] and {"README.md", "Package.swift", "Tests/CheckTests.swift"} < set(both[0])


def test_a_package_is_replaced_by_that_of_another_protocol(package: Path, place: Path) -> None:
    assert run(["check", str(package), "--on", f"xcode:{place}", "--protocol", "full", "--deadline", "900"]) == 3
    check = json.loads((place / THERE / "check.json").read_text())
    assert check["steps"]["runs"] == 1024 and check["steps"]["cooldown"] == 30 and check["deadline"] == 900


def test_the_core_ml_names_are_those_of_the_recorded_run(package: Path, place: Path) -> None:
    from coremltools.models.utils import load_spec

    check = json.loads((place / THERE / "check.json").read_text())
    description = load_spec(str(open_bundle(package).artifact)).description
    assert [each["name"] for each in check["inputs"]] == [feature.name for feature in description.input]
    assert [each["name"] for each in check["outputs"]] == [feature.name for feature in description.output]


def test_the_project_refers_to_what_is_there() -> None:
    text = (TEMPLATE / "Check.xcodeproj/project.pbxproj").read_text()
    defined = re.findall(r"^\t\t(C0DE\w{20}) = \{", text, re.MULTILINE)
    assert len(defined) == len(set(defined)) and set(re.findall(r"C0DE\w{20}", text)) == set(defined)
    assert text.count("{") == text.count("}") and text.count("(") == text.count(")") and text.count('"') % 2 == 0
    for path in re.findall(r"path = ([\w/.]+);\n\t\t\tsourceTree = \"<group>\"", text):
        assert path == THERE or (TEMPLATE / path).is_file()
    scheme = ElementTree.parse(TEMPLATE / "Check.xcodeproj/xcshareddata/xcschemes/Check.xcscheme")
    named = {each.get("BlueprintIdentifier") for each in scheme.iter("BuildableReference")}
    assert named <= set(defined) and len(named) == 2


def test_the_swift_test_writes_the_fields_that_are_read() -> None:
    from sdk.check.runners import xcode_transcript as read

    source = (TEMPLATE / "Tests/CheckTests.swift").read_text()
    pairs = {"Transcript": read.XcodeTranscript, "Repeat": read.RepeatEntry, "Output": read.OutputEntry, "State": read.StateEntry,
             "Machine": read.MachineEntry, "Steps": read.StepsEntry}  # fmt: skip
    for name, model in pairs.items():
        body = re.search(rf"struct {name}: Codable {{\n(.*?)\n}}", source, re.DOTALL)
        assert body is not None
        assert set(re.findall(r"(?:let|var) (\w+):", body[1])) == set(model.model_fields), name


@pytest.mark.parametrize(
    ("device", "origin", "code", "words"),
    [
        ({}, "device", 0, ""),
        ({"machine": "iPhone16,2"}, "device", 1, "xcode is an iPhone16,2, and the bundle is for iPhone 15 Pro"),
        ({"machine": "iPhone17,3"}, "device", 1, "xcode is an iPhone 16, and the bundle is for iPhone 15 Pro"),
        ({"simulator": True}, "emulator", 1, "measured on an emulator"),
        ({"machine": "arm64", "system": "macos"}, "host", 1, "measured on this machine"),
    ],
)
def test_who_measured_decides_what_is_judged(
    package: Path, place: Path, capsys: pytest.CaptureFixture[str], device: dict[str, Any], origin: str, code: int, words: str
) -> None:
    written(place, lambda told: told["device"].update(device))
    out = place.parent / "result.json"
    flags = ["--max-latency", "3ms", "--max-memory", "6MB", "--out", str(out), "--json"]
    capsys.readouterr()
    assert run(["check", str(package), "--on", f"xcode:{place}", *flags]) == code
    assert words in json.loads(capsys.readouterr().out).get("error", "")
    found = read_result(out)
    assert found.origin == origin and found.relative_error.value == 0 and found.latency.runs == 150
    assert found.memory_method.startswith("phys_footprint") and found.peak_memory.value == 5_000_000
    assert found.before.thermal_status == "none" and found.runner.program == "Tests/CheckTests.swift"


def test_budgets_and_outputs_are_judged(package: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(place)
    assert run(["check", str(package), "--on", f"xcode:{place}", "--max-latency", "1ms"]) == 1
    assert "max_latency: 2 ms where 1 ms is the limit: failed" in capsys.readouterr().err
    zeros = base64.b64encode(bytes(64)).decode()
    written(place, lambda told: told["repeats"][1]["outputs"][0].update(data=zeros))
    assert run(["check", str(package), "--on", f"xcode:{place}"]) == 1
    assert "the outputs are not those that the bundle recorded" in capsys.readouterr().err


def test_cooling_down_is_not_waited_for_again(package: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited"))
    assert run(["check", str(package), "--on", f"xcode:{place}", "--protocol", "full"]) == 3
    written(place)
    assert run(["check", str(package), "--on", f"xcode:{place}", "--protocol", "full"]) == 0


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda told: told.update(artifact_sha256="0" * 64), 2, "is of the artifact 000000000000, and the bundle's is"),
        (lambda told: told.update(compute_units="cpuOnly"), 2, "was measured with cpuOnly, and the bundle is for all"),
        (lambda told: told["steps"].update(name="full"), 2, "by another protocol (full) than quick asks for"),
        (lambda told: told.pop("repeats"), 2, "repeats: field required"),
        (lambda told: told["repeats"].pop(), 2, "holds 2 of 3 repeats"),
        (lambda told: told["repeats"][0].update(samples_ns=[]), 2, "repeats.0.samples_ns: list should have at least 1 item"),
        (lambda told: told["repeats"][2]["samples_ns"].pop(), 2, "a repeat holds 49 of at least 50 runs"),
        (lambda told: told["repeats"][0].update(load_ns=-1), 2, "repeats.0.load_ns: input should be greater than or equal to 0"),
        (lambda told: told["repeats"][0]["outputs"][0].update(data="AAAA"), 2, "an output cannot be read"),
        (lambda told: told["repeats"][0]["outputs"][0].update(data="?"), 2, "an output cannot be read"),
        (lambda told: told["device"].update(system="tvos"), 2, "device.system: input should be 'ios', 'ipados' or 'macos'"),
        (lambda told: told["before"].update(thermal="serious"), 3, "was hot (thermal state serious)"),
    ],
)
def test_a_transcript_that_does_not_fit_is_one_sentence(
    package: Path, place: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any], Any], code: int, words: str
) -> None:
    written(place, change)
    capsys.readouterr()
    assert run(["check", str(package), "--on", f"xcode:{place}"]) == code
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and words in said[0]


def test_what_is_no_json(package: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "transcript.json").write_bytes(b"{\xff")
    assert run(["check", str(package), "--on", f"xcode:{place}"]) == 2
    assert "invalid json" in capsys.readouterr().err
    (place / "transcript.json").unlink()
    (place / "transcript.json").mkdir()
    assert run(["check", str(package), "--on", f"xcode:{place}"]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--on", "xcode"], "name the directory for the test package"),
        (
            ["--on", "xcode:{tmp}/full"],
            "is a directory but not a test package, so it is not replaced: choose another --on xcode:DIR",
        ),
        (["--on", "xcode:{tmp}/full/file"], "is a file: "),
        (["--on", "xcode:/proc/none/here"], "cannot be written"),
        (["--on", "xcode:{tmp}/new", "--runner", "x"], "--runner: the test in Xcode brings its own program"),
        (["--on", "xcode:{tmp}/new", "--baseline", "{package}"], "--baseline: the test in Xcode measures one artifact"),
        (["--on", "xcode:{tmp}/new", "--profile"], "--profile: "),
    ],
)
def test_bad_input_leaves_nothing(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert run(["check", str(package), *(flag.format(tmp=tmp_path, package=package) for flag in flags)]) == 2
    assert words in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["full"] and os.listdir(tmp_path / "full") == ["file"]


def test_what_is_made_for_an_accelerator_is_loaded_with_its_units(tmp_path: Path) -> None:
    out = tmp_path / "net"
    samples = [(torch.randn(1, 64),) for _ in range(2)]
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
    sdk.package(net, device="iphone15pro", target="coreml", accelerator="npu", uniform="fp16", calibration=samples, out=out)
    assert run(["check", str(out), "--on", f"xcode:{tmp_path / 'new'}"]) == 3
    check = json.loads((tmp_path / "new" / THERE / "check.json").read_text())
    assert check["compute_units"] == "cpuAndNeuralEngine"
    assert run(["check", str(out), "--on", f"xcode:{written(tmp_path / 'new')}"]) == 0


def test_a_bundle_of_another_target_is_refused(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(bundle), "--on", f"xcode:{tmp_path / 'new'}"]) == 2
    assert "measures bundles of coreml, and this is one of null" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
