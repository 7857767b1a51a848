"""Hooks of the documentation site: pages that are made from README, profiles, schemes and capability tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Any, config: Any) -> Any:
    """Add the start page and the generated tables to the pages under docs/."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Show links to files of the repository that are no pages as their names."""
    here = (Path(config["docs_dir"]) / page.file.src_uri).parent
    return re.sub(r"\[([^\]]+)\]\(([^)#:\s]+)(#[^)]*)?\)", lambda match: _link(match, here, Path(config["docs_dir"])), markdown)


def _link(match: re.Match[str], here: Path, docs: Path) -> str:
    outside = not (here / match[2]).resolve().is_relative_to(docs)
    return f"{match[1]} (`{(here / match[2]).resolve().relative_to(ROOT)}`)" if outside else match[0]


def index() -> str:
    """README as the start page."""
    text = (ROOT / "README.md").read_text("utf-8")
    moved = {"](docs/benchmarks/)": "](benchmarks/rivals.md)", "](docs/": "](", "](examples/)": "](../examples/)"}
    for old, new in moved.items():
        text = text.replace(old, new)
    return text


def devices() -> str:
    """Every profile that is shipped."""
    from sdk.devices import list_devices

    rows = []
    for each in list_devices():
        floor = f" {each.os.floor.value:g}" if each.os.floor else ""
        memory = [f"{fact.value / 2**30:.3g} GiB" if fact else "" for fact in (each.ram, each.app_memory)]
        rows.append((f"`{each.name}`", each.title, each.soc.name.value, *memory, each.os.name + floor, ", ".join(each.targets)))
    head = ("name", "device", "chip", "RAM", "for an app", "OS at least", "targets")
    return _page("Devices that are shipped", "`sdk devices show NAME` gives the source of every number.", head, rows)


def schemes() -> str:
    """Every scheme with its data."""
    from sdk.schemes import all_schemes

    rows = [
        (f"`{s.name}`", s.bits, s.format, f"{s.granularity} {s.group or ''}".strip(), s.activations, s.summary)
        for s in all_schemes().values()
    ]
    head = ("scheme", "bits", "format", "scale or table per", "activations", "")
    return _page("All schemes", "What a scheme is, and how to add one: [Schemes](schemes.md).", head, rows)


def capabilities() -> str:
    """The measured tables of all targets."""
    from sdk.lowering.discovery import list_targets
    from sdk.lowering.tables import measured_with

    parts = ["# What each target runs\n\nMeasured on the real runtime; `sdk targets NAME` prints the same. What runs on an\n"
             "accelerator beyond the CPU is documented, not measured: [Accelerators](../accelerators.md).\n"]
    head = ("layers", "scheme", "runs", "relative error", "speed against float", "OS at least", "why")
    for target in list_targets():
        rows = [
            (", ".join(row.kinds), f"`{row.scheme}`", "yes" if row.supported else "no", _number(row.relative_error, ".1e"),
             _number(row.speed, ".2f"), _number(row.min_os, "g"), row.reason)
            for row in target.capabilities()
        ]  # fmt: skip
        versions = ", ".join(f"{name} {version}" for name, version in measured_with(f"targets.{target.name}").items())
        parts.append(f"## {target.name}\n\n{f'With {versions}.' if versions else ''}\n\n{_table(head, rows)}")
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "index.md": index, "tables/devices.md": devices, "tables/schemes.md": schemes, "tables/capabilities.md": capabilities,
}  # fmt: skip
"""Path under docs/ → what makes the page."""


def _page(title: str, said: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    said = said.replace("](schemes.md)", "](../schemes.md)")
    return f"# {title}\n\n{said}\n\n{_table(head, rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
