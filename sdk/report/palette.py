"""The colours of page and charts in both themes: few, told apart by colour-blind readers, readable on their ground."""

from __future__ import annotations

LIGHT = {
    "ground": "#f6f7f9", "surface": "#ffffff", "ink": "#1a1f26", "muted": "#59636e", "line": "#d5dae1", "grid": "#e4e8ed",
    "accent": "#0063a8", "second": "#c04a00", "good": "#00714f", "bad": "#b3261e",
    "k0": "#0072b2", "k1": "#c75300", "k2": "#00845f", "k3": "#a8457f", "k4": "#8f6400", "k5": "#5e6ad2",
}  # fmt: skip
DARK = {
    "ground": "#0f1317", "surface": "#181d23", "ink": "#e8ebef", "muted": "#a3adb8", "line": "#343c46", "grid": "#2a313a",
    "accent": "#62b5f5", "second": "#ff9a5c", "good": "#4fd0a0", "bad": "#ff8b80",
    "k0": "#4db1e8", "k1": "#ff8f4f", "k2": "#3cc79a", "k3": "#e79ac6", "k4": "#e9bd55", "k5": "#a3adff",
}  # fmt: skip


def themes() -> str:
    """Return the CSS variables: the reader's system decides, and the page's switch (`data-theme`) wins over it."""
    light, dark = _block(LIGHT), _block(DARK)
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
    )


def alone() -> str:
    """Return the CSS of a drawing that is a file of its own: both themes, on a ground."""
    return (
        f":root{{{_block(LIGHT)}background:var(--surface)}}"
        f"@media (prefers-color-scheme:dark){{:root{{{_block(DARK)}}}}}"
    )


def _block(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())
