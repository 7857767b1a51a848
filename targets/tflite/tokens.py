"""Executes a `.litertlm` file as LiteRT-LM does: a prompt by prefill, then token by token, over one cache of keys and values."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed, Missing
from sdk.heap import give_back_large_blocks
from sdk.lowering.types import Arrays
from targets.tflite.checks import checked_bytes
from targets.tflite.container import unpack
from targets.tflite.decoding import CACHE, DECODE, HIDDEN
from targets.tflite.run import THREADS
from targets.tflite.silence import silence


class TokenFile:
    """A loaded language model; `run` reads a whole window from position 0, `step` some tokens more."""

    origin = "host"

    def __init__(self, session: Session, runtime: str) -> None:
        self.runtime = runtime
        self._held = [session]
        weakref.finalize(self, _release, self._held)

    def run(self, inputs: Arrays) -> Arrays:
        """Execute on [tokens [1, n]] and return [logits [1, n, vocabulary]].

        Keys and values come from one prefill of all tokens; the logits of each are a decode's, which writes its own once more.
        """
        import numpy as np

        session, tokens = self._held[0], np.asarray(inputs[0]).reshape(-1).tolist()
        if not 0 < len(tokens) <= session.count:
            raise CheckFailed(f"{len(tokens)} tokens were given; the file takes 1 to {session.count} at once")
        session.prefill(tokens, 0)
        logits = np.empty((1, len(tokens), session.vocabulary), np.float32)
        for place, token in enumerate(tokens):
            logits[0, place] = session.decode(token, place)
        return [logits]

    def step(self, tokens: Sequence[int], position: int) -> Any:
        """Return the logits behind the last of `tokens`, which stand at `position` and after; all but the last are prefilled.

        Where a whole prefill would reach beyond the cache they are decoded instead.
        """
        session, first = self._held[0], list(tokens[:-1])
        if position + len(tokens) > session.length:
            raise CheckFailed(f"{len(tokens)} tokens at position {position}: the cache holds {session.length}")
        while first and position + session.count <= session.length:
            part, first = first[: session.count], first[session.count :]
            session.prefill(part, position)
            position += len(part)
        for token in first:
            session.decode(token, position)
            position += 1
        return session.decode(tokens[-1], position)


class Session:
    """Both signatures of a loaded model with their buffers.

    The cache is an input and an output, the same buffers, as LiteRT-LM has it on a CPU: only what is new is written then. Given
    others, the runtime would copy the whole cache for each token.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        signatures = list(model.get_signature_list())
        self._prefill = next(name for name in signatures if name != DECODE)
        self._shapes = {name: model.get_input_tensor_details(name) for name in signatures}
        self.count = int(self._shapes[self._prefill]["tokens"]["shape"][1])
        self.length = int(self._shapes[DECODE]["mask"]["shape"][3])
        self.vocabulary = int(model.get_output_tensor_details(DECODE)["logits"]["shape"][-1])
        caches = [name for name in self._shapes[DECODE] if name.startswith(CACHE)]
        self._cache = {name: model.create_input_buffer_by_name(DECODE, name) for name in caches}
        self._inputs = {
            name: {each: model.create_input_buffer_by_name(name, each) for each in shapes if each not in caches}
            for name, shapes in self._shapes.items()
        }
        self._logits = model.create_output_buffer_by_name(DECODE, "logits")
        self._clear()

    def _clear(self) -> None:
        """Zeros in the cache: what is hidden must still be finite."""
        import numpy as np

        for name, buffer in self._cache.items():
            buffer.write(np.zeros(self._shapes[DECODE][name]["shape"], np.float32))

    def prefill(self, tokens: Sequence[int], position: int) -> None:
        """Read at most `count` tokens at `position`: their keys and values go into the cache."""
        self._run(self._prefill, tokens, position, {})

    def decode(self, token: int, position: int) -> Any:
        """Return the logits behind one token (float32 [vocabulary]), whose keys and values go into the cache."""
        import numpy as np

        self._run(DECODE, [token], position, {"logits": self._logits})
        return self._logits.read(self.vocabulary, np.float32)

    def _run(self, name: str, tokens: Sequence[int], position: int, outputs: dict[str, Any]) -> None:
        import numpy as np

        count = 1 if name == DECODE else self.count
        padded = np.zeros((1, count), np.int32)
        padded[0, : len(tokens)] = tokens
        places = np.arange(position, position + count, dtype=np.int32)
        seen = np.arange(self.length)[None, :] <= places[:, None]
        given = {"tokens": padded, "input_pos": places, "mask": np.where(seen, np.float32(0), np.float32(HIDDEN))[None, None]}
        for each, buffer in self._inputs[name].items():
            buffer.write(given[each])
        try:
            self._model.run_by_name(name, self._inputs[name] | self._cache, self._cache | outputs)
        except RuntimeError as error:
            raise CheckFailed(f"LiteRT failed on {len(tokens)} tokens at position {position}: {error}") from error


def open_tokens(path: Path) -> TokenFile:
    """Load the model in the file at `path`; CheckFailed when it is corrupt or refused, Missing without LiteRT."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise Missing("a .litertlm file needs ai-edge-litert: pip install 'snugfit[tflite]'")
    give_back_large_blocks()
    data = unpack(path)
    checked_bytes(data, str(path))
    from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

    options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=THREADS))
    try:
        with silence():
            session = Session(CompiledModel.from_buffer(data, options=options))
    except (RuntimeError, ValueError, StopIteration, KeyError) as error:
        raise CheckFailed(f"{path}: LiteRT refuses it: {str(error).splitlines()[0][:200]}") from error
    return TokenFile(session, f"XNNPACK (LiteRT {importlib.metadata.version('ai-edge-litert')})")


def _release(held: list[Session]) -> None:
    """Let go of a model without what the runtime has to say about it."""
    with silence():
        held.clear()
