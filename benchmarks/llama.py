"""llama.cpp as a rival for language models: quantizes a GGUF in its own formats, reads text and writes with it.

Needs llama-cpp-python (`pip install llama-cpp-python`, which builds from source), which the project does not depend on.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

THREADS = os.cpu_count() or 1
"""All cores, as everything that it is compared with: its Python package takes half of them by itself."""
FORMATS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q8_0")
"""The quantizations that are compared, as llama.cpp calls them."""


def quantize(source: Path, name: str, folder: Path) -> Path:
    """Return the file of `source` in the format `name`, made by llama.cpp where `folder` does not hold it."""
    import llama_cpp

    made = folder / f"{source.stem}-{name}.gguf"
    if not made.exists():
        wanted = llama_cpp.llama_model_quantize_default_params()
        wanted.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
        wanted.allow_requantize = True
        if llama_cpp.llama_model_quantize(str(source).encode(), str(made).encode(), wanted) != 0:
            raise RuntimeError(f"llama.cpp refused {name} of {source.name}")
    return made


def read(path: Path, held: list[Any]) -> list[Any]:
    """Logits [1, n, vocabulary] (float32) of every window of tokens [1, n]."""
    import numpy as np

    model = _opened(path)
    found = []
    for tokens in held:
        model.reset()
        model.eval(tokens[0].tolist())
        found.append(np.array(model.scores[: tokens.shape[1]], dtype=np.float32)[None])
    return found


def speed(path: Path, prompt: str, count: int) -> float:
    """Tokens per second of writing `count` tokens behind `prompt`, the most likely one each time."""
    model = _opened(path)
    model.eval(model.tokenize(prompt.encode()))
    began = time.perf_counter()
    for _ in range(count):
        model.eval([int(model.scores[model.n_tokens - 1].argmax())])
    return count / (time.perf_counter() - began)


def _opened(path: Path) -> Any:
    import llama_cpp

    return llama_cpp.Llama(str(path), n_ctx=512, n_threads=THREADS, n_threads_batch=THREADS, logits_all=True, verbose=False)
