"""Telephone prompts that Debian packages hold, mixed with noise, as the detector meets them: chunk by chunk, with its own state.

The recordings are read from `/usr/share/asterisk/sounds`, or from the folder that `ASTERISK_SOUNDS` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

CALIBRATION = ("en_US_f_*", "ru_RU_f_*")
UNSEEN = ("fr_CA_f_*", "it_IT_m_*")
"""Voices to calibrate with, and others to judge on; they share no prompt either."""
LEVELS = (40.0, 20.0, 10.0, 5.0, 0.0)
"""Speech above noise in dB, one after another."""
SECONDS = (1.5, 8.0)
"""Length of the prompts that are taken."""
LOUD, PAUSE = 0.02, 2
"""Root mean square of a clean chunk that counts as speech, the loudest sample of the prompt being 0.5, as do `PAUSE` chunks on
either side of it."""


def calibration() -> Iterator[tuple[Any, ...]]:
    """Yield 256 inputs (audio float32 `[1, 576]`, state float32 `[2, 1, 128]`); the same ones every time.

    States are those that the float model has reached when it hears the chunk.
    """
    yield from _spread(_inputs(CALIBRATION, 0, count=16), 256)


@cache
def held_out(count: int = 200) -> tuple[tuple[Any, ...], ...]:
    """Return `count` inputs with unseen voices and unseen prompts."""
    return tuple(_spread(_inputs(UNSEEN, 1, count=16), count))


def metric(run: Callable[..., Any]) -> float:
    """Return the area under the ROC curve (0..1) of `run` over unseen prompts, carrying its own state from chunk to chunk."""
    import numpy as np
    import torch
    from scipy.stats import rankdata

    scores, labels = list[float](), list[bool]()
    for audio, loud in _streams(UNSEEN, 1, count=10):
        state = torch.zeros(2, 1, 128)
        for chunk in audio:
            probabilities, state = (torch.as_tensor(np.asarray(value)) for value in run(chunk, state))
            scores.append(float(probabilities[0, 1]))
        labels += loud
    marked = np.asarray(labels)
    positive, negative = int(marked.sum()), int((~marked).sum())
    return float((rankdata(scores)[marked].sum() - positive * (positive + 1) / 2) / (positive * negative))


def sounds() -> Path:
    """Return the folder of the recordings; FileNotFoundError where one of the voices is missing."""
    place = Path(os.environ.get("ASTERISK_SOUNDS", "/usr/share/asterisk/sounds"))
    missing = [voice for voice in (*CALIBRATION, *UNSEEN) if not any(place.glob(voice))]
    if missing:
        raise FileNotFoundError(f"{place} lacks {', '.join(missing)}: see examples/voice-activity/README.md")
    return place


def _spread(inputs: Sequence[Any], count: int) -> list[Any]:
    """Return `count` of the inputs, evenly picked."""
    return [inputs[i * len(inputs) // count] for i in range(count)]


@cache
def _inputs(voices: tuple[str, ...], part: int, count: int) -> list[tuple[Any, ...]]:
    """Every chunk of the streams with the float model's state before it."""
    import torch

    model, (_, silent) = _model()
    found = []
    with torch.no_grad():
        for audio, _ in _streams(voices, part, count):
            state = silent
            for chunk in audio:
                found.append((chunk, state))
                _, state = model(chunk, state)
    return found


@cache
def _model() -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("voice_activity_model", Path(__file__).with_name("model.py"))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.detector()


@cache
def _streams(voices: tuple[str, ...], part: int, count: int) -> tuple[tuple[list[Any], list[bool]], ...]:
    """`count` prompts of one half of all: (chunks float32 `[1, 576]`, whether each has speech)."""
    import numpy as np

    random = np.random.default_rng(17 + part)
    per_voice = [_prompts(voice, part) for voice in voices]
    made = []
    for index in range(count):
        prompts = per_voice[index % len(voices)]
        clean = _open(prompts[int(random.integers(len(prompts)))])
        made.append(_chunks(clean, clean + _noise(clean, LEVELS[index // len(voices) % len(LEVELS)], random)))
    return tuple(made)


def _prompts(voice: str, part: int) -> list[Path]:
    """A voice's prompts of a middling length whose names come in even (part 0) or odd places of all names."""
    place = sounds()
    names = sorted({file.name for each in (*CALIBRATION, *UNSEEN) for file in place.glob(f"{each}/*.wav")})
    own = next(place.glob(voice))
    files = [own / name for name in names[part::2]]
    lengths = tuple(44 + seconds * 16000 for seconds in SECONDS)
    return [file for file in files if file.is_file() and lengths[0] <= file.stat().st_size <= lengths[1]]


def _open(file: Path) -> Any:
    """Read a recording of 8 kHz at 16 kHz, its loudest sample 0.5, with half a second of silence at either end."""
    import wave

    import numpy as np
    from scipy.signal import resample_poly

    with wave.open(str(file)) as recording:
        if (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) != (8000, 1, 2):
            raise ValueError(f"{file}: not 16 bit, mono, 8 kHz")
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(np.float64)
    wide = resample_poly(samples, 2, 1)
    return np.pad(wide / max(float(np.abs(wide).max()), 1.0) / 2, 8000)


def _noise(clean: Any, level: float, random: Any) -> Any:
    """Noise between white and pink whose power is `level` dB below that of the speech."""
    import numpy as np

    spectrum = np.fft.rfft(random.normal(size=len(clean)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 50) ** random.uniform(0, 0.5)
    noise = np.fft.irfft(spectrum, len(clean))
    return noise * np.sqrt(np.square(clean).mean() / np.square(noise).mean()) * 10 ** (-level / 20)


def _chunks(clean: Any, heard: Any) -> tuple[list[Any], list[bool]]:
    import numpy as np
    import torch
    from scipy.ndimage import maximum_filter1d

    wide = np.pad(heard, (64, 0)).astype(np.float32)
    starts = range(0, len(heard) - 511, 512)
    loud = [np.sqrt(np.square(clean[at : at + 512]).mean()) > LOUD for at in starts]
    return (
        [torch.from_numpy(wide[None, at : at + 576].copy()) for at in starts],
        [bool(each) for each in maximum_filter1d(loud, 2 * PAUSE + 1)],
    )
