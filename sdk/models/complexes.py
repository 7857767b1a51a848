"""Arithmetic of complex numbers in a graph, operator by operator, as pairs of real tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from sdk.models.calls import arguments, call_before

Pair = tuple[Any, Any]
"""Nodes or numbers of the real and of the imaginary part; None for an imaginary part of zero."""
ALIKE = frozenset({
    "view", "reshape", "unsafe_view", "permute", "transpose", "t", "unsqueeze", "squeeze", "slice", "select", "expand", "clone",
    "contiguous", "flatten", "unflatten", "detach", "alias", "flip", "neg", "sum", "mean", "narrow", "index_select", "roll",
    "pad", "constant_pad_nd", "repeat", "cumsum", "index", "gather", "unfold", "diagonal", "lift_fresh_copy", "getitem",
    "split", "split_with_sizes", "chunk", "unbind",
})  # fmt: skip
"""Operators that do the same to the real and to the imaginary parts."""
FILLED = frozenset(f"{kind}{name}" for name in ("zeros", "ones", "full") for kind in ("", "new_")) | {
    "zeros_like", "ones_like", "full_like",
}  # fmt: skip
PRODUCTS = frozenset({"matmul", "mm", "bmm", "mv", "dot"})
HIGHEST = 8
"""Exponent of a power that is written as products."""


def is_complex(node: Any) -> bool:
    """Whether a node makes complex numbers."""
    value = node.meta.get("val")
    return bool(getattr(value, "is_complex", bool)())


def operator_name(node: Any) -> str:
    """Return the name of a node's operator without its overload; "getitem" of a part of several results."""
    return str(getattr(node.target, "_opname", getattr(node.target, "__name__", ""))).removeprefix("_")


def is_written(node: Any) -> bool:
    """Whether `Pairs` knows a call of an ATen operator that complex numbers go into or come out of."""
    name, given = operator_name(node), arguments(node)
    if name in ("add", "sub", "rsub"):
        return bool(given.get("alpha", 1) == 1)
    if name == "pow":
        return isinstance(given.get("exponent"), int) and 1 <= given["exponent"] <= HIGHEST
    if name in ("pad", "constant_pad_nd"):
        return not given.get("value")
    return name in ALIKE | FILLED | PRODUCTS or hasattr(Pairs, f"_{name}")


