"""Makes the pictures, the front and its transcript on docs/report.md, of one example: `python -m benchmarks.pictures`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cases import EXAMPLES, ROOT

DOCS = ROOT / "docs"
APP = EXAMPLES / "photo-classifier"
SIZES = {"phone": (390, 1500), "desktop": (1100, 1500)}
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
COMMAND = ("plan", "--device", "pixel8", "--target", "tflite", "--pareto", "front.csv")


def sdk(*words: str) -> str:
    """Run the command in the example's folder and return what it says."""
    command = [sys.executable, "-W", "ignore", "-m", "sdk.cli", *words]
    return subprocess.run(command, cwd=APP, check=True, stdout=subprocess.PIPE, text=True).stdout


def report(folder: Path) -> Path:
    """Package, check and report the example; returns the page."""
    bundle, check, page = folder / "bundle", folder / "check.json", folder / "report.html"
    sdk("package", "--device", "pixel8", "--target", "tflite", "--out", str(bundle))
    sdk("check", str(bundle), "--on", "local", "--out", str(check))
    sdk("report", str(bundle), "--check", str(check), "--out", str(page))
    return page


def photograph(page: Path) -> None:
    """Take the four pictures of the report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        for name, (width, height) in SIZES.items():
            for theme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                shown = context.new_page()
                shown.goto(page.as_uri())
                shown.screenshot(path=DOCS / f"report-{name}-{theme}.png")
                context.close()
        browser.close()


def front(folder: Path) -> None:
    """Write the front's table, picture and transcript."""
    said = sdk(*COMMAND[:-1], str(folder / "front.csv"))
    for name in ("front.csv", "front.svg"):
        shutil.copyfile(folder / name, DOCS / name)
    lines = [line.rstrip().replace(f"{folder}/", "") for line in said.splitlines()]
    block = "\n".join(f"    {line}".rstrip() for line in (f"$ sdk {' '.join(COMMAND)}", *lines))
    page = DOCS / "report.md"
    text = page.read_text("utf-8")
    found = re.search(r"    \$ sdk plan [^\n]*--pareto.*?(?=\n\n!\[)", text, re.S)
    assert found is not None
    page.write_text(text[: found.start()] + block.rstrip() + text[found.end() :], "utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photograph(report(Path(folder)))
        front(Path(folder))


if __name__ == "__main__":
    main()
