"""Complex numbers as pairs of real ones: spectra become layers with sines and cosines, which every runtime computes.

The transforms are those of `torch.fft` and `torch.stft` by their definition, X[k] = sum x[n] exp(-2 pi i k n / N).
"""

from __future__ import annotations

import math
from typing import Any

from sdk.models.calls import arguments, metadata_of
from sdk.models.complexes import Pair, Pairs, is_complex, is_written, operator_name

LARGEST = 4096
"""Elements of a transform that is written as a matrix, which has twice their square."""
TRANSFORMS = frozenset(f"fft_{kind}{axes}" for kind in ("fft", "rfft", "ifft", "irfft") for axes in ("", "2", "n"))

def real_spectra(module: Any) -> None:
    """Write what is complex in a graph as pairs of real tensors, or leave all of it where one operator is not known."""
    nodes = [node for node in module.graph.nodes if node.op in ("call_function", "get_attr", "placeholder", "output")]
    touched = [node for node in nodes if is_complex(node) or any(map(is_complex, node.all_input_nodes))]
    if not touched or not all(_is_known(node) for node in touched):
        return
    written = _Written(module)
    for node in touched:
        written.write(node)
    for node in reversed(touched):
        if not node.users:
            module.graph.erase_node(node)


def _is_known(node: Any) -> bool:
    if node.op != "call_function":
        return bool(node.op == "get_attr")
    name = operator_name(node)
    if name == "getitem":
        return True  # of an operator that is known
    given = arguments(node)
    if name in ("stft", "istft"):
        return bool(given["n_fft"] <= LARGEST and not given.get("align_to_window"))
    if name in TRANSFORMS:
        sizes = [size for _, size in axes_of(given)]
        return max(sizes) <= LARGEST
    return is_written(node)


def axes_of(given: dict[str, Any]) -> list[tuple[int, int]]:
    """Return the axes of a transform and how long each is made, from its arguments by name; a half spectrum as it stands."""
    shape = given["self"].meta["val"].shape
    axes, sizes = given["dim"], given.get("s")
    if "n" in given:
        axes, sizes = [axes], [given["n"]]
    if axes is None:
        axes = range(-len(shape if sizes is None else sizes), 0)
    return [(axis, int(size or shape[axis])) for axis, size in zip(axes, sizes or [None] * len(axes), strict=True)]


