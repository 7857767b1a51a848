"""`sdk targets probe`: a target's table is measured again, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sdk.cli.main import run
from sdk.lowering.discovery import find_target

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["probe"], "name the target that is to be measured"),
        (["probe", "nope"], "no target is called 'nope'"),
        (["probe", "null"], "target 'null' has no probe"),
        (["probe", "tflite", "convolution"], "no kind of layer 'convolution' is probed; there are: linear, conv1d"),
        (["executorch", "tflite"], "name one target, or measure one"),
        (["executorch", "--out", "table.yaml"], "name one target, or measure one"),
    ],
)
def test_bad_words_get_one_sentence(names: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["targets", *names]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("version", "ends"), [("9.0", "coremltools 9.0"), ("8.3", "coremltools 8.3: measure it again (`sdk targets probe coreml`)")]
)
def test_a_table_of_other_versions_is_to_be_measured_again(
    version: str, ends: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_target("coreml").toolchain().missing:
        pytest.skip("coremltools is not installed")
    monkeypatch.setattr("sdk.lowering.tables.measured_with", lambda package: {"coremltools": version})
    assert run(["targets", "coreml"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("measured with"))
    assert line.endswith(ends)


@pytest.mark.slow
def test_what_is_measured_is_what_the_table_says(tmp_path: Path) -> None:
    out = tmp_path / "table.yaml"
    assert run(["targets", "probe", "executorch", "embedding", "--out", str(out)]) == 0
    found = yaml.safe_load(out.read_text(encoding="utf-8"))
    assert found["measured_with"] == dict(find_target("executorch").toolchain().packages)
    rows = found["capabilities"]
    known = {row.scheme: row.supported for row in find_target("executorch").capabilities() if "embedding" in row.kinds}
    assert len(rows) > 5
    for row in rows:  # how fast a scheme is differs from machine to machine, and with what else runs there
        assert row["supported"] == known[row["scheme"]] or "slower than float" in row["reason"], row
