"""The page in headless Chromium: phone and desktop, light and dark, by keyboard, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdk.bundles import Bundle
from sdk.check import CheckResult, write_result
from sdk.report import build_report, html

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install --group dev")
pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]  # fmt: skip

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-renderer-backgrounding"]  # fmt: skip
SIZES = {"phone": (360, 740), "desktop": (1280, 900)}
LOOKS = [(size, theme) for size in SIZES for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(bundle: Bundle, deep: Bundle, make_check: Callable[..., CheckResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two bundles, one of 200 layers with hostile names, and a check."""
    folder = tmp_path_factory.mktemp("page")
    write_result(make_check(bundle), folder / "check.json")
    (folder / "report.html").write_text(html(build_report([bundle.path, deep.path], [folder / "check.json"])), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Open the page and fail at the end if it said something on the console or asked for anything."""
    contexts, noise = [], []

    def opened(size: str = "desktop", theme: str = "light") -> Any:
        width, height = SIZES[size]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce")
        context.set_default_timeout(300_000)  # on a machine that does much else
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("request", lambda request: noise.append(request.url) if request.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert noise == []


@pytest.mark.parametrize(("size", "theme"), LOOKS)
def test_it_fits_and_is_accessible(size: str, theme: str, visit: Callable[..., Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(size, theme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], "nothing sticks out"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 23)"
    assert dark == (theme == "dark")
    drawn = page.locator(".chart > div:visible svg")
    assert drawn.count() >= 9 and all(drawn.nth(i).bounding_box()["width"] > 200 for i in range(drawn.count()))
    repeated = {"exclude": [[".chart svg"], ["#bundle-1 tbody tr:nth-child(n + 8)"]]}  # a row more says nothing more
    violations = Axe().run(page, context=repeated).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in violations] == []


def test_it_is_used_by_keyboard_alone(visit: Callable[..., Any]) -> None:
    page = visit()
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "summary"
    page.keyboard.press("Tab")
    seen = set()
    for _ in range(400):
        seen.add(page.evaluate(f"{focused}.tagName"))
        name = page.evaluate(f"{focused}.textContent.trim()")
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none", f"the focus on {name!r} is not seen"
        if name.startswith("Table of all 200"):
            break
        page.keyboard.press("Tab")
    assert {"BUTTON", "SUMMARY", "DIV", "A"} <= seen
    page.keyboard.press("Enter")
    table = page.locator("#layers-1 table")
    assert table.is_visible()
    while page.evaluate(f"{focused}.textContent.trim()") != "Bytes":
        page.keyboard.press("Tab")
    for order in ("descending", "ascending"):
        page.keyboard.press("Enter")
        assert table.locator("th", has_text="Bytes").get_attribute("aria-sort") == order
        cells = table.locator("tbody tr td:nth-child(6) data").evaluate_all("all => all.map(each => Number(each.value))")
        assert cells == sorted(cells, reverse=order == "descending") and len(cells) == 200


def test_the_theme_is_switched_by_hand(visit: Callable[..., Any]) -> None:
    page = visit("desktop", "light")
    ground = "getComputedStyle(document.body).backgroundColor"
    button = page.locator("#theme")
    seen = []
    for _ in range(3):
        button.press("Enter")
        seen.append((button.inner_text(), page.evaluate(ground)))
    assert [text for text, _ in seen] == ["Theme: light", "Theme: dark", "Theme: system"]
    assert seen[0][1] == seen[2][1] != seen[1][1]


def test_a_print_is_light_and_unfolded(visit: Callable[..., Any]) -> None:
    page = visit("desktop", "dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#layers-1 table").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#layers-1 table").is_visible() or page.evaluate("CSS.supports('selector(::details-content)')")