class _Written(Pairs):
    """Writes one node after the other in front of itself: transforms here, the rest as `Pairs` does."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def write(self, node: Any) -> None:
        """Write a node as real operators, and give its real results to its users."""
        self.node = node
        name = operator_name(node)
        if node.op == "get_attr":
            found: Any = self._constant(node)
        elif name in TRANSFORMS:
            found = self._transform(name.removeprefix("fft_"), arguments(node))
        elif name in ("stft", "istft"):
            found = getattr(self, f"_{name}")(*arguments(node).values())
        else:
            found = self.written()
        if isinstance(found, tuple):
            real, imaginary = found
            self.pairs[node] = real, imaginary if imaginary is not None else self._call(self.aten.mul.Tensor, real, 0.0)
        else:
            node.replace_all_uses_with(found)

    def _basis(self, name: str, value: Any) -> Any:
        """Return a constant in a layer of the node's own, under the module that it was traced in."""
        from sdk.models.rewrite import owner_of

        return self._stored(f"{owner_of(self.node)}.{self.node.name}.{name}".removeprefix("."), value.float())

    def _stored(self, name: str, value: Any) -> Any:
        from sdk.models.rewrite import new_get_attr

        made = new_get_attr(self.module, name, value, self.node)
        made.meta["val"] = metadata_of(value, self.node)
        return made

    def _constant(self, node: Any) -> Pair:
        from sdk.models.rewrite import attribute

        value = attribute(self.module, node.target)
        return tuple(self._stored(f"{node.target}_{part}", getattr(value, part).float()) for part in ("real", "imag"))

    def _transform(self, kind: str, given: dict[str, Any]) -> Any:
        """One transform for each axis: the last one first where the input is real, last where the result is."""
        pair, order = self._pair(given["self"]), axes_of(given)
        inverse, real = kind.startswith("i"), "rfft" in kind
        if real and inverse and not given.get("s", given.get("n")):
            order[-1] = order[-1][0], 2 * (order[-1][1] - 1)
        order = order[-1:] + order[:-1] if real and not inverse else order
        for place, (axis, size) in enumerate(order):
            if real and inverse and place == len(order) - 1:
                return self._to_real(pair, axis, size, given["norm"])
            pair = self._along(pair, axis, size, inverse, real and not inverse and place == 0, given["norm"])
        return pair

    def _along(self, pair: Pair, axis: int, size: int, inverse: bool, half: bool, norm: str | None) -> Pair:
        """Transform one axis of a pair, to the first half of the result where that says all."""
        import torch

        length = pair[0].meta["val"].shape[axis]
        parts = [self._last(each, axis, min(length, size)) for each in pair]
        count, sign = size // 2 + 1 if half else size, 1 if inverse else -1
        cosine, sine = waves(size, count, min(length, size))
        basis = torch.cat([cosine, sign * sine]) * scale(size, inverse, norm)
        weight = self._basis(f"axis{axis % len(pair[0].meta['val'].shape)}.weight", basis)
        made = [None if each is None else self._call(self.aten.linear.default, each, weight) for each in parts]
        (a, b), (c, d) = (self._halves(each, -1, count) for each in made)
        found = self._sum(a, self._minus(d)), self._sum(b, c)
        return self._back(found[0], axis), self._back(found[1], axis)

    def _to_real(self, pair: Pair, axis: int, size: int, norm: str | None) -> Any:
        """Transform one axis back, whose other half is the conjugate of what is there."""
        import torch

        length = pair[0].meta["val"].shape[axis]
        kept = min(length, size // 2 + 1)
        parts = [self._last(each, axis, kept) for each in pair]
        cosine, sine = mirrored(size, kept)
        basis = torch.cat([cosine, -sine], 1) * scale(size, True, norm)
        weight = self._basis(f"axis{axis % len(pair[0].meta['val'].shape)}.weight", basis)
        joined = self._call(self.aten.cat.default, parts, -1)
        return self._back(self._call(self.aten.linear.default, joined, weight), axis)

    def _last(self, part: Any, axis: int, size: int) -> Any:
        """The first `size` elements of an axis, brought to the end."""
        if part is None:
            return None
        if part.meta["val"].shape[axis] > size:
            part = self._call(self.aten.slice.Tensor, part, axis, 0, size)
        return self._back(part, axis)

    def _back(self, part: Any, axis: int) -> Any:
        """Change an axis and the last one."""
        rank = len(part.meta["val"].shape)
        return part if axis % rank == rank - 1 else self._call(self.aten.transpose.int, part, axis, -1)

    def _halves(self, part: Any, axis: int, count: int) -> Pair:
        if part is None:
            return None, None
        ends = ((0, count), (count, 2 * count))
        first, second = (self._call(self.aten.slice.Tensor, part, axis, *each) for each in ends)
        return first, second

    def _stft(self, value: Any, n_fft: int, hop: Any, length: Any, window: Any, *options: Any) -> Any:
        """A convolution with the windowed waves (`torch.stft`)."""
        import torch

        given = arguments(self.node)
        if given.get("center"):
            value = self._padded(value, n_fft // 2, given["pad_mode"])
        one_sided = given["onesided"] if given["onesided"] is not None else self._pair(value)[1] is None
        count = n_fft // 2 + 1 if one_sided else n_fft
        cosine, sine = waves(n_fft, count, n_fft)
        basis = torch.cat([cosine, 0 - sine]) * self._window(window, length or n_fft, n_fft)
        basis = basis / math.sqrt(n_fft) if given["normalized"] else basis
        weight = self._basis("weight", basis[:, None])
        flat = len(value.meta["val"].shape) == 1
        batch = self._call(self.aten.unsqueeze.default, value, 0) if flat else value
        signal = self._call(self.aten.unsqueeze.default, batch, 1)
        made = self._call(self.aten.conv1d.default, signal, weight, None, [hop or n_fft // 4])
        made = self._call(self.aten.squeeze.dim, made, 0) if flat else made
        parts = self._halves(made, -2, count)
        return parts if given["return_complex"] else self._call(self.aten.stack.default, list(parts), -1)

    def _padded(self, value: Any, size: int, mode: str) -> Any:
        """The signal with `size` more samples on each side."""
        shape = [1] * (3 - len(value.meta["val"].shape)) + list(value.meta["val"].shape)
        deep = self._call(self.aten.view.default, value, shape)
        padded = self._call(self.aten.pad.default, deep, [size, size], mode)
        return self._call(self.aten.view.default, padded, [*value.meta["val"].shape[:-1], shape[-1] + 2 * size])

    def _window(self, node: Any, length: int, size: int) -> Any:
        """The window's values in the middle of a frame of `size`; ones where there is none."""
        import torch

        from sdk.models.constants import value_of

        window = torch.ones(length) if node is None else value_of(node, self.module)
        before = (size - length) // 2
        return torch.nn.functional.pad(window.double(), (before, size - length - before))

    def _istft(self, value: Any, n_fft: int, hop: Any, length: Any, window: Any, *options: Any) -> Any:
        """A transposed convolution, divided by the windows' squares where frames overlap (`torch.istft`)."""
        import torch

        given, pair = arguments(self.node), self._pair(value)
        hop = hop or n_fft // 4
        frame = self._window(window, length or n_fft, n_fft)
        flat = len(pair[0].meta["val"].shape) == 2
        axis = 0 if flat else 1
        joined = self._call(self.aten.cat.default, list(pair), axis)
        joined = self._call(self.aten.unsqueeze.default, joined, 0) if flat else joined
        frames = int(joined.meta["val"].shape[-1])
        cosine, sine = mirrored(n_fft, n_fft // 2 + 1)
        basis = torch.cat([cosine.T, -sine.T]) * scale(n_fft, True, "ortho" if given["normalized"] else None) * frame
        weight = self._basis("weight", basis[:, None])
        made = self._call(self.aten.conv_transpose1d.default, joined, weight, None, [hop])
        square = (frame**2).expand(1, frames, n_fft).transpose(1, 2)
        whole = torch.nn.functional.fold(square, (1, n_fft + hop * (frames - 1)), (1, n_fft), stride=(1, hop)).flatten()
        start = n_fft // 2 if given["center"] else 0
        end = start + given["length"] if given["length"] else len(whole) - start
        cut = self._call(self.aten.slice.Tensor, self._call(self.aten.squeeze.dim, made, 1), -1, start, end)
        found = self._times(cut, self._basis("overlap", 1 / whole[start:end]))
        return self._call(self.aten.squeeze.dim, found, 0) if flat else found


def waves(size: int, count: int, length: int) -> tuple[Any, Any]:
    """Return cosines and sines of `count` frequencies at `length` places of `size`, in double precision: (count, length)."""
    import torch

    turns = torch.outer(torch.arange(count), torch.arange(length)) % size  # exact for any length
    angle = turns.double() * (2 * math.pi / size)
    return angle.cos(), angle.sin().where(2 * turns % size != 0, 0.0)


def mirrored(size: int, count: int) -> tuple[Any, Any]:
    """Return the waves at `size` places (size, count) by which a half spectrum is a signal: each counts for its conjugate too."""
    import torch

    cosine, sine = waves(size, count, size)
    twice = torch.full((count, 1), 2.0, dtype=torch.float64)
    twice[0] = 1
    if size % 2 == 0 and count == size // 2 + 1:
        twice[-1] = 1
    return (cosine * twice).T, (sine * twice).T


def scale(size: int, inverse: bool, norm: str | None) -> float:
    """Return what a transform multiplies with under a `norm` of `torch.fft`."""
    if norm == "ortho":
        return 1 / math.sqrt(size)
    return 1 / size if inverse == (norm in (None, "backward")) else 1.0
