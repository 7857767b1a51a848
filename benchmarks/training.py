"""Unlabelled inputs to train on, of the domain of an example's held-out inputs and disjoint from them."""

from __future__ import annotations

import html
import re
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES

LEAST_SIDE, LARGEST_SIDE = 300, 640
LEAST_CUT = 120
ALIKE = 6
"""Bits of the 64 of two pictures' fingerprints that may differ where they are one picture, cut or scaled."""
SHARE, HELD, CROPS = 8, 64, 3
"""Of how many photographs one is held out and one judged on; crops to choose by; crops of each that is judged."""
SNIPPETS = "hutto_ICWSM_2014.tar.gz"
"""Inside `vaderSentiment`'s source distribution: reviews, editorials and short messages."""
EDITORIALS = "nytEditorialSnippets_"
PARAGRAPH = re.compile(r"(?is)<(?:p|li|blockquote)[^>]*>(.*?)(?=</p>|</li>|<p|<li|</blockquote>|</body>)")
FIRST = 60
"""News documents before this one are for judging."""


def photographs(folder: Path, count: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return `count` random crops to train on, then HELD of other photographs to choose by; crops to judge on, of yet others.

    The photographs are the calibration's and the JPEG and WebP files under `folder`, taken in turn: of every SHARE files one
    is held out and one judged on. On half of what is trained lies a cut-out, a PNG or WebP file that can be seen through in
    part, so that few photographs show many things.
    """
    import numpy as np

    data = CASES["photo-classifier"].data
    calibrated = [data._open(data._folder(package) / name) for package, names in data.CALIBRATION.items() for name in names]
    random = np.random.default_rng(123)
    files = list(_photographs(folder))
    files = [files[i] for i in random.permutation(len(files))]
    held, judged = files[::SHARE], files[1::SHARE]
    trained = calibrated + [each for i, each in enumerate(files) if i % SHARE > 1]
    cut_outs, made = list(_cut_outs(folder)), []
    for i in range(count):
        crop = data._random_crop(trained[i % len(trained)], random)
        if i % 2 and cut_outs:
            crop = _pasted(crop, cut_outs[int(random.integers(len(cut_outs)))], random)
        made.append((data._tensor(crop),))
    made += [(data._tensor(data._random_crop(held[i % len(held)], random)),) for i in range(HELD if held else 0)]
    return made, [(data._tensor(data._random_crop(picture, random)),) for picture in judged for _ in range(CROPS)]


def _photographs(folder: Path) -> Iterator[Any]:
    """Photographs that are large enough, each once: what one trains on and another judges must not be the same picture."""
    data = CASES["photo-classifier"].data
    seen = [_fingerprint(data._open(file)) for file in sorted(data._folder("foolbox").glob("imagenet_*.jpg"))]
    for file in _files(folder, ".jpg", ".jpeg", ".webp"):
        if file.suffix == ".webp" and _is_cut_out(file):
            continue
        picture = data._open(file)
        side = min(picture.size)
        if side < LEAST_SIDE:
            continue
        if side > LARGEST_SIDE:
            picture.thumbnail(tuple(extent * LARGEST_SIDE // side for extent in picture.size))
        mark = _fingerprint(picture)
        if all((mark ^ other).bit_count() > ALIKE for other in seen):
            seen.append(mark)
            yield picture


def _fingerprint(picture: Any) -> int:
    """Which of 64 neighbours in a row is brighter (difference hash)."""
    import numpy as np

    grey = np.asarray(picture.convert("L").resize((9, 8)), dtype=np.int16)
    return int("".join("01"[int(each)] for each in (grey[:, 1:] > grey[:, :-1]).ravel()), 2)


def _cut_outs(folder: Path) -> Iterator[Any]:
    """Pictures with transparency, at least LEAST_CUT high and wide."""
    from PIL import Image

    for file in _files(folder, ".png", ".webp"):
        with Image.open(file) as picture:
            if _is_cut_out(file) and min(picture.size) >= LEAST_CUT and "mirror" not in file.name:
                yield picture.convert("RGBA")


def _is_cut_out(file: Path) -> bool:
    """Whether some of a picture can be seen through."""
    from PIL import Image

    with Image.open(file) as picture:
        return picture.mode in ("RGBA", "P", "LA") and picture.convert("RGBA").getextrema()[3][0] < 255


def _pasted(crop: Any, cut: Any, random: Any) -> Any:
    """The cut-out somewhere on the crop, its longer side half to all of it, mirrored half of the time."""
    from PIL import Image, ImageOps

    scale = random.uniform(0.5, 1.0) * crop.width / max(cut.size)
    cut = cut.resize(tuple(max(1, int(extent * scale)) for extent in cut.size), Image.Resampling.BICUBIC)
    cut = ImageOps.mirror(cut) if random.random() < 0.5 else cut
    place = tuple(int(random.integers(0, whole - part + 1)) for whole, part in zip(crop.size, cut.size, strict=True))
    crop = crop.copy()
    crop.paste(cut, place, cut)
    return crop


def _files(folder: Path, *endings: str) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.suffix.lower() in endings and not each.is_symlink())


def texts(folder: Path, count: int) -> list[tuple[Any, ...]]:
    """Return `count` texts in random order: the Lee news documents, their first sentences, and what else nobody judges on."""
    import numpy as np

    data = CASES["sentence-encoder"].data
    judged = {_plain(line) for line in data._lines("pang_lee_polarity.cor")}
    news = [text for document in data._lines("lee_background.cor") for text in (document, data._sentence(document))]
    random = np.random.default_rng(123)
    others = [text for text in (*_snippets(folder), *prose(folder)) if len(text.split()) > 4 and _plain(text) not in judged]
    chosen = news + [others[i] for i in random.permutation(len(others))[: max(0, count - len(news))]]
    return [data.tokens(chosen[i]) for i in random.permutation(len(chosen))[:count]]


def news() -> list[str]:
    """Return the Lee news documents; those before FIRST are for judging."""
    place = find_spec("gensim")
    assert place is not None and place.origin is not None
    text = (Path(place.origin).parent / "test" / "test_data" / "lee_background.cor").read_text("utf-8")
    return [line for line in text.splitlines() if line.strip()]


def documents(folder: Path, count: int) -> list[str]:
    """Return `count` texts in random order: news that nobody judges on, and sentences of editorials."""
    import numpy as np

    found = [text for text in (*news()[FIRST:], *_snippets(folder, EDITORIALS)) if len(text.split()) > 4]
    return [found[i] for i in np.random.default_rng(123).permutation(len(found))[:count]]


def prose(folder: Path) -> list[str]:
    """Return the paragraphs of Debian's anarchism and the sayings of the fortune files under `folder`.

    Not those of every HTML file: there are almost four times as many paragraphs in OpenCV's reference, which is no prose.
    """
    found = []
    for file in (each for each in _files(folder, ".html") if "anarchism" in each.parts):
        for paragraph in PARAGRAPH.findall(file.read_text("utf-8", "replace")):
            found.append(" ".join(html.unescape(re.sub(r"<[^>]+>", " ", paragraph)).split()))
    for file in (index.with_suffix("") for index in _files(folder, ".dat")):
        sayings = file.read_text("utf-8", "replace").split("\n%\n") if file.is_file() else []
        found += [" ".join(saying.split()) for saying in sayings]
    return found


def _snippets(folder: Path, kind: str = "") -> Iterator[str]:
    with tarfile.open(next(folder.rglob(SNIPPETS))) as archive:
        for name in sorted(archive.getnames()):
            file = archive.extractfile(name) if name.endswith(f"{kind}GroundTruth.txt") else None
            for line in file.read().decode("utf-8", "replace").splitlines() if file is not None else ():
                yield line.split("\t")[-1].strip()


def _plain(text: str) -> str:
    return re.sub(r"[^a-z]+", " ", re.sub("__label__(neg|pos)", "", text.lower())).strip()
