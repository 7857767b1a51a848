"""Calibration samples: any iterable of inputs, checked and cut to the model's example shapes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sdk.errors import BadInput
from sdk.models.lookups import lookups
from sdk.models.model import Model

SYNTHETIC = 8
"""Samples that stand in for calibration data when there are none."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Input tuples with the model's shapes and dtypes; `origin` is `given` or `synthetic`.

    `numbers`: which of the user's samples each is or is a part of, counted from 0; as they come where it is empty.
    """

    inputs: tuple[tuple[Any, ...], ...] = field(repr=False)
    origin: Literal["given", "synthetic"]
    digest: str
    numbers: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def some(self, count: int) -> list[tuple[Any, ...]]:
        """Return at most `count` samples, in their order: seeded at random, since data often takes turns."""
        import torch

        picked = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return [self.inputs[i] for i in sorted(picked.tolist())]

    def spread(self, count: int, parts: int) -> Samples:
        """Return at most `count` samples, as many of each of the `parts` equal parts, picked at random with a seed.

        The digest stays: all of them decide what is computed.
        """
        import torch

        if len(self) <= count:
            return self
        generator = torch.Generator().manual_seed(0)
        picked: list[int] = []
        for part in parts_of(range(len(self)), parts):
            order = torch.randperm(len(part), generator=generator)[: count // parts]
            picked += sorted(part[i] for i in order.tolist())
        numbers = tuple(self.numbers[i] for i in picked) if self.numbers else tuple(picked)
        return replace(self, inputs=tuple(self.inputs[i] for i in picked), numbers=numbers)


def parts_of(items: Sequence[Any], count: int = 2) -> list[Sequence[Any]]:
    """Equal parts in their order, by which what is fitted to samples is judged on others; of fewer items one part each."""
    places = [i * len(items) // count for i in range(count + 1)]
    return [items[start:stop] for start, stop in itertools.pairwise(places) if stop > start]


def take_samples(model: Model, data: Iterable[Any] | None, limit: int | None = None) -> Samples:
    """Check `data` against the model's inputs; batches larger than the model's are split along the first axis.

    Without data: `random_samples`. Raises BadInput naming sample and input.
    """
    import torch

    if data is None:
        return random_samples(model)
    found: list[tuple[Any, ...]] = []
    numbers: list[int] = []
    for index, sample in enumerate(data):
        rows = _rows(model, _as_tuple(model, sample, index), index)
        found.extend(rows)
        numbers.extend([index] * len(rows))
        if limit is not None and len(found) >= limit:
            break
    if not found:
        raise BadInput("calibration: it yields no sample; give at least one input tuple, or none for synthetic data")
    inputs, tables = tuple(found[:limit]), lookups(model) if model.language is None else {}
    for index, sample in zip(numbers, inputs, strict=False):
        if model.language is not None and not 0 <= int(sample[0].min()) <= int(sample[0].max()) < model.language.vocabulary:
            raise BadInput(
                f"calibration: sample {index} has token ids from {int(sample[0].min()):,} to {int(sample[0].max()):,}; "
                f"the model's vocabulary has {model.language.vocabulary:,}"
            )
        for spec, tensor in zip(model.inputs, sample, strict=True):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise BadInput(f"calibration: sample {index}: input {spec.name} holds NaN or infinite values")
            table = tables.get(spec.name)
            if table is not None and not 0 <= int(tensor.min()) <= int(tensor.max()) < table.shape[0]:
                raise BadInput(
                    f"calibration: sample {index}: input {spec.name} has row numbers from {int(tensor.min()):,} to "
                    f"{int(tensor.max()):,}; embedding {table.name} has {table.shape[0]:,} rows"
                )
    return Samples(inputs, "given", _digest(inputs), tuple(numbers[:limit]))


def random_samples(model: Model, near: int = 0) -> Samples:
    """Return seeded random inputs, labelled `synthetic`: normal floats, and integers that are rows of the embeddings.

    How `near` the example, for a model that takes no others: from 1 on, every number lies between the least and the largest of
    the example's (rows behind an offset, logarithms), and at 2 its whole numbers stay (corners of boxes, whose order counts).
    """
    inputs = tuple(_within(model, seed, near > 1) if near else _synthetic(model, seed) for seed in range(SYNTHETIC))
    return Samples(inputs, "synthetic", _digest(inputs))


def _as_tuple(model: Model, sample: Any, index: int) -> tuple[Any, ...]:
    import numpy as np
    import torch

    if isinstance(sample, dict):
        missing = [s.name for s in model.inputs if s.name not in sample]
        if missing:
            raise BadInput(f"calibration: sample {index} has no {missing[0]!r}; the model takes {_names(model)}")
        sample = tuple(sample[s.name] for s in model.inputs)
    if isinstance(sample, torch.Tensor | np.ndarray):
        sample = (sample,)
    if isinstance(sample, tuple | list) and len(sample) != len(model.inputs):
        sample = _flat(sample)
    if not isinstance(sample, tuple | list):
        raise BadInput(f"calibration: sample {index} is a {type(sample).__name__}; a tuple of {_names(model)} is needed")
    if len(sample) != len(model.inputs):
        raise BadInput(
            f"calibration: sample {index} has {len(sample)} inputs; the model takes {len(model.inputs)}: {_names(model)}"
        )
    try:
        return tuple(torch.as_tensor(value).detach() for value in sample)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"calibration: sample {index} cannot be read as tensors: {error}") from error


def _flat(sample: Any) -> Any:
    """The tensors of nested containers in order, as a model that takes such has them for inputs; else the sample as it is."""
    import numpy as np
    import torch
    from torch.utils import _pytree as pytree

    leaves = [leaf for leaf in pytree.tree_leaves(sample) if leaf is not None]
    return tuple(leaves) if all(isinstance(leaf, torch.Tensor | np.ndarray) for leaf in leaves) else sample


def _rows(model: Model, sample: tuple[Any, ...], index: int) -> list[tuple[Any, ...]]:
    """The sample as tuples of exactly the model's shapes."""
    import torch

    batches = set()
    for spec, tensor in zip(model.inputs, sample, strict=True):
        want = getattr(torch, spec.dtype)
        if tensor.is_floating_point() != want.is_floating_point:
            raise BadInput(f"calibration: sample {index}: input {spec.name} is {tensor.dtype}; the model takes {spec.dtype}")
        shape = tuple(tensor.shape)
        if shape == spec.shape:
            batches.add(1)
        elif len(shape) == len(spec.shape) and shape[1:] == spec.shape[1:] and shape[0] % spec.shape[0] == 0 and shape[0]:
            batches.add(shape[0] // spec.shape[0])
        elif shape == spec.shape[1:] and spec.shape[0] == 1:
            batches.add(0)
        else:
            raise BadInput(
                f"calibration: sample {index}: input {spec.name} has shape {list(shape)}; the model takes {list(spec.shape)}"
            )
    if len(batches) > 1:
        raise BadInput(f"calibration: sample {index}: its inputs differ in batch size")
    count = batches.pop() if batches else 1
    tensors = [t.to(getattr(torch, s.dtype)) for s, t in zip(model.inputs, sample, strict=True)]
    if count == 0:
        return [tuple(t.unsqueeze(0) for t in tensors)]
    return [
        tuple(t[i * s.shape[0] : (i + 1) * s.shape[0]] if count > 1 else t for s, t in zip(model.inputs, tensors, strict=True))
        for i in range(count)
    ]


def _synthetic(model: Model, seed: int) -> tuple[Any, ...]:
    """Random inputs: normal floats, integers that are rows of the embedding that reads them, or of the smallest one."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    limit = min((layer.shape[0] for layer in model.inventory.layers if layer.kind == "embedding"), default=2)
    rows = {name: layer.shape[0] for name, layer in lookups(model).items()}
    made = []
    for spec, example in zip(model.inputs, model.example, strict=True):
        if example.is_floating_point():
            made.append(torch.randn(spec.shape, generator=generator, dtype=example.dtype))
        elif example.dtype == torch.bool or "mask" in spec.name:
            made.append(torch.ones(spec.shape, dtype=example.dtype))
        elif "type" in spec.name or "position" in spec.name:
            made.append(example.clone())
        else:
            most = rows.get(spec.name, max(2, limit))
            made.append(torch.randint(0, most, spec.shape, generator=generator, dtype=example.dtype))
    return tuple(made)


def _within(model: Model, seed: int, whole: bool) -> tuple[Any, ...]:
    """Random inputs between the example's own least and largest numbers; its whole ones where they are kept as they are."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    made = []
    for example in model.example:
        if example.dtype == torch.bool or example.numel() == 0 or (whole and not example.is_floating_point()):
            made.append(example.clone())
        elif example.is_floating_point():
            least, most = example.min(), example.max()
            made.append(least + (most - least) * torch.rand(example.shape, generator=generator, dtype=example.dtype))
        else:
            least, most = int(example.min()), int(example.max())
            made.append(torch.randint(least, most + 1, example.shape, generator=generator, dtype=example.dtype))
    return tuple(made)


def _names(model: Model) -> str:
    return ", ".join(f"{s.name} {s.dtype}{list(s.shape)}" for s in model.inputs)


def _digest(inputs: tuple[tuple[Any, ...], ...]) -> str:
    digest = hashlib.sha256()
    for sample in inputs:
        for tensor in sample:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
