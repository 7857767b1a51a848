"""What one node of a normalised graph is to a runtime: its kind, its bytes, and what its kernel takes besides."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

VIEWS = frozenset({
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "detach", "alias", "contiguous",
    "slice", "select", "split", "split_with_sizes", "chunk", "unbind", "getitem",
})  # fmt: skip
ATTENTION = "scaled_dot_product_attention"
RECURRENT = frozenset({"lstm", "gru"})
OUTSIDE = RECURRENT | {"embedding"}
"""Kinds of layers that no accelerated part takes."""
SLICES = frozenset({"slice", "select", "split", "split_with_sizes", "chunk", "unbind"})
"""Of these, what an accelerated part copies where it has the operator."""
COPIES = frozenset({"clone", "_to_copy", "to"})
"""Left out by runtimes where the dtype stays."""
PADS = frozenset({"pad", "constant_pad_nd"})
IN_PLACE = frozenset({
    "relu", "relu_", "hardtanh", "relu6", "hardswish", "hardsigmoid", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu",
    "neg", "exp", "sqrt", "rsqrt", "abs", "clamp", "add", "sub", "mul", "div", "softmax", "_softmax",
})  # fmt: skip
"""Operators that write over an input which nothing else reads (XNNPACK, `memory-planner.c`)."""
BICUBIC = "upsample_bicubic2d"
PARTS = {"layer_norm": 14, "native_layer_norm": 14, "group_norm": 14, ATTENTION: 5, BICUBIC: 100, "prelu": 4}
"""Operator → simpler ones that LiteRT's converter takes it apart into."""
SCRATCH = {"layer_norm": 2.0, "native_layer_norm": 2.0, "group_norm": 2.0}
"""Operator → further tensors of its output's size that live while it runs: runtimes take it apart into simpler ones."""

PRODUCTS = frozenset({"bmm", "matmul"})
"""Operators that multiply matrices."""
ARITHMETIC = frozenset({"add", "sub", "mul", "div"})
"""Operators whose second operand may be a number."""
TILE = 16
"""Columns that kernels of products compute at once: what they multiply with is packed in as many (XNNPACK)."""
PRODUCT = 32
"""The same where both sides are activations (of transformers' rooms on a CPU with AVX-512)."""
BILINEAR = 5
"""Pointers' worth of tables that a bilinear resize keeps for each output position (XNNPACK, `resize-bilinear-nhwc.c`)."""
TAPS, PLACES = 16, 8
"""Copies of its result that a bicubic resize gathers before it adds them up, and integers per place that say what from (LiteRT's
converter writes it so)."""
LOOPED = 2.0
"""Copies of the rows that pass through a loop: of its condition, and of its body's inputs and outputs (LiteRT, measured)."""



def is_view(node: Any) -> bool:
    """Whether a node moves nothing: a view, or a copy that runtimes leave out."""
    kind = kind_of(node)
    return (kind in VIEWS and not is_strided(node)) or (kind in COPIES and same_type(node, node.all_input_nodes[0]))


def is_strided(node: Any) -> bool:
    """Whether a node is a slice that leaves out rows between those it takes."""
    return kind_of(node) == "slice" and len(node.args) > 4 and node.args[4] != 1


def is_fused(node: Any, layers: Collection[str]) -> bool:
    """Whether a node is a padding that the layers behind it do themselves."""
    return kind_of(node) in PADS and all(user.name in layers for user in node.users)


def kind_of(node: Any) -> str:
    """The operator's name in ATen."""
    name = getattr(node.target, "_opname", None) or getattr(node.target, "__name__", str(node.target))
    return str(name).partition(".")[0]


def scratch_of(node: Any, looped: bool = False) -> float:
    """Further tensors of the output's size that live while a node runs; of loops all that pass through one."""
    if kind_of(node) == ATTENTION:
        query, key = node.args[0].meta["val"], node.args[1].meta["val"]
        scores = math.prod(query.shape[:-1]) * key.shape[-2]
        return float(2 * scores / max(1, math.prod(node.meta["val"].shape)))
    if kind_of(node) in RECURRENT:
        if looped:
            return LOOPED * (1.0 + bytes_of(node.args[0]) / bytes_of(node))
        gates, steps = node.args[2][0].meta["val"].shape[0], math.prod(node.args[0].meta["val"].shape[:-1])
        return float(4 * gates * steps / bytes_of(node))
    if kind_of(node) == BICUBIC:
        return TAPS - 1 + PLACES / float(node.meta["val"].shape[1])
    if is_product(node):
        return float(packed_side(node.args[1].meta["val"].shape) / max(1, math.prod(node.meta["val"].shape)))
    return SCRATCH.get(kind_of(node), 0.0)


