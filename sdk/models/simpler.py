"""Writes a few operators as simpler ones that accelerated kernels take, so that no accelerated part ends at them; all are exact.

A target asks for it where its toolchain would leave the operator, or what it makes of it, to slower kernels of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from sdk.models.calls import call_before

NUMBER = "sdk_number"
"""Prefix of the buffers that hold numbers."""

ARITHMETIC = ("aten.add.Tensor", "aten.sub.Tensor", "aten.mul.Tensor", "aten.div.Tensor")
"""Operators that broadcast by themselves."""


def write_simpler(module: Any) -> None:
    """Change a GraphModule of known shapes: splits and selected rows into slices, means of images into ones that keep their
    axes, maxima of an image's axis into ones without places, other means, sums and norms, attention, squares and cubes into
    products, `silu` into its parts, a softmax over an image's rows into one of a matrix. Arithmetic reads what is expanded for it
    as it was (a norm that a vector is divided by): it broadcasts by itself.

    Metadata are kept up to date.
    """
    kept: dict[Any, Any] = {}
    for node in list(module.graph.nodes):
        name = getattr(node.target, "__name__", "").partition(".")[0] if node.op == "call_function" else ""
        if name in _RULES:
            _RULES[name](_Writer(module, node, kept))
    module.graph.eliminate_dead_code()


class _Writer:
    """Puts nodes in the place of one; what several need is `kept`."""

    def __init__(self, module: Any, node: Any, kept: dict[Any, Any]) -> None:
        self.module, self.node, self.kept = module, node, kept
        names = [argument.name for argument in node.target._schema.arguments]
        self.given: dict[str, Any] = dict(zip(names, node.args, strict=False)) | node.kwargs

    def call(self, name: str, *args: Any) -> Any:
        """Call `aten.<name>` in front of the node."""
        import torch

        target = torch.ops.aten
        for part in name.split("."):
            target = getattr(target, part)
        return call_before(self.node, target, *args)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, made where it is needed first."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def constant(self, value: Any) -> Any:
        """A tensor that is part of the module."""
        name = f"{NUMBER}_{sum(name.startswith(NUMBER) for name, _ in self.module.named_buffers())}"
        self.module.register_buffer(name, value)
        with self.module.graph.inserting_before(self.node):
            made = self.module.graph.get_attr(name)
        made.meta["val"] = self.given["self" if "self" in self.given else "query"].meta["val"].new_empty(value.shape)
        return made

    def number(self, value: float) -> Any:
        """A constant of one element."""
        import torch

        return self.once(value, lambda: self.constant(torch.full((1,), value)))

    def put(self, made: Any, node: Any = None) -> None:
        """Let `made` take the place of the node, or of another one."""
        old = node or self.node
        made.meta.update(old.meta)
        old.replace_all_uses_with(made)
        self.module.graph.erase_node(old)

    def rows(self, node: Any, axis: int, start: int, size: int) -> None:
        """Replace a node by `size` rows of the tensor that is split, from `start` on; one row without an axis is viewed."""
        source, shape = self.given["self"], node.meta["val"].shape
        whole = source.meta["val"].shape
        axis = axis % len(whole)
        found = self.call("slice.Tensor", source, axis, start % whole[axis], start % whole[axis] + size)
        self.put(self.call("reshape.default", found, list(shape)) if len(shape) < len(whole) else found, node)


def _split(writer: _Writer) -> None:
    node, axis = writer.node, writer.given.get("dim", 0)
    if any(getattr(user.target, "__name__", "") != "getitem" for user in node.users):
        return
    sizes = [1 if "unbind" in str(node.target) else int(part.shape[axis]) for part in node.meta["val"]]
    for user in list(node.users):
        place = int(user.args[1])
        writer.rows(user, axis, sum(sizes[:place]), sizes[place])
    writer.module.graph.erase_node(node)


def _select(writer: _Writer) -> None:
    if isinstance(writer.given["index"], int):
        writer.rows(writer.node, writer.given["dim"], writer.given["index"], 1)


def _mean(writer: _Writer) -> None:
    """A mean over places that drops their axes, which kernels keep; over other axes a product."""
    value, axes = writer.given["self"].meta["val"], writer.given.get("dim")
    if axes and len(value.shape) == 4 and sorted(axis % 4 for axis in axes) == [2, 3]:
        if not writer.given.get("keepdim") and not writer.given.get("dtype"):
            kept = writer.call("mean.dim", writer.given["self"], [2, 3], True)
            writer.put(writer.call("reshape.default", kept, list(value.shape[:2])))
        return
    _put_sum(writer, writer.given["self"], mean=True)


def _sum(writer: _Writer) -> None:
    _put_sum(writer, writer.given["self"])


def _max(writer: _Writer) -> None:
    """Maxima of an image's axis without their places, which the backend takes as pools of rows or columns that keep the axis.

    It says that it takes those of other axes as well, and then refuses.
    """
    node, value = writer.node, writer.given["self"].meta["val"]
    read = [user for user in node.users if user.users]
    if ".dim" not in str(node.target) or len(value.shape) != 4 or len(read) != 1 or read[0].args[1]:
        return
    axis, keep = writer.given["dim"] % 4, writer.given.get("keepdim", False)
    if keep and axis == writer.given["dim"] in (2, 3):
        return
    writer.put(writer.call("amax.default", writer.given["self"], [axis], keep), read[0])


def _expand(writer: _Writer) -> None:
    """Let arithmetic read the value before it is expanded, where it makes as much of it."""
    import torch

    source = writer.given["self"]
    for user in list(writer.node.users):
        if str(user.target) in ARITHMETIC:
            read = [source if each is writer.node else each for each in user.all_input_nodes]
            if torch.broadcast_shapes(*(each.meta["val"].shape for each in read)) == user.meta["val"].shape:
                user.replace_input_with(writer.node, source)


def _norm(writer: _Writer) -> None:
    """The root of a sum of squares."""
    if writer.given.get("ord", 2) == 2 and _summed(writer):
        _put_sum(writer, writer.call("mul.Tensor", writer.given["self"], writer.given["self"]), root=True)


def _summed(writer: _Writer) -> tuple[int, int, int] | None:
    """Of what is summed up: sizes before, of, and behind the axes summed over; None where these are not side by side, or where
    it is no float32."""
    import torch

    value, axes = writer.given["self"].meta["val"], writer.given.get("dim")
    shape, found = value.shape, sorted(axis % max(1, len(value.shape)) for axis in axes or ())
    if value.dtype != torch.float32 or writer.given.get("dtype") or not found or found[-1] - found[0] != len(found) - 1:
        return None
    return math.prod(shape[: found[0]]), math.prod(shape[found[0] : found[-1] + 1]), math.prod(shape[found[-1] + 1 :])


def _put_sum(writer: _Writer, value: Any, mean: bool = False, root: bool = False) -> None:
    """Replace the node by the sum of `value` as a product with a row or a column of ones, or of shares, where it can be one."""
    import torch

    sizes = _summed(writer)
    if sizes is None:
        return
    before, size, behind = sizes
    share = 1 / size if mean else 1.0
    shape = (before, 1, size) if behind > 1 else (1, size, 1)
    ones = writer.once((share, shape), lambda: writer.constant(torch.full(shape, share)))
    if behind > 1:
        made = writer.call("bmm.default", ones, writer.call("reshape.default", value, [before, size, behind]))
    else:
        made = writer.call("bmm.default", writer.call("reshape.default", value, [1, before, size]), ones)
    made = writer.call("reshape.default", made, list(writer.node.meta["val"].shape))
    writer.put(writer.call("sqrt.default", made) if root else made)


def _power(writer: _Writer) -> None:
    """A square or a cube, which torch computes as these products."""
    value, exponent = writer.given["self"], writer.given["exponent"]
    if exponent in (2, 3):
        square = writer.call("mul.Tensor", value, value)
        writer.put(square if exponent == 2 else writer.call("mul.Tensor", square, value))


def _silu(writer: _Writer) -> None:
    writer.put(writer.call("mul.Tensor", writer.given["self"], writer.call("sigmoid.default", writer.given["self"])))


def _attention(writer: _Writer) -> None:
    """softmax(scale · q · kᵀ + mask) · v, which toolchains guard against rows that a mask leaves nothing of: so those are 0 here.

    Grouped heads and shapes that are broadcast stay as they are.
    """
    import torch

    given, (query, key, value) = writer.given, (writer.given[name].meta["val"] for name in ("query", "key", "value"))
    heads, mask = query.shape[:-2], given.get("attn_mask")
    if given.get("dropout_p") or given.get("enable_gqa") or not heads == key.shape[:-2] == value.shape[:-2]:
        return
    scale = given.get("scale") or 1 / math.sqrt(query.shape[-1])
    asked = given["query"] if scale == 1 else writer.call("mul.Tensor", given["query"], writer.number(scale))
    scores = _product(writer, asked, writer.call("transpose.int", given["key"], -2, -1))
    truths = mask is not None and mask.meta["val"].dtype == torch.bool
    known = _value(writer, mask) if truths and mask is not None and mask.op == "get_attr" else None
    if given.get("is_causal"):
        size = scores.meta["val"].shape[-2:]
        mask = writer.once(size, lambda: writer.constant(torch.full(size, -math.inf).triu(1)))
    added = writer.once(("numbers", mask), lambda: _numbers(writer, mask)) if truths else mask
    scores = scores if added is None else writer.call("add.Tensor", scores, added)
    made = _product(writer, writer.call("softmax.int", scores, -1), given["value"])
    if truths and (known is None or not known.any(-1).all()):
        made = writer.call("mul.Tensor", made, writer.once(("left", mask), lambda: _left(writer, mask)))
    writer.put(made)


def _softmax(writer: _Writer) -> None:
    """A softmax over the rows of an image, as a matrix: kernels that hold images channels last take those for its channels."""
    value, axis = writer.given["self"].meta["val"], writer.given["dim"]
    if len(value.shape) == 4 and axis % 4 == 3 and writer.given.get("dtype") is None and _is_image(writer.given["self"]):
        rows = writer.call("reshape.default", writer.given["self"], [-1, value.shape[3]])
        writer.put(writer.call("reshape.default", writer.call("softmax.int", rows, -1), list(value.shape)))


def _is_image(node: Any) -> bool:
    """Whether a tensor comes of a convolution with nothing between that would lay it out anew."""
    todo, seen = [node], set()
    while todo:
        each = todo.pop()
        name = getattr(each.target, "__name__", "").partition(".")[0] if each.op == "call_function" else ""
        if name.startswith("conv"):
            return True
        if each not in seen and name and name not in _LAID_OUT:
            todo += each.all_input_nodes
        seen.add(each)
    return False


def _numbers(writer: _Writer, mask: Any) -> Any:
    """A mask of truths as numbers to add: 0, and the lowest one."""
    import torch

    if mask.op == "get_attr":
        return writer.constant(torch.where(_value(writer, mask), 0.0, torch.finfo(torch.float32).min))
    return writer.call("where.self", mask, writer.number(0.0), writer.number(torch.finfo(torch.float32).min))


def _value(writer: _Writer, node: Any) -> Any:
    """The tensor of the module that a node stands for."""
    return operator.attrgetter(node.target)(writer.module)


def _left(writer: _Writer, mask: Any) -> Any:
    """1 for the rows of a mask of truths that leave something, 0 for the others."""
    import torch

    if mask.op == "get_attr":
        return writer.constant(_value(writer, mask).any(-1, keepdim=True).float())
    return writer.call("to.dtype", writer.call("any.dim", mask, -1, True), torch.float32)


def _product(writer: _Writer, left: Any, right: Any) -> Any:
    """A product of matrices, all axes before the last two taken together, as kernels have it."""
    one, two = (each.meta["val"].shape for each in (left, right))
    flat = [writer.call("reshape.default", each, [-1, *each.meta["val"].shape[-2:]]) for each in (left, right)]
    return writer.call("reshape.default", writer.call("bmm.default", *flat), [*one[:-1], two[-1]])


_LAID_OUT = ("reshape", "view", "permute", "transpose", "flatten", "unflatten", "linear", "matmul", "bmm", "embedding", "softmax")
"""Operators behind which nothing is known of a layout."""

_RULES: dict[str, Callable[[_Writer], None]] = {
    "split": _split, "split_with_sizes": _split, "chunk": _split, "unbind": _split, "select": _select, "mean": _mean,
    "max": _max,
    "silu": _silu, "pow": _power, "expand": _expand,
    "sum": _sum, "linalg_vector_norm": _norm, "softmax": _softmax,
    "scaled_dot_product_attention": _attention,
}  # fmt: skip
