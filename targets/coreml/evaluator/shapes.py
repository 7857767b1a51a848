"""MIL's operations on shapes and positions: reshape, slice, gather, scatter, pad, concat, and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from targets.coreml.evaluator.elementwise import number


def ints(value: Any) -> list[int]:
    """Return a vector parameter as Python integers."""
    return [int(v) for v in value.reshape(-1)]


def many(values: Any) -> list[Any]:
    """Return a variadic parameter as a list."""
    return values if isinstance(values, list) else [values]


def _reshape(x: Any, shape: Any) -> Any:
    wanted = ints(shape)
    return x.reshape([x.shape[i] if d == 0 and i < x.dim() and x.numel() else d for i, d in enumerate(wanted)])


def _squeeze(x: Any, axes: Any = None) -> Any:
    if axes is None:
        return x.squeeze()
    gone = {a % x.dim() for a in ints(axes)}
    return x.reshape([s for i, s in enumerate(x.shape) if i not in gone])


def _expand_dims(x: Any, axes: Any) -> Any:
    rank = x.dim() + axes.numel()
    for axis in sorted(a % rank for a in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _window(
    shape: Any, begin: Any, end: Any, stride: Any, begin_mask: Any, end_mask: Any, squeeze_mask: Any
) -> tuple[list[Any], list[bool]]:
    """Return per axis the chosen positions, and which axes are squeezed."""
    import torch

    rank = len(shape)
    steps = [1] * rank if stride is None else ints(stride)
    open_begin, open_end, squeezed = (
        [False] * rank if m is None else [bool(v) for v in m] for m in (begin_mask, end_mask, squeeze_mask)
    )
    chosen = []
    for axis, (first, last, step) in enumerate(zip(ints(begin), ints(end), steps, strict=True)):
        window = slice(None if open_begin[axis] else first, None if open_end[axis] else last, step)
        places = [first % shape[axis]] if squeezed[axis] else list(range(shape[axis]))[window]
        chosen.append(torch.tensor(places, dtype=torch.int64))
    return chosen, squeezed


def _slice_by_index(
    x: Any, begin: Any, end: Any, stride: Any = None, begin_mask: Any = None, end_mask: Any = None, squeeze_mask: Any = None
) -> Any:
    chosen, squeezed = _window(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, places in enumerate(chosen):
        if len(places) != x.shape[axis] or (stride is not None and ints(stride)[axis] < 0):
            x = x.index_select(axis, places)
    return x.reshape([s for axis, s in enumerate(x.shape) if not squeezed[axis]])


def _slice_update(
    x: Any, update: Any, begin: Any, end: Any, stride: Any = None, begin_mask: Any = None, end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Any:
    import torch

    chosen, _ = _window(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    out = x.clone()
    where = torch.meshgrid(*chosen, indexing="ij")
    out[where] = update.reshape(where[0].shape).to(x.dtype)
    return out


def _slice_by_size(x: Any, begin: Any, size: Any) -> Any:
    for axis, (first, count) in enumerate(zip(ints(begin), ints(size), strict=True)):
        x = x.narrow(axis, first % x.shape[axis] if first else 0, x.shape[axis] - first if count == -1 else count)
    return x


def _gather(x: Any, indices: Any, axis: Any = None, batch_dims: Any = None, validate_indices: Any = None) -> Any:
    import torch

    at, batch = int(number(axis, 0)) % x.dim(), int(number(batch_dims, 0))
    index = indices.long()
    index = torch.where(index < 0, index + x.shape[at], index)
    if batch == 0:
        picked = x.index_select(at, index.reshape(-1))
        return picked.reshape(*x.shape[:at], *index.shape, *x.shape[at + 1:])
    return torch.stack([
        _gather(x[i], index[i], torch.tensor(at - 1), torch.tensor(batch - 1)) for i in range(x.shape[0])
    ])


def _gather_nd(x: Any, indices: Any, batch_dims: Any = None, validate_indices: Any = None) -> Any:
    import torch

    if int(number(batch_dims, 0)):
        less = torch.tensor(int(number(batch_dims)) - 1)
        return torch.stack([_gather_nd(x[i], indices[i], less) for i in range(x.shape[0])])
    return x[tuple(indices.long().unbind(-1))]


def _gather_along_axis(x: Any, indices: Any, axis: Any = None, validate_indices: Any = None) -> Any:
    import torch

    at = int(number(axis, 0))
    index = torch.where(indices.long() < 0, indices.long() + x.shape[at], indices.long())
    return torch.gather(x, at, index)


_MODES = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _merge(target: Any, where: tuple[Any, ...], updates: Any, mode: str) -> Any:
    """Write updates at index positions: `update` replaces, the rest combine."""
    target = target.clone()
    if mode == "update":
        target[where] = updates.to(target.dtype)
        return target
    flat = target.reshape(-1)
    import torch

    numbers = torch.arange(flat.numel()).reshape(target.shape)[where].reshape(-1)
    if mode in _MODES:
        return flat.scatter_reduce(0, numbers, updates.reshape(-1).to(flat.dtype), _MODES[mode]).reshape(target.shape)
    signed = -updates if mode == "sub" else 1 / updates
    return flat.scatter_reduce(0, numbers, signed.reshape(-1).to(flat.dtype), "sum" if mode == "sub" else "prod").reshape(
        target.shape
    )


def _scatter(data: Any, indices: Any, updates: Any, axis: Any = None, mode: str = "add", validate_indices: Any = None) -> Any:
    at = int(number(axis, 0)) % data.dim()
    return _merge(data, (*(slice(None),) * at, indices.long()), updates, mode)


def _scatter_nd(data: Any, indices: Any, updates: Any, mode: str = "add", validate_indices: Any = None) -> Any:
    return _merge(data, tuple(indices.long().unbind(-1)), updates, mode)


def _scatter_along_axis(
    data: Any, indices: Any, updates: Any, axis: Any = None, mode: str = "add", validate_indices: Any = None
) -> Any:
    import torch

    at = int(number(axis, 0)) % data.dim()
    where = [torch.arange(s).reshape([-1 if i == d else 1 for i in range(indices.dim())]).expand(indices.shape)
             for d, s in enumerate(indices.shape)]
    where[at] = indices.long()
    return _merge(data, tuple(where), updates, mode)


def _pad(x: Any, pad: Any, mode: str = "constant", constant_val: Any = None) -> Any:
    import torch

    sizes = ints(pad)
    pairs = [sizes[i:i + 2] for i in range(0, len(sizes), 2)]
    if mode == "constant":
        return torch.nn.functional.pad(x, [p for pair in reversed(pairs) for p in pair], value=float(number(constant_val, 0.0)))
    for axis, (before, after) in zip(range(x.dim() - len(pairs), x.dim()), pairs, strict=True):
        x = x.index_select(axis, _mirrored(x.shape[axis], before, after, mode))
    return x


def _mirrored(size: int, before: int, after: int, mode: str) -> Any:
    import torch

    place = torch.arange(-before, size + after)
    if mode == "replicate":
        return place.clamp(0, size - 1)
    place = place.abs()
    return torch.where(place >= size, 2 * (size - 1) - place, place)


def _concat(values: Any, axis: Any, interleave: Any = None) -> Any:
    import torch

    parts, at = many(values), int(number(axis))
    if not number(interleave, False):
        return torch.cat(parts, at)
    return torch.stack(parts, at + 1).flatten(at, at + 1)


def _split(x: Any, axis: Any, num_splits: Any = None, split_sizes: Any = None) -> Any:
    at = int(number(axis))
    sizes = ints(split_sizes) if split_sizes is not None else [x.shape[at] // int(num_splits)] * int(num_splits)
    return list(x.split(sizes, at))


def _range(start: Any, end: Any, step: Any) -> Any:
    import torch

    return torch.arange(number(start), number(end), number(step), dtype=start.dtype)


def _one_hot(
    indices: Any, one_hot_vector_size: Any, axis: Any = None, on_value: Any = None, off_value: Any = None
) -> Any:
    import torch

    hot = torch.nn.functional.one_hot(indices.long(), int(one_hot_vector_size)).bool().movedim(-1, int(number(axis, -1)))
    on, off = (torch.as_tensor(v) if v is not None else torch.tensor(d) for v, d in ((on_value, 1), (off_value, 0)))
    return torch.where(hot, on, off)


def _band_part(x: Any, lower: Any = None, upper: Any = None) -> Any:
    import torch

    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])[None]
    low, high = int(number(lower, -1)), int(number(upper, -1))
    keep = ((low < 0) | (rows - columns <= low)) & ((high < 0) | (columns - rows <= high))
    return torch.where(keep, x, torch.zeros_like(x))


def _crop(x: Any, crop_height: Any, crop_width: Any) -> Any:
    (top, bottom), (left, right) = ints(crop_height), ints(crop_width)
    return x[..., top:x.shape[-2] - bottom, left:x.shape[-1] - right]


def _depth_to_space(x: Any, block_size: Any) -> Any:
    size = int(block_size)
    n, c, h, w = x.shape
    parts = x.reshape(n, size, size, c // size**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, c // size**2, h * size, w * size)


def _space_to_depth(x: Any, block_size: Any) -> Any:
    size = int(block_size)
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // size, size, w // size, size)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, c * size**2, h // size, w // size)


def _sliding_windows(x: Any, axis: Any, size: Any, stride: Any = None) -> Any:
    at = int(number(axis)) % x.dim()
    return x.unfold(at, int(size), int(number(stride, 1))).movedim(-1, at + 1)


def table() -> dict[str, Callable[..., Any]]:
    """Return the operations by MIL's name."""
    import torch

    return {
        "reshape": _reshape, "squeeze": _squeeze, "expand_dims": _expand_dims, "slice_by_index": _slice_by_index,
        "slice_update": _slice_update,
        "slice_by_size": _slice_by_size, "gather": _gather, "gather_nd": _gather_nd, "gather_along_axis": _gather_along_axis,
        "scatter": _scatter, "scatter_nd": _scatter_nd, "scatter_along_axis": _scatter_along_axis, "pad": _pad,
        "concat": _concat, "split": _split, "range_1d": _range, "one_hot": _one_hot, "band_part": _band_part, "crop": _crop,
        "depth_to_space": _depth_to_space, "space_to_depth": _space_to_depth, "sliding_windows": _sliding_windows,
        "transpose": lambda x, perm: x.permute(ints(perm)),
        "stack": lambda values, axis: torch.stack(many(values), int(number(axis))),
        "tile": lambda x, reps: x.repeat(ints(reps)),
        "shape": lambda x: torch.tensor(x.shape, dtype=torch.int32),
        "fill": lambda shape, value=None: torch.full(ints(shape), number(value, 0.0)),
        "fill_like": lambda ref_tensor, value=None: torch.full(ref_tensor.shape, number(value, 0.0)),
        "reverse": lambda x, axes=None: x.flip(list(range(x.dim())) if axes is None else ints(axes)),
        "flatten2d": lambda x, axis=None: x.flatten(0, int(number(axis, 1)) - 1).flatten(1),
        "pixel_shuffle": lambda x, upscale_factor: torch.pixel_shuffle(x, int(upscale_factor)),
        "pixel_unshuffle": lambda x, downscale_factor: torch.pixel_unshuffle(x, int(downscale_factor)),
    }
