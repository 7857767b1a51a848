"""Unlabelled inputs to train on, of the domain of an example's held-out inputs and disjoint from them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES

LEAST_SIDE, LARGEST_SIDE = 300, 640
SNIPPETS = "hutto_ICWSM_2014.tar.gz"
"""Inside `vaderSentiment`'s source distribution: reviews, editorials and short messages."""
FIRST = 60
"""News documents before this one are for judging."""


def photographs(folder: Path, count: int) -> list[tuple[Any, ...]]:
    """Return `count` random crops of the calibration's photographs and of the JPEG files under `folder`, taken in turn."""
    import numpy as np

    data = CASES["photo-classifier"].data
    pictures = [data._open(data._folder(package) / name) for package, names in data.CALIBRATION.items() for name in names]
    for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg") and not p.is_symlink()):
        picture = data._open(file)
        side = min(picture.size)
        if side >= LEAST_SIDE:
            if side > LARGEST_SIDE:
                picture.thumbnail(tuple(extent * LARGEST_SIDE // side for extent in picture.size))
            pictures.append(picture)
    random = np.random.default_rng(123)
    return [(data._tensor(data._random_crop(pictures[i % len(pictures)], random)),) for i in range(count)]


def texts(folder: Path, count: int) -> list[tuple[Any, ...]]:
    """Return `count` texts in random order: the Lee news documents, their first sentences, and snippets that nobody judges on."""
    import numpy as np

    data = CASES["sentence-encoder"].data
    judged = {_plain(line) for line in data._lines("pang_lee_polarity.cor")}
    news = [text for document in data._lines("lee_background.cor") for text in (document, data._sentence(document))]
    random = np.random.default_rng(123)
    others = [text for text in _snippets(folder) if len(text.split()) > 4 and _plain(text) not in judged]
    chosen = news + [others[i] for i in random.permutation(len(others))[: max(0, count - len(news))]]
    return [data.tokens(chosen[i]) for i in random.permutation(len(chosen))[:count]]


def news() -> list[str]:
    """Return the Lee news documents; those before FIRST are for judging."""
    place = find_spec("gensim")
    assert place is not None and place.origin is not None
    text = (Path(place.origin).parent / "test" / "test_data" / "lee_background.cor").read_text("utf-8")
    return [line for line in text.splitlines() if line.strip()]


def _snippets(folder: Path) -> Iterator[str]:
    with tarfile.open(next(folder.rglob(SNIPPETS))) as archive:
        for name in sorted(archive.getnames()):
            file = archive.extractfile(name) if name.endswith("GroundTruth.txt") else None
            for line in file.read().decode("utf-8", "replace").splitlines() if file is not None else ():
                yield line.split("\t")[-1].strip()


def _plain(text: str) -> str:
    return re.sub(r"[^a-z]+", " ", re.sub("__label__(neg|pos)", "", text.lower())).strip()
