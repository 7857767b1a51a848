"""The report's numbers are those of the bundle in every form, and what a model brings cannot become markup."""

from __future__ import annotations

import csv
import html.parser
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.bundles import Bundle
from sdk.check import CheckResult, write_result
from sdk.cli.main import run
from sdk.report import build_report, markdown
from sdk.report import html as page_of
from sdk.report.latency import histogram
from sdk.report.numbers import shown

pytestmark = pytest.mark.usefixtures("quiet")


class Page(html.parser.HTMLParser):
    """Tags, the numbers with their places, and the text of every element with an id or a script's."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.numbers: list[tuple[str, str]] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if "data-key" in found:
            self.numbers.append((str(found["data-key"]), str(found["value"])))
        self.addresses += [str(found[name]) for name in ("src", "href", "action", "srcset") if name in found]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


@pytest.fixture(scope="module")
def deep_page(deep: Bundle) -> str:
    return page_of(build_report([deep.path]))


def at(data: Any, key: str) -> Any:
    for step in key.split("."):
        data = data[int(step)] if isinstance(data, list) else data[step]
    return data


def test_every_number_of_the_page_is_that_of_json(
    bundle: Bundle, make_check: Callable[..., CheckResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_result(make_check(bundle), tmp_path / "check.json")
    words = ["report", str(bundle.path), str(bundle.path), "--check", str(tmp_path / "check.json")]
    assert run([*words, "--out", str(tmp_path / "report.html"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    page = Page((tmp_path / "report.html").read_text())
    assert json.loads(page.scripts[0]) == data
    assert len(page.numbers) > 150
    for key, value in page.numbers:
        assert float(value) == at(data, key), key
    manifest = bundle.manifest
    assert data["bundles"][0]["size"]["measured"]["value"] == manifest.artifact.bytes
    assert data["bundles"][0]["quality"]["measured"] == {"value": manifest.measured.loss.value, "unit": "nats", "origin": "host"}
    checked = data["bundles"][0]["checks"][0]
    assert sum(each["runs"] for each in checked["bins"]) + checked["beyond"] == 1200
    assert [(each["name"], each["ms"], each["outside"]) for each in checked["executed"]] == [
        ("Softmax", 3.0, False), ("CUMSUM", 0.9, True),
    ]  # fmt: skip
    assert "| CUMSUM | LiteRT, fell back | 1 | 0.9 ms | 23.1 % |" in markdown(
        build_report([bundle.path], [tmp_path / "check.json"])
    )


def test_the_file_needs_nothing_else_and_is_small(deep_page: str) -> None:
    page = Page(deep_page)
    assert len(deep_page.encode()) < 2_000_000
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.search(r"url\(|@import|//[a-z]+\.[a-z]", deep_page.replace("//www.w3.org/2000/svg", ""))
    assert "default-src &#39;none&#39;" in deep_page


def test_names_of_layers_stay_text(deep_page: str, deep: Bundle, hostile: tuple[str, ...]) -> None:
    page = Page(deep_page)
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert json.loads(page.scripts[0])["bundles"][0]["layers"][0]["name"] == hostile[0]
    text = markdown(build_report([deep.path]))
    rows = [line for line in text.splitlines() if re.match(r"\| [1-5] \|", line)]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 9 for row in rows), "a name may not add a column"
    assert "| `{{ 7 * 7 }}` |" in text and "| `<img src=x onerror=alert(1)>` |" in text


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle) -> None:
    assert page_of(build_report([bundle.path])) == page_of(build_report([bundle.path]))


def test_what_is_not_known_is_said(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(bundle.path)]) == 0
    shown_text = capsys.readouterr().out
    assert shown_text.startswith("Fits This machine: ") and "Not timed yet" in shown_text and "[host]" in shown_text
    assert "not timed" in markdown(build_report([bundle.path]))


def test_a_check_of_something_else_is_refused(
    bundle: Bundle, make_check: Callable[..., CheckResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_check(bundle)
    other = result.model_copy(update={"bundle": result.bundle.model_copy(update={"artifact_sha256": "ab"})})
    write_result(other, tmp_path / "check.json")
    assert run(["report", str(bundle.path), "--check", str(tmp_path / "check.json")]) == 2
    assert "is a check of another artifact" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["--out", "report.pdf"], "ends with neither .html nor .md"),
    (["--out", "mine.html"], "exists and was not written by this command"),
    (["--out", "no/such/report.html"], "is not a writable directory"),
    (["--check", "mine.html"], "is not JSON"),
])  # fmt: skip
def test_bad_places_are_refused(
    words: list[str], message: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.html").write_text("somebody's")
    assert run(["report", str(bundle.path), *words]) == 2
    assert message in capsys.readouterr().err
    assert Path("mine.html").read_text() == "somebody's" and len(list(tmp_path.iterdir())) == 1


def test_a_damaged_bundle_is_no_report(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle.path, damaged)
    artifact = damaged / bundle.manifest.artifact.path
    artifact.write_bytes(artifact.read_bytes()[:-1])
    assert run(["report", str(damaged), "--out", str(tmp_path / "report.md")]) == 1
    assert "were written" in capsys.readouterr().err and not (tmp_path / "report.md").exists()


def test_without_the_drawing_library_the_mend_is_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sdk.report.charts.drawing.find_spec", lambda _: None)
    assert run(["report", str(bundle.path), "--out", str(tmp_path / "report.html")]) == 3
    assert "pip install 'snugfit[report]'" in capsys.readouterr().err
    assert run(["report", str(bundle.path), "--out", str(tmp_path / "report.md")]) == 0


def test_the_front_is_written_as_csv_and_picture(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--pareto", "front.csv", "--json"]) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    with Path("front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["bytes"]) for row in rows] == [point["bytes"] for point in front["points"]]
    assert [row["knee"] for row in rows].count("1") == 1
    assert Path("front.svg").read_text().startswith("<svg") and "<script" not in Path("front.svg").read_text()
    assert run(["plan", "--pareto", "front.csv"]) == 0, "a front may be replaced by a front"
    assert "Kneedle" in capsys.readouterr().out
    Path("mine.csv").write_text("a,b\n")
    for words in (["--pareto", "front.txt"], ["--pareto", "mine.csv"], ["--pareto", "f.csv", "--device", "pixel8,host"]):
        assert run(["plan", *words]) == 2


def test_a_bundle_keeps_the_front_that_its_plan_lies_on(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.front[0].bytes < manifest.artifact.bytes < manifest.front[-1].bytes
    below = max((each for each in manifest.front if each.bytes <= manifest.predicted.artifact_bytes.value), key=lambda e: e.bytes)
    above = min((each for each in manifest.front if each.bytes >= manifest.predicted.artifact_bytes.value), key=lambda e: e.bytes)
    assert above.loss <= manifest.predicted.loss.value <= below.loss


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=400))
def test_a_histogram_loses_no_run(samples: list[float]) -> None:
    samples.sort()
    bins, beyond = histogram(samples)
    assert sum(each.runs for each in bins) + beyond == len(samples)
    assert all(each.low <= each.high for each in bins)


@pytest.mark.parametrize(("value", "unit", "text"), [
    (4_950_000, "bytes", "4.95 MB"), (0.00612, "nats", "0.00612 nats"), (1.25e-7, "", "1.2e-7"), (0.998, "share", "99.8 %"),
    (1234, "", "1,234"), (None, "ms", "not known"), (12.34, "ms", "12.3 ms"), (0.0, "", "0"), (123456.7, "", "123,457"),
])  # fmt: skip
def test_numbers_have_the_digits_that_mean_something(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text
