"""The report as data, JUnit XML, SARIF 2.1.0 and Markdown: the same lines in the words of each reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any
from xml.etree import ElementTree

from sdk.bundles import MANIFEST
from sdk.release.gate.judgement import VERDICTS, Judgement, Report
from sdk.release.gate.run import all_rules

SARIF = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"failed": "error", "warned": "warning", "unjudged": "note"}
_MARKS = {"failed": "❌ failed", "warned": "⚠️ changed", "unjudged": "➖ unjudged", "passed": "✅ passed"}


def as_data(report: Report) -> dict[str, Any]:
    """Return what `--json` prints."""
    counts = {verdict: report.count(verdict) for verdict in VERDICTS}
    head = {"bundle": report.candidate, "baseline": report.baseline, "ok": not report.failures, "counts": counts}
    return {**head, "judgements": [asdict(line) for line in report.judgements]}


def as_junit(report: Report) -> str:
    """Return JUnit XML: one test case per line; warnings pass with their sentence in `system-out`."""
    suite = ElementTree.Element(
        "testsuite", name=f"sdk gate {report.candidate}", tests=str(len(report.judgements)),
        failures=str(report.count("failed")), errors="0", skipped=str(report.count("unjudged")),
    )  # fmt: skip
    for line in report.judgements:
        case = ElementTree.SubElement(suite, "testcase", classname="sdk.gate", name=_printable(_name(line)))
        message = _printable(line.message)
        if line.verdict == "failed":
            ElementTree.SubElement(case, "failure", message=message, type=line.rule)
        elif line.verdict == "unjudged":
            ElementTree.SubElement(case, "skipped", message=message)
        else:
            ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def as_sarif(report: Report) -> str:
    """Return SARIF 2.1.0: a result for every line that did not pass, at the bundle's manifest."""
    rules = [
        {"id": f"gate/{rule.name}", "shortDescription": {"text": rule.help}, "defaultConfiguration": {"level": "error"}}
        for rule in all_rules()
    ]
    where = {"uri": (PurePath(report.candidate) / MANIFEST).as_posix()}
    results = [
        {
            "ruleId": f"gate/{line.rule}",
            "level": _LEVELS[line.verdict],
            "message": {"text": line.message},
            "locations": [{"physicalLocation": {"artifactLocation": where, "region": {"startLine": 1}}}],
            "partialFingerprints": {"snugfit/v1": _name(line)},
        }
        for line in report.judgements if line.verdict != "passed"
    ]  # fmt: skip
    driver = {"name": "sdk gate", "version": _version(), "rules": rules}
    document = {"$schema": SCHEMA, "version": SARIF, "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def as_markdown(report: Report) -> str:
    """Return the summary for a pull request: the verdict, what is wrong, and the rest folded away."""
    failed = report.count("failed")
    verdict = f"❌ {failed} of {len(report.judgements)} lines failed" if failed else "✅ passed"
    order = ("failed", "warned", "unjudged")
    loud = [line for verdict in order for line in report.judgements if line.verdict == verdict]
    quiet = [line for line in report.judgements if line.verdict == "passed"]
    parts = [f"### sdk gate: {verdict}\n\n`{report.candidate}` against `{report.baseline}`\n"]
    parts += [_table(loud)] if loud else []
    parts += [f"<details><summary>{len(quiet)} lines passed</summary>\n\n{_table(quiet)}\n</details>\n"] if quiet else []
    return "\n".join(parts)


WRITERS: dict[str, Callable[[Report], str]] = {"junit": as_junit, "sarif": as_sarif, "markdown": as_markdown}
"""Form of a report file → what writes it."""


def _table(lines: list[Judgement]) -> str:
    rows = "".join(f"| {_MARKS[line.verdict]} | {line.rule} | {_cell(line.message)} |\n" for line in lines)
    return f"| | rule | |\n|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())


def _name(line: Judgement) -> str:
    return f"{line.rule} {line.subject}".rstrip()


def _printable(text: str) -> str:
    """XML 1.0 holds no control characters."""
    return "".join(each if each.isprintable() or each in "\t\n" else "�" for each in text)


def _version() -> str:
    try:
        return version("snugfit")
    except PackageNotFoundError:
        return "unknown"
