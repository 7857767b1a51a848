"""Which activations of a model live when: the tensors that a runtime has to hold at each step of one inference.

Read from the normalised graph, before anything is lowered. What runtimes do to every graph is done here: a view holds no
memory of its own, an activation function behind a layer and a padding in front of one are part of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sdk.models import Model

_VIEWS = frozenset({
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "detach", "alias", "contiguous",
    "slice", "select", "split", "split_with_sizes", "chunk", "unbind", "getitem",
})  # fmt: skip
_COPIES = frozenset({"clone", "_to_copy", "to"})
"""Left out by runtimes where the dtype stays."""
_PADS = frozenset({"pad", "constant_pad_nd"})
_IN_PLACE = frozenset({
    "relu", "relu_", "hardtanh", "relu6", "hardswish", "hardsigmoid", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu",
    "neg", "exp", "sqrt", "rsqrt", "abs", "clamp", "add", "sub", "mul", "div", "softmax", "_softmax",
})  # fmt: skip
"""Operators that write over an input which nothing else reads (XNNPACK, `memory-planner.c`)."""
_PARTS = {"layer_norm": 8, "native_layer_norm": 8, "group_norm": 8, "scaled_dot_product_attention": 5}
"""Operator → simpler ones that runtimes take it apart into."""
_SCRATCH = {"layer_norm": 2.0, "native_layer_norm": 2.0, "group_norm": 2.0}
"""Operator → further tensors of its output's size that live while it runs: runtimes take it apart into simpler ones."""

_UNROLLED = 6.5
"""Tensors of all gates that live with each step of a recurrent layer, none of which XNNPACK uses again (measured at 40 steps)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One activation: bytes in float, the steps in which it is made (-1: an input) and last needed, and all that touch it.

    `maker` is the layer that makes it (None: another operator); `layers` read it, `others` says whether something else does.
    `rewritten` are the steps that write a result over it. `public`: an input or output of the model; `image`: of four
    dimensions, whose order runtimes change.
    """

    name: str
    bytes: int
    made: int
    last: int
    touched: frozenset[int]
    rewritten: frozenset[int]
    maker: str | None
    layers: frozenset[str]
    others: bool
    public: bool
    image: bool


@dataclass(frozen=True, slots=True)
class Activations:
    """All activations of one inference.

    By step: `layers` is the layer that it computes (or None), `kinds` the name of its operator, `scratch` the bytes that it
    holds besides its tensors, `padded` those of a padded copy of its input, where a runtime makes one, `indirect` the entries
    of the table through which a convolution reads its input. `pointers` counts all of these; `outputs` are the bytes of the
    model's outputs, `masked` the steps of attention with a mask of truth values. `pads`: step of a layer with an
    operator that pads in front → bytes of what that makes, and whether it adds anything.
    """

    tensors: tuple[Tensor, ...]
    layers: tuple[str | None, ...]
    kinds: tuple[str, ...]
    scratch: tuple[int, ...]
    padded: tuple[int, ...]
    indirect: tuple[int, ...]
    operators: int
    pointers: int
    outputs: int
    masked: frozenset[int]
    pads: Mapping[int, tuple[int, bool]]

    def copies(
        self, tensor: Tensor, static: Collection[str], dynamic: Collection[str], padded: Collection[int] = ()
    ) -> tuple[int, ...] | None:
        """Return the steps that convert a float tensor to or from 8 bits; None for one that is held in 8 bits itself.

        Steps in `padded` pad it in float.
        """
        narrow = tensor.maker in static and not tensor.others and all(layer in static for layer in tensor.layers)
        if narrow and not any(step in padded for step in tensor.touched if step != tensor.made):
            return None
        layers = [(step, self.layers[step]) for step in sorted(tensor.touched)]
        return tuple(step for step, layer in layers if layer in static or (layer in dynamic and layer in tensor.layers))

    def conversions(self, static: Collection[str], dynamic: Collection[str]) -> int:
        """Return how many operators convert between floats and 8 bits."""
        return sum(len(self.copies(tensor, static, dynamic) or ()) for tensor in self.tensors)

    def parts(self, outside: Collection[int]) -> tuple[int, ...]:
        """Return which accelerated part computes each step, counted in the order in which they run.

        Steps outside separate them: what needs the result of one, directly or not, is of a later part.
        """
        needs: list[set[int]] = [set() for _ in self.layers]
        for tensor in self.tensors:
            writers = sorted({tensor.made, *tensor.rewritten} - {-1})
            for step in tensor.touched:
                needs[step].update(writer for writer in writers if writer < step)
        found: list[int] = []
        for step, before in enumerate(needs):
            found.append(max((found[each] + (each in outside and step not in outside) for each in before), default=0))
        return tuple(found)


