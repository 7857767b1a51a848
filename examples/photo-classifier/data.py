"""Photographs that pip installs: one set to calibrate with, another to judge on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SIDE = 224
CROPS = 4
CALIBRATION = {
    "skimage": (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png",
        "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png",
        "retina.jpg", "rocket.jpg",
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}
"""Package → its photographs; screenshots, drawings, pages and masks are left out."""
FOLDERS = {"skimage": "data", "sklearn": "datasets/images", "foolbox": "data"}


def calibration() -> Iterator[tuple[Any, ...]]:
    """Yield 64 inputs, each a tuple of one float32 tensor `[1, 3, 224, 224]`; the same ones every time."""
    import numpy as np

    random = np.random.default_rng(7)
    for package, names in CALIBRATION.items():
        for name in names:
            picture = _open(_folder(package) / name)
            for _ in range(CROPS):
                yield (_tensor(_random_crop(picture, random)),)


@cache
def labelled() -> tuple[tuple[Any, int], ...]:
    """Return foolbox's 20 ImageNet pictures, not calibrated on: (tensor `[1, 3, 224, 224]`, class)."""
    files = sorted(_folder("foolbox").glob("imagenet_*.jpg"))
    return tuple((_tensor(_centre(_open(file))), int(file.stem.split("_")[-1])) for file in files)


@cache
def held_out(crops: int = 6) -> tuple[tuple[Any, ...], ...]:
    """Return `20 * crops` unseen inputs: the centre of each labelled picture and `crops - 1` random parts."""
    import numpy as np

    random = np.random.default_rng(11)
    files = sorted(_folder("foolbox").glob("imagenet_*.jpg"))
    inputs = []
    for picture in map(_open, files):
        inputs.append((_tensor(_centre(picture)),))
        inputs += [(_tensor(_random_crop(picture, random)),) for _ in range(crops - 1)]
    return tuple(inputs)


def metric(run: Callable[..., Any]) -> float:
    """Return the share of the labelled pictures, each also mirrored, whose class `run` ranks first (0..1)."""
    import torch

    hits = 0
    for picture, label in labelled():
        for view in (picture, picture.flip(-1)):
            hits += int(torch.as_tensor(_first(run(view))).argmax()) == label
    return hits / (2 * len(labelled()))


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


def _folder(package: str) -> Path:
    """Locate an installed package's pictures without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is missing: pip install -r examples/requirements.txt")
    return Path(spec.submodule_search_locations[0]) / FOLDERS[package]


def _open(file: Path) -> Any:
    from PIL import Image

    with Image.open(file) as picture:
        return picture.convert("RGB")


def _centre(picture: Any) -> Any:
    """Cut the largest square whose border is 1/8 of the shorter side, as ImageNet is evaluated."""
    from PIL import Image

    side = round(min(picture.size) * 0.875)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def _random_crop(picture: Any, random: Any) -> Any:
    """Cut a random square of 50 to 100 % of the shorter side, mirrored half of the time."""
    from PIL import Image, ImageOps

    side = int(min(picture.size) * random.uniform(0.5, 1.0))
    left = int(random.integers(0, picture.width - side + 1))
    top = int(random.integers(0, picture.height - side + 1))
    crop = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return ImageOps.mirror(crop) if random.random() < 0.5 else crop


def _tensor(picture: Any) -> Any:
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.array(picture, dtype=np.float32))
    return ((pixels - 127.0) / 128.0).permute(2, 0, 1).unsqueeze(0).contiguous()