def packed_side(shape: Any) -> int:
    """Numbers that a product packs of its right side, a batch of matrices: whole tiles of columns, and a row of zeros."""
    *batch, inner, columns = shape
    return int(math.prod(batch) * -(-columns // PRODUCT) * PRODUCT * (inner + 1))


def packed_by_attention(node: Any) -> tuple[int, int]:
    """Bytes of keys, turned, and of values that the two products of an attention pack."""
    keys, values = (tuple(each.meta["val"].shape) for each in node.args[1:3])
    return 4 * packed_side((*keys[:-2], keys[-1], keys[-2])), 4 * packed_side(values)


def is_product(node: Any) -> bool:
    """Whether a node multiplies two activations, each a batch of matrices."""
    return kind_of(node) in PRODUCTS and all(each.op != "get_attr" and dims_of(each) > 2 for each in node.args[:2])


def inner_of(node: Any, images: bool) -> int:
    """Numbers that a linear layer multiplies for each result; with `images` also of a convolution that is one, 0 of others."""
    if kind_of(node) == "linear":
        return int(node.args[0].meta["val"].shape[-1])
    if not images or kind_of(node) != "conv2d" or set(node.args[1].meta["val"].shape[2:]) != {1}:
        return 0
    given = [*node.args, *[None] * 7][3:7]
    plain = set(given[0] or [1]) == {1} and set(given[1] or [0]) == {0} and given[3] in (None, 1)
    return int(node.args[0].meta["val"].shape[1]) if plain else 0


def is_masked(node: Any) -> bool:
    """Whether a node is attention with a mask of truth values."""
    if kind_of(node) != ATTENTION:
        return False
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    return "bool" in str(getattr(getattr(mask, "meta", {}).get("val"), "dtype", ""))


def named(node: Any) -> str:
    """The operator's name; what some kernels lack is told apart: slices of every n-th row, pooling that pads, padding with what
    is there, powers that are neither squares nor roots."""
    if is_strided(node):
        return "slice_strided"
    if kind_of(node) == "pad" and "constant" not in [*node.args, "constant"][2:3]:
        return "pad_mirrored"
    if kind_of(node) == "pow" and node.args[1] not in (2, 0.5):
        return "pow_other"
    return kind_of(node) + ("_padded" if "pool" in kind_of(node) and padded_bytes(node) else "")


def kernel(node: Any) -> str:
    """The operator's name, with what decides whether XNNPACK has a kernel for it."""
    kind, given = named(node), [*node.args, None, None][1:3]
    places = kind == "mean" and dims_of(node.args[0]) == 4 and sorted(axis % 4 for axis in given[0] or ()) == [2, 3]
    if places and given[1]:
        return "mean_of_places"
    if kind == "adaptive_avg_pool2d" and set(node.meta["val"].shape[-2:]) == {1}:
        return "mean_of_places"
    if kind in ("softmax", "_softmax") and given[0] not in (-1, dims_of(node) - 1):
        return "softmax_across"
    if kind == "expand" and bytes_of(node) != bytes_of(node.args[0]):
        return "expand_to_more"
    return kind


def padded_bytes(node: Any) -> int:
    """Bytes of the padded input of a pooling operator or a convolution, 0 for others.

    Rounding up pads to the last window's end; no copy is needed where both sides get what the output's size asks for (`SAME`).
    """
    kind = kind_of(node)
    if kind in ("conv1d", "conv2d"):
        return _padded_convolution(node)
    if kind not in ("max_pool2d", "avg_pool2d"):
        return 0
    given = [*node.args, *[None] * 6][: 6]
    kernel, stride, pads = (_pair(each, default) for each, default in ((given[1], 1), (given[2] or given[1], 1), (given[3], 0)))
    up = bool(given[5] if kind == "max_pool2d" else given[4])
    size, out = node.args[0].meta["val"].shape, node.meta["val"].shape[-2:]
    wide = [size[axis - 2] + 2 * pads[axis] for axis in (0, 1)]
    ends = [max(wide[axis], (out[axis] - 1) * stride[axis] + kernel[axis]) if up else wide[axis] for axis in (0, 1)]
    return int(4 * math.prod(size[:-2]) * math.prod(ends)) if list(size[-2:]) != ends else 0


def _padded_convolution(node: Any) -> int:
    given = [*node.args, *[None] * 7][:7]
    size, kernel = tuple(given[0].meta["val"].shape), tuple(given[1].meta["val"].shape[2:])
    strides, pads, dilations = (_pair(each, default) for each, default in ((given[3], 1), (given[4], 0), (given[5], 1)))
    same, wide = True, []
    for axis, (length, taps) in enumerate(zip(size[2:], kernel, strict=True)):
        pad, stride = pads[axis], strides[axis]
        needed = max(0, (-(-length // stride) - 1) * stride + (taps - 1) * dilations[axis] + 1 - length)
        same &= (needed // 2, needed - needed // 2) == (pad, pad)
        wide.append(length + 2 * pad)
    return 0 if same or not any(pads[: len(kernel)]) else int(4 * math.prod(size[:2]) * math.prod(wide))


def patches_of(node: Any) -> int:
    """Bytes of all patches of a dilated convolution, one for each output position; 0 of other nodes."""
    if kind_of(node) not in ("conv1d", "conv2d") or len(node.args) < 6 or set(node.args[5]) == {1}:
        return 0
    return int(4 * math.prod(node.args[1].meta["val"].shape[1:]) * math.prod(node.meta["val"].shape[2:]))


def _pair(given: Any, default: int) -> tuple[int, int]:
    """Sizes of two axes, of which one number may stand for both."""
    sizes = given if isinstance(given, list | tuple) else [given]
    sizes = [default if each is None else int(each) for each in sizes] or [default]
    return sizes[0], sizes[-1]


def dims_of(node: Any) -> int:
    """Axes of what a node makes."""
    return len(getattr(node.meta.get("val"), "shape", ()))


def pointers_of(node: Any) -> int:
    """Entries of the table of input rows that an indirect convolution keeps: one per output position and kernel element.

    Depthwise kernels share the overlapping columns of neighbouring positions (XNNPACK, `indirection.c`). A bilinear resize keeps
    four for each output position, and two weights, which take as much as a fifth.
    """
    if kind_of(node) == "upsample_bilinear2d":
        return int(BILINEAR * math.prod(node.meta["val"].shape[2:]))
    if not kind_of(node).startswith("conv") or "transpose" in kind_of(node):
        return 0
    kernel, out = tuple(node.args[1].meta["val"].shape[2:]), tuple(node.meta["val"].shape[2:])
    if math.prod(kernel) == 1:
        return 0
    stride = node.args[3] if len(node.args) > 3 and node.args[3] else [1]
    if len(node.args) > 6 and node.args[6] > 1 and len(kernel) == 2 and math.prod(kernel) <= 25:
        shared = min(stride[-1], kernel[1]) * kernel[0]
        return int(out[0] * (math.prod(kernel) + (out[1] - 1) * shared))
    return int(math.prod(out) * math.prod(kernel))


def constants_of(node: Any) -> int:
    """Tensors of the file that a node reads, numbers that it calculates with among them: both are written as tensors."""
    numbers = sum(isinstance(each, int | float) for each in node.args[1:2]) if kind_of(node) in ARITHMETIC else 0
    return sum(1 for each in node.all_input_nodes if each.op == "get_attr") + numbers


def is_float(node: Any) -> bool:
    """Whether a node makes floats; True where nothing is known of it."""
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) else value
    return bool(getattr(getattr(first, "dtype", None), "is_floating_point", True))


def same_type(node: Any, source: Any) -> bool:
    """Whether two nodes make tensors of one dtype."""
    mine, theirs = node.meta.get("val"), source.meta.get("val")
    return getattr(mine, "dtype", None) == getattr(theirs, "dtype", 0)


def bytes_of(node: Any) -> int:
    """Bytes of what a node makes, all parts of a tuple together."""
    value = node.meta.get("val")
    if isinstance(value, tuple | list):
        return sum(_size(each) for each in value)
    return _size(value)


def _size(value: Any) -> int:
    return int(math.prod(value.shape) * value.element_size()) if hasattr(value, "element_size") else 0