def outside_steps(found: Activations, layers: Collection[str], kinds: Collection[str]) -> frozenset[int]:
    """Return the steps that compute one of `layers`, or an operator called as one of `kinds`.

    `first_masked_attention` is the first attention whose mask holds truth values: a runtime that makes numbers of it once ends an
    accelerated part there which begins the graph; elsewhere the mask is made before.
    """
    steps = frozenset(
        step for step, (layer, kind) in enumerate(zip(found.layers, found.kinds, strict=True))
        if layer in layers or (layer is None and kind in kinds)
    )
    first = "first_masked_attention" in kinds and 0 not in steps
    return steps | set(sorted(found.masked)[:1]) if first else steps


def activations(model: Model, working: Mapping[str, float] = MappingProxyType({})) -> Activations:
    """Return the activations of one inference at the model's example shapes.

    `working`: operator → further tensors of its output's size that live while it runs, instead of what is known of it here.
    """
    return _Reading(model, working).result()


def computed(model: Model) -> list[Any]:
    """Return the nodes of the graph that are steps of an inference, in order: those that depend on an input."""
    reading = _Reading(model)
    fed = reading._depends()
    return [node for node in reading.live if node.op == "call_function" and node.name in fed]


def attended(model: Model) -> dict[int, tuple[str, ...]]:
    """Return the tensors that each attention reads as queries, keys and values, by its step."""
    reading = _Reading(model)
    reading.result()
    found = [(step, node) for step, node in enumerate(computed(model)) if _kind(node) == "scaled_dot_product_attention"]
    return {step: tuple(reading._root(each.name) for each in node.args[:3]) for step, node in found}


def positions(model: Model, count: int) -> int:
    """Return the bytes of what is computed of `count` positions alone and read beside the inputs: sines and cosines."""
    reading = _Reading(model)
    fed, made = reading._depends(), dict[str, int]()
    for node in reading.live:
        counted = node.name not in fed and count in getattr(node.meta.get("val"), "shape", ())
        if counted and any(user.name in fed for user in node.users):
            while is_view(node):
                node = node.all_input_nodes[0]
            made[node.name] = _bytes(node)
    return sum(made.values())


def is_view(node: Any) -> bool:
    """Whether a node moves nothing: a view, or a copy that runtimes leave out."""
    kind = _kind(node)
    return kind in _VIEWS or (kind in _COPIES and _same(node, node.all_input_nodes[0]))


def is_fused(node: Any, layers: Collection[str]) -> bool:
    """Whether a node is a padding that the layers behind it do themselves."""
    return _kind(node) in _PADS and all(user.name in layers for user in node.users)


