"""Pages of text drawn with Pillow's own font and turned by a known angle: labelled and free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

SIDE = 224
ANGLES = (0, 90, 180, 270)
"""Clockwise turn of the page in degrees, in the order of the model's classes."""
TEXT = """
the of and to in is that for on with as by this are from at an be which or report total invoice date number
amount page table figure network market annual quarter report customer delivery address service general
agreement between company results shall section chapter history language water energy system method value
people country government public school health question answer morning evening winter summer river mountain
"""
WORDS = TEXT.split()
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def calibration() -> Iterator[tuple[Any, ...]]:
    """Yield 64 inputs, each a tuple of one float32 tensor `[1, 3, 224, 224]`; the same ones every time."""
    for page, _ in _pages(64, seed=3):
        yield (page,)


@cache
def held_out(count: int = 80) -> tuple[tuple[Any, ...], ...]:
    """Return `count` unseen inputs; every angle is equally frequent."""
    return tuple((page,) for page, _ in _pages(count, seed=1009))


def metric(run: Callable[..., Any]) -> float:
    """Return the share (0..1) of 40 unseen pages whose turn `run` finds."""
    import torch

    pages = _pages(40, seed=2027)
    hits = [int(torch.as_tensor(_first(run(page))).argmax()) == label for page, label in pages]
    return sum(hits) / len(hits)


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


@cache
def _pages(count: int, seed: int) -> tuple[tuple[Any, int], ...]:
    """Draw pages: (tensor `[1, 3, 224, 224]`, index into `ANGLES`)."""
    import numpy as np

    random = np.random.default_rng(seed)
    return tuple((_tensor(_draw(random).rotate(-ANGLES[i % 4], expand=True)), i % 4) for i in range(count))


def _draw(random: Any) -> Any:
    """Draw an upright A4-like page: tinted paper, a heading, paragraphs of random words, a little noise."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    width, height = (int(random.integers(500, 700)), int(random.integers(500, 900)))
    paper = tuple(int(tone) for tone in random.integers(215, 256, 3))
    ink = tuple(int(tone) for tone in random.integers(0, 90, 3))
    page = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(page)
    size = int(random.integers(16, 30))
    margin, y = int(random.integers(20, 60)), int(random.integers(20, 60))
    pen.text((margin, y), _line(random, 3).title(), ink, ImageFont.load_default(int(size * 1.6)))
    y += int(size * 2.8)
    while y < height - margin:
        count = max(2, (width - 2 * margin) // (size * 3)) if random.random() > 0.15 else 1
        pen.text((margin, y), _line(random, count), ink, ImageFont.load_default(size))
        y += int(size * (1.4 if random.random() > 0.12 else 2.6))
    noisy = np.asarray(page, dtype=np.float32) + random.normal(0, random.uniform(0, 6), (height, width, 1))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _line(random: Any, count: int) -> str:
    return " ".join(WORDS[index] for index in random.integers(0, len(WORDS), count))


def _tensor(page: Any) -> Any:
    """Prepare a page as the published model does: shorter side to 256, middle 224, normalised."""
    import numpy as np
    import torch
    from PIL import Image

    side = min(page.size) * SIDE / 256
    left, top = (page.width - side) / 2, (page.height - side) / 2
    box = (left, top, left + side, top + side)
    cut = page.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box)
    pixels = (np.asarray(cut, dtype=np.float32) / 255 - MEAN) / DEVIATION
    return torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)[None].copy())