class Pairs:
    """Writes one `node` at a time in front of itself; `pairs`: complex node → its parts."""

    def __init__(self) -> None:
        import torch

        self.pairs, self.aten = dict[Any, Pair](), torch.ops.aten
        self.node: Any = None

    def written(self) -> Any:
        """Return the real result of the node, or the pair of a complex one."""
        node, name = self.node, operator_name(self.node)
        if name in ALIKE:
            return self._alike(lambda part: self._call(node.target, part, *node.args[1:], **node.kwargs), node.args[0])
        if name in FILLED:
            return self._filled(node.meta["val"], name)
        if name in PRODUCTS:
            return self._products(lambda parts: self._call(node.target, *parts), node.args)
        return getattr(self, f"_{name}")(*arguments(node).values())

    def _call(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Put a call in front of the node that is written."""
        made = call_before(self.node, target, *args, **kwargs)
        made.meta["nn_module_stack"] = self.node.meta.get("nn_module_stack")
        return made

    def _alike(self, call: Callable[..., Any], *values: Any) -> Pair:
        """What `call` makes of the real and of the imaginary parts of tensors, zeros where there are none."""
        pairs = [self._pair(each) for each in values]
        imaginary = [self._call(self.aten.mul.Tensor, real, 0.0) if part is None else part for real, part in pairs]
        return call(*(real for real, _ in pairs)), call(*imaginary)

    def _products(self, call: Callable[[list[Any]], Any], values: Any) -> Pair:
        """What `call`, which is linear in each of its tensors, makes of all: i to the power of a product's imaginary parts."""
        sums: list[Any] = [None, None]
        for chosen in itertools.product((0, 1), repeat=len(values)):
            parts = [self._pair(value)[each] for value, each in zip(values, chosen, strict=True)]
            if any(part is None for part in parts):
                continue
            turns, made = sum(chosen) % 4, call(parts)
            sums[turns % 2] = self._sum(sums[turns % 2], self._minus(made) if turns > 1 else made)
        return sums[0], sums[1]

    def _filled(self, value: Any, name: str) -> Pair:
        number = complex(arguments(self.node)["fill_value"]) if "full" in name else complex("ones" in name)
        real, imaginary = (
            self._call(self.aten.full.default, list(value.shape), part, dtype=value.real.dtype, device=value.device)
            for part in (number.real, number.imag)
        )
        return real, imaginary

    def _pair(self, value: Any) -> Pair:
        if isinstance(value, tuple):
            return value
        if isinstance(value, complex):
            return value.real, value.imag
        return self.pairs.get(value, (value, None)) if hasattr(value, "op") else (value, None)

    def _sum(self, one: Any, two: Any) -> Any:
        """The sum of two nodes or numbers, None for zero."""
        if one is None or two is None:
            return two if one is None else one
        return self._call(self.aten.add.Tensor, *((one, two) if hasattr(one, "op") else (two, one)))

    def _times(self, one: Any, two: Any) -> Any:
        if one is None or two is None:
            return None
        return self._call(self.aten.mul.Tensor, *((one, two) if hasattr(one, "op") else (two, one)))

    def _minus(self, value: Any) -> Any:
        return None if value is None else self._call(self.aten.neg.default, value) if hasattr(value, "op") else -value

    def _mul(self, one: Any, two: Any) -> Pair:
        (a, b), (c, d) = self._pair(one), self._pair(two)
        return self._sum(self._times(a, c), self._minus(self._times(b, d))), self._sum(self._times(a, d), self._times(b, c))

    def _div(self, one: Any, two: Any) -> Pair:
        (a, b), (c, d) = self._pair(one), self._pair(two)
        if d is not None:
            size = self._sum(self._times(c, c), self._times(d, d))
            parts = self._sum(self._times(a, c), self._times(b, d)), self._sum(self._times(b, c), self._minus(self._times(a, d)))
            return self._over(parts[0], size), self._over(parts[1], size)
        return self._over(a, c), self._over(b, c)

    def _over(self, one: Any, two: Any) -> Any:
        return None if one is None else self._call(self.aten.div.Tensor, one, two)

    def _add(self, one: Any, two: Any, alpha: Any = 1) -> Pair:
        (a, b), (c, d) = self._pair(one), self._pair(two)
        return self._sum(a, c), self._sum(b, d)

    def _sub(self, one: Any, two: Any, alpha: Any = 1) -> Pair:
        (a, b), (c, d) = self._pair(one), self._pair(two)
        return self._sum(a, self._minus(c)), self._sum(b, self._minus(d))

    def _rsub(self, one: Any, two: Any, alpha: Any) -> Pair:
        return self._sub(two, one, alpha)

    def _cat(self, tensors: Any, dim: int) -> Pair:
        return self._joined(self.aten.cat.default, tensors, dim)

    def _stack(self, tensors: Any, dim: int) -> Pair:
        return self._joined(self.aten.stack.default, tensors, dim)

    def _joined(self, target: Any, tensors: Any, dim: int) -> Pair:
        return self._alike(lambda *parts: self._call(target, list(parts), dim), *tensors)

    def _real(self, value: Any) -> Any:
        return self._pair(value)[0]

    def _imag(self, value: Any) -> Any:
        return self._pair(value)[1]

    def _conj(self, value: Any) -> Pair:
        real, imaginary = self._pair(value)
        return real, self._minus(imaginary)

    _conj_physical = _conj

    def _resolve_conj(self, value: Any) -> Pair:
        return self._pair(value)

    def _view_as_real(self, value: Any) -> Any:
        return self._call(self.aten.stack.default, list(self._pair(value)), -1)

    def _view_as_complex(self, value: Any) -> Pair:
        return self._call(self.aten.select.int, value, -1, 0), self._call(self.aten.select.int, value, -1, 1)

    def _complex(self, real: Any, imaginary: Any) -> Pair:
        return real, imaginary

    def _polar(self, size: Any, angle: Any) -> Pair:
        cosine, sine = self._call(self.aten.cos.default, angle), self._call(self.aten.sin.default, angle)
        return self._times(size, cosine), self._times(size, sine)

    def _angle(self, value: Any) -> Any:
        real, imaginary = self._pair(value)
        return self._call(self.aten.atan2.default, imaginary, real)

    def _abs(self, value: Any) -> Any:
        """The root of the power, which users that square it read without the root."""
        power = self._sum(*(self._times(part, part) for part in self._pair(value)))
        for user in [user for user in self.node.users if operator_name(user) == "pow" and user.args[1] == 2]:
            user.replace_all_uses_with(power)
        return self._call(self.aten.sqrt.default, power)

    def _exp(self, value: Any) -> Pair:
        real, imaginary = self._pair(value)
        return self._polar(self._call(self.aten.exp.default, real), imaginary)

    def _sgn(self, value: Any) -> Pair:
        """Of the size one, and zero where the value is."""
        size = self._abs(value)
        return self._div(value, self._call(self.aten.masked_fill.Scalar, size, self._call(self.aten.eq.Scalar, size, 0), 1.0))

    def _square(self, value: Any) -> Pair:
        return self._mul(value, value)

    def _pow(self, value: Any, exponent: int) -> Pair:
        found = self._pair(value)
        for _ in range(exponent - 1):
            found = self._mul(found, value)
        return found

    def _reciprocal(self, value: Any) -> Pair:
        return self._div(1.0, value)

    def _einsum(self, equation: str, tensors: Any, *path: Any) -> Pair:
        return self._products(lambda parts: self._call(self.aten.einsum.default, equation, parts), tensors)

    def _masked_fill(self, value: Any, mask: Any, filled: Any) -> Pair:
        return self._where(mask, filled, value)

    def _where(self, condition: Any, one: Any, two: Any) -> Pair:
        (a, b), (c, d) = self._pair(one), self._pair(two)
        return self._chosen(condition, a, c), None if b is None and d is None else self._chosen(condition, b or 0.0, d or 0.0)

    def _chosen(self, condition: Any, one: Any, two: Any) -> Any:
        kinds = {(True, True): "self", (True, False): "ScalarOther", (False, True): "ScalarSelf", (False, False): "Scalar"}
        return self._call(getattr(self.aten.where, kinds[hasattr(one, "op"), hasattr(two, "op")]), condition, one, two)

    def _slice_scatter(self, value: Any, part: Any, *place: Any) -> Pair:
        return self._alike(lambda one, two: self._call(self.aten.slice_scatter.default, one, two, *place), value, part)

    def _select_scatter(self, value: Any, part: Any, *place: Any) -> Pair:
        return self._alike(lambda one, two: self._call(self.aten.select_scatter.default, one, two, *place), value, part)

    def _fft_fftshift(self, value: Any, axes: Any) -> Pair:
        return self._rolled(value, axes, 0)

    def _fft_ifftshift(self, value: Any, axes: Any) -> Pair:
        return self._rolled(value, axes, 1)

    def _rolled(self, value: Any, axes: Any, more: int) -> Pair:
        shape = self.node.meta["val"].shape
        axes = list(range(len(shape))) if axes is None else list(axes)
        shifts = [(shape[axis] + more) // 2 for axis in axes]
        return self._alike(lambda part: self._call(self.aten.roll.default, part, shifts, axes), value)

    def _to_copy(self, value: Any, dtype: Any, *options: Any) -> Any:
        """Made complex of real numbers, of another precision, or real, which leaves the imaginary parts."""
        real, imaginary = self._pair(value)
        if dtype is not None and not dtype.is_complex:
            return self._call(self.aten._to_copy.default, real, dtype=dtype)
        made = self.node.meta["val"].real.dtype
        parts = [None if each is None else self._call(self.aten._to_copy.default, each, dtype=made) for each in (real, imaginary)]
        return parts[0], parts[1]