class _Reading:
    """One pass over the graph: aliases first, then lifetimes."""

    def __init__(self, model: Model, working: Mapping[str, float] = MappingProxyType({})) -> None:
        self.model, self.working = model, working
        self.nodes = {node.name: node for node in model.program.graph.nodes}
        self.of_layer = {name: layer.name for layer in model.inventory.layers for name in layer.fused}
        self.ends = {layer.fused[0]: layer.fused[-1] for layer in model.inventory.layers}
        self.alias: dict[str, str] = {}
        user_inputs = set(model.program.graph_signature.user_inputs)
        self.live = [n for n in model.program.graph.nodes if n.op == "call_function" or n.name in user_inputs]
        self.inputs = user_inputs

    def result(self) -> Activations:
        fed = self._depends()
        steps = [node for node in self.live if node.op == "call_function" and node.name in fed]
        place = {node.name: index for index, node in enumerate(steps)}
        for node in steps:
            self._alias(node, fed)
        out = {self._root(node.name) for node in self._outputs()}
        indirect = tuple(map(_pointers, steps))
        return Activations(
            tuple(self._tensor(name, uses, place, out, len(steps)) for name, uses in self._uses(place, fed).items()),
            tuple(self.of_layer.get(node.name) for node in steps), tuple(map(named, steps)),
            tuple(int(self.working.get(_kind(node), _scratch(node)) * _bytes(node)) for node in steps),
            tuple(map(_padded, steps)), indirect,
            operators=sum(map(self._operators, steps)), pointers=sum(indirect), outputs=sum(map(_bytes, self._outputs())),
            masked=frozenset(step for step, node in enumerate(steps) if _masked(node)),
            pads={step: pad for step, node in enumerate(steps) if (pad := self._pad(node)) is not None},
        )  # fmt: skip

    def _uses(self, place: dict[str, int], fed: set[str]) -> dict[str, list[Any]]:
        """Tensor → the nodes that make and read it, itself or through a view."""
        uses: dict[str, list[Any]] = {}
        for node in self.live:
            if node.name not in fed:
                continue
            uses.setdefault(self._root(node.name), []).append(node)
            for source in node.all_input_nodes:
                root = self._root(source.name)
                if source.name in fed and root != self._root(node.name):
                    uses.setdefault(root, []).append(node)
        return uses

    def _tensor(self, name: str, uses: list[Any], place: dict[str, int], out: set[str], steps: int) -> Tensor:
        touched = frozenset(place[node.name] for node in uses if node.name in place)
        readers = {self.of_layer.get(node.name) for node in uses if self._root(node.name) != name or self._over_written(node)}
        public = name in out or name in self.inputs
        return Tensor(
            name=name, bytes=_bytes(self.nodes[name]), made=-1 if name in self.inputs else min(touched),
            last=steps - 1 if public else max(touched), touched=touched,
            rewritten=frozenset(place[node.name] for node in uses if self._over_written(node) and self._root(node.name) == name),
            maker=self.of_layer.get(name),
            layers=frozenset(layer for layer in readers if layer is not None), others=None in readers or public, public=public,
            image=_dims(self.nodes[name]) == 4,
        )  # fmt: skip

    def _depends(self) -> set[str]:
        """Names of all nodes that depend on an input: the others are constants, folded when lowering."""
        fed = set(self.inputs)
        for node in self.live:
            if any(source.name in fed for source in node.all_input_nodes):
                fed.add(node.name)
        return fed

    def _alias(self, node: Any, fed: set[str]) -> None:
        """Find the tensor that a node's result is part of, or is written over, if any."""
        kind = _kind(node)
        sources = [source for source in node.all_input_nodes if source.name in fed]
        if self.ends.get(node.name, node.name) != node.name:
            self.alias[node.name] = self.ends[node.name]
        elif kind in _VIEWS or (kind in _COPIES and _same(node, sources[0])):
            self.alias[node.name] = sources[0].name
        elif kind in _IN_PLACE and (over := self._over(node, sources)) is not None:
            self.alias[node.name] = over
        elif kind in _PADS and all(user.name in self.of_layer for user in node.users):
            self.alias[node.name] = sources[0].name

    def _over(self, node: Any, sources: list[Any]) -> str | None:
        """The input that an operator may write its result over: of the same size, read by nothing else, not the caller's."""
        if node in self._outputs() or node.name in self.of_layer:
            return None
        for source in sources:
            chain = [source]
            while chain[-1].name in self.alias and _kind(chain[-1]) in _VIEWS | _COPIES:
                chain.append(chain[-1].all_input_nodes[0])
            if all(len(each.users) == 1 and each.name not in self.inputs for each in chain) and _bytes(source) == _bytes(node):
                return str(source.name)
        return None

    def _operators(self, node: Any) -> int:
        """Operators that a runtime makes of a node: none of what is fused into another, several of a normalisation."""
        fused = node.name in self.alias and (node.name in self.of_layer or _kind(node) in _PADS | {"getitem"})
        return 0 if fused else _PARTS.get(_kind(node), 1)

    def _pad(self, node: Any) -> tuple[int, bool] | None:
        """What a padding in front of a layer makes in bytes, and whether it adds anything; None where there is none."""
        pad = node.all_input_nodes[0]
        if node.name not in self.of_layer or _kind(pad) not in _PADS or pad.name not in self.alias:
            return None
        return _bytes(pad), _bytes(pad) > _bytes(pad.all_input_nodes[0])

    def _over_written(self, node: Any) -> bool:
        """Whether the node is an operator of its own that writes over its input."""
        return node.name in self.alias and node.name not in self.of_layer and _kind(node) in _IN_PLACE

    def _root(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def _outputs(self) -> list[Any]:
        output = next(node for node in self.model.program.graph.nodes if node.op == "output")
        return list(dict.fromkeys(output.all_input_nodes))


def _kind(node: Any) -> str:
    name = getattr(node.target, "_opname", None) or getattr(node.target, "__name__", str(node.target))
    return str(name).partition(".")[0]


def _scratch(node: Any) -> float:
    if _kind(node) == "scaled_dot_product_attention":
        query, key = node.args[0].meta["val"], node.args[1].meta["val"]
        scores = math.prod(query.shape[:-1]) * key.shape[-2]
        return float(2 * scores / max(1, math.prod(node.meta["val"].shape)))
    if _kind(node) in ("lstm", "gru"):
        gates, steps = node.args[2][0].meta["val"].shape[0], math.prod(node.args[0].meta["val"].shape[:-1])
        return float(_UNROLLED * 4 * gates * steps / _bytes(node))
    return _SCRATCH.get(_kind(node), 0.0)


def _masked(node: Any) -> bool:
    if _kind(node) != "scaled_dot_product_attention":
        return False
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    return "bool" in str(getattr(getattr(mask, "meta", {}).get("val"), "dtype", ""))


def named(node: Any) -> str:
    """The operator's name; pooling that pads is told apart, as some runtimes pad in a step of its own."""
    return _kind(node) + ("_padded" if "pool" in _kind(node) and _padded(node) else "")


def _padded(node: Any) -> int:
    """Bytes of the padded input of a pooling operator or a convolution, 0 for others.

    Rounding up pads to the last window's end; no copy is needed where both sides get what the output's size asks for (`SAME`).
    """
    kind = _kind(node)
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


def _pair(given: Any, default: int) -> tuple[int, int]:
    """Sizes of two axes, of which one number may stand for both."""
    sizes = given if isinstance(given, list | tuple) else [given]
    sizes = [default if each is None else int(each) for each in sizes] or [default]
    return sizes[0], sizes[-1]


def _dims(node: Any) -> int:
    return len(getattr(node.meta.get("val"), "shape", ()))


def _pointers(node: Any) -> int:
    """Entries of the table of input rows that an indirect convolution keeps: one per output position and kernel element.

    Depthwise kernels share the overlapping columns of neighbouring positions (XNNPACK, `indirection.c`).
    """
    if not _kind(node).startswith("conv") or "transpose" in _kind(node):
        return 0
    kernel, out = tuple(node.args[1].meta["val"].shape[2:]), tuple(node.meta["val"].shape[2:])
    if math.prod(kernel) == 1:
        return 0
    stride = node.args[3] if len(node.args) > 3 and node.args[3] else [1]
    if len(node.args) > 6 and node.args[6] > 1 and len(kernel) == 2 and math.prod(kernel) <= 25:
        shared = min(stride[-1], kernel[1]) * kernel[0]
        return int(out[0] * (math.prod(kernel) + (out[1] - 1) * shared))
    return int(math.prod(out) * math.prod(kernel))


def _same(node: Any, source: Any) -> bool:
    mine, theirs = node.meta.get("val"), source.meta.get("val")
    return getattr(mine, "dtype", None) == getattr(theirs, "dtype", 0)


def _bytes(node: Any) -> int:
    value = node.meta.get("val")
    if isinstance(value, tuple | list):
        return sum(_size(each) for each in value)
    return _size(value)


def _size(value: Any) -> int:
    return int(math.prod(value.shape) * value.element_size()) if hasattr(value, "element_size") else 0
