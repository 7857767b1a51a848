"""How a command is written down in a bundle: the same on every machine."""

from __future__ import annotations

import os


def without_place(word: str) -> str:
    """Return a word of a command line without absolute paths: relative to here, or the file's name alone."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    head, colon, attribute = value.rpartition(":")
    path, tail = (head, colon + attribute) if os.path.isabs(head) else (value, "")
    if not os.path.isabs(path):
        return word
    inside = os.path.relpath(path)
    return option + equals + (os.path.basename(path) if inside.startswith("..") else inside) + tail
