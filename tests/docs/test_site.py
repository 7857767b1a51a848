"""The documentation site builds without a warning, holds every profile, scheme and target, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.devices import list_devices
from sdk.lowering.discovery import list_targets
from sdk.schemes import all_schemes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages and all((site / page).is_file() for page in pages)
    assert "sdk package --device pixel8" in (site / "index.html").read_text()


def test_the_tables_hold_everything(site: Path) -> None:
    held = {
        "devices": [profile.title for profile in list_devices()],
        "schemes": list(all_schemes()),
        "capabilities": [target.name for target in list_targets()],
    }
    for page, names in held.items():
        text = (site / "tables" / f"{page}.html").read_text()
        assert not [name for name in names if name not in text]


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loads = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?:[^\" >]+)", page.read_text())
        assert not [url for url in loads if "canonical" not in url], page
