"""Which activations of a model live when: the tensors that a runtime has to hold at each step of one inference.

Read from the normalised graph, before anything is lowered. What runtimes do to every graph is done here: a view holds no
memory of its own, an activation function behind a layer and a padding in front of one are part of the layer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sdk.costs.nodes import (
    ATTENTION,
    COPIES,
    IN_PLACE,
    OUTSIDE,
    PADS,
    PARTS,
    SLICES,
    VIEWS,
    bytes_of,
    constants_of,
    dims_of,
    inner_of,
    is_float,
    is_masked,
    is_view,
    kernel,
    kind_of,
    named,
    packed_by_attention,
    padded_bytes,
    patches_of,
    pointers_of,
    scratch_of,
)  # fmt: skip
from sdk.costs.orders import channels_first, write_orders
from sdk.lowering import Operators
from sdk.models import Model
from sdk.models.simpler import write_simpler

IMAGE = 4
"""Axes of an image. What is made of two tensors of other axes is written over neither by LiteRT's XNNPACK (as the rooms of six
transformers show, to the byte; why is not known)."""
PLAIN = Operators()
"""Of a runtime that has no ways of its own."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One activation: bytes in float, the steps in which it is made (-1: an input) and last needed, and all that touch it.

    `maker` is the layer that makes it (None: another operator); `layers` read it, `others` says whether something else does.
    `rewritten` are the steps that write a result over it, `viewed` those that view it. `public`: an input or output of the model;
    `image`: of four dimensions, whose order runtimes change.
    """

    name: str
    bytes: int
    made: int
    last: int
    touched: frozenset[int]
    rewritten: frozenset[int]
    viewed: frozenset[int]
    maker: str | None
    layers: frozenset[str]
    others: bool
    public: bool
    image: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention: the tensors that its scores are made of and nothing else of it, and bytes that its two products pack."""

    scored: frozenset[str]
    keys: int
    values: int


@dataclass(frozen=True, slots=True)
class Activations:
    """All activations of one inference.

    By step: `layers` is the layer that it computes (or None), `kinds` the name of its operator, `scratch` the bytes that it
    holds besides its tensors, `padded` those of a padded copy of its input, where a runtime makes one, `indirect` the entries
    of the table through which a convolution reads its input. `operators` counts those of the runtime, `weighted` the layers
    among them, `pointers` the entries of all tables; `outputs` are the bytes of the model's outputs, `masked` the steps of
    attention with a mask of truth values. `pads`: step of a layer with an operator that pads in front → bytes of what that
    makes; `patches`: step of a dilated convolution → bytes of all its patches, written out. `inner`: the numbers that each
    step multiplies for a result, where it is a linear layer; `integers`: the steps that make no floats. `needs`: where it is
    known, the steps whose results each one reads; each is then of the last part that can compute it, not of the first.
    `constants` counts the tensors and numbers of the file that each step reads, where those are known. `attention`: what is
    known of the steps of one.
    """

    tensors: tuple[Tensor, ...]
    layers: tuple[str | None, ...]
    kinds: tuple[str, ...]
    scratch: tuple[int, ...]
    padded: tuple[int, ...]
    indirect: tuple[int, ...]
    operators: int
    weighted: int
    pointers: int
    outputs: int
    masked: frozenset[int]
    pads: Mapping[int, int]
    inner: tuple[int, ...]
    integers: frozenset[int] = frozenset()
    needs: tuple[tuple[int, ...], ...] = ()
    constants: tuple[int, ...] = ()
    patches: Mapping[int, int] = field(default_factory=dict)
    attention: Mapping[int, Attention] = field(default_factory=dict)

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

        Steps outside separate them: what needs the result of one, directly or not, is of a later part. What passes between
        parts is brought back into order by the one that made it.
        """
        needs = self.reads()
        found: list[int] = []
        for step, before in enumerate(needs):
            found.append(max((found[each] + (each in outside and step not in outside) for each in before), default=0))
        if self.needs:
            last: dict[int, int] = {}
            for step in reversed(range(len(found))):
                found[step] = last.get(step, found[step])
                for each in needs[step]:
                    latest = found[step] - (each in outside and step not in outside)
                    last[each] = min(last.get(each, latest), latest)
            for step, kind in enumerate(self.kinds):
                if kind == channels_first.__name__ and not needs[step] & set(outside):
                    found[step] = max((found[each] for each in needs[step]), default=found[step])
        return tuple(found)

    def reads(self) -> list[set[int]]:
        """By step: those whose results it reads."""
        if self.needs:
            return [set(each) for each in self.needs]
        needs: list[set[int]] = [set() for _ in self.layers]
        for tensor in self.tensors:
            writers = sorted({tensor.made, *tensor.rewritten} - {-1})
            for step in tensor.touched:
                needs[step].update(writer for writer in writers if writer < step)
        return needs


def activations(
    model: Model, working: Mapping[str, float] = MappingProxyType({}), rules: Operators = PLAIN
) -> Activations:
    """Return the activations of one inference at the model's example shapes.

    `working`: operator → further tensors of its output's size that live while it runs, instead of what is known of it here.
    """
    return _Reading(model, working, rules).result()


def computed(model: Model) -> list[Any]:
    """Return the nodes of the graph that are steps of an inference, in order: those that depend on an input."""
    reading = _Reading(model)
    fed = reading._depends()
    return [node for node in reading.live if node.op == "call_function" and node.name in fed]


def attended(model: Model) -> dict[int, tuple[str, ...]]:
    """Return the tensors that each attention reads as queries, keys and values, by its step."""
    reading = _Reading(model)
    reading.result()
    found = [(step, node) for step, node in enumerate(computed(model)) if kind_of(node) == ATTENTION]
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
            made[node.name] = bytes_of(node)
    return sum(made.values())


class _Reading:
    """One pass over the graph: aliases first, then lifetimes."""

    def __init__(
        self, model: Model, working: Mapping[str, float] = MappingProxyType({}), rules: Operators = PLAIN
    ) -> None:
        self.model, self.working, self.rules, self.graph = model, {**rules.working, **working}, rules, model.program.graph
        self.simpler = rules.simpler
        self.of_layer = {name: layer.name for layer in model.inventory.layers for name in layer.fused}
        if rules.simpler:
            module = model.module()
            write_simpler(module)
            self.graph = module.graph
            fused = {name for layer in model.inventory.layers for name in layer.fused[1:]}
            write_orders(self.graph, fused, kernel, self._is_outside)
        self.nodes = {node.name: node for node in self.graph.nodes}
        self.ends = {layer.fused[0]: layer.fused[-1] for layer in model.inventory.layers}
        self.alias: dict[str, str] = {}
        user_inputs = set(model.program.graph_signature.user_inputs)
        if rules.simpler:  # a module's placeholders are the inputs alone, some of another name
            user_inputs = {node.name for node in self.graph.nodes if node.op == "placeholder"}
        self.live = [n for n in self.graph.nodes if n.op == "call_function" or n.name in user_inputs]
        self.shown = frozenset(self.live)
        self.inputs = user_inputs

    def result(self) -> Activations:
        fed = self._depends()
        steps = [node for node in self._ordered() if node.op == "call_function" and node.name in fed]
        place = {node.name: index for index, node in enumerate(steps)}
        for node in steps:
            self._alias(node, fed)
        out = {self._root(node.name) for node in self._outputs()}
        indirect = tuple(map(pointers_of, steps))
        return Activations(
            tuple(self._tensor(name, uses, place, out, len(steps)) for name, uses in self._uses(place, fed).items()),
            tuple(self.of_layer.get(node.name) for node in steps), tuple(map(kernel if self.simpler else named, steps)),
            tuple(int(self.working.get(kind_of(node), scratch_of(node, self.rules.looped)) * bytes_of(node)) for node in steps),
            tuple(map(padded_bytes, steps)), indirect,
            operators=sum(map(self._operators, steps)),
            weighted=sum(self._operators(node) for node in steps if node.name in self.of_layer),
            pointers=sum(indirect), outputs=sum(map(bytes_of, self._outputs())),
            masked=frozenset(step for step, node in enumerate(steps) if is_masked(node)),
            pads={step: pad for step, node in enumerate(steps) if (pad := self._pad(node)) is not None},
            patches={step: size for step, node in enumerate(steps) if (size := patches_of(node))},
            inner=tuple(inner_of(node, not self.simpler) for node in steps),
            integers=frozenset(step for step, node in enumerate(steps) if not is_float(node)),
            needs=tuple(tuple(place[each.name] for each in node.all_input_nodes if each.name in place) for node in steps)
            if self.simpler else (),
            constants=tuple(map(constants_of, steps)) if self.simpler else (),
            attention={step: self._attention(node) for step, node in enumerate(steps) if kind_of(node) == ATTENTION},
        )  # fmt: skip

    def _attention(self, node: Any) -> Attention:
        query, key, value = (self._root(each.name) for each in node.args[:3])
        return Attention(frozenset({query, key} - {value}), *packed_by_attention(node))

    def _ordered(self) -> list[Any]:
        """The nodes as they run: as they stand, or by breadth, as the toolchain sorts a graph anew once a part is taken out."""
        if not self.simpler or not any(node.op == "call_function" and self._is_outside(node) for node in self.live):
            return self.live
        waits = {node: sum(each in self.shown for each in node.all_input_nodes) for node in self.live}
        found = [node for node in self.live if not waits[node]]
        for node in found:
            for user in node.users:
                if user in waits:
                    waits[user] -= 1
                    found += [user] if not waits[user] else []
        return found

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
            name=name, bytes=bytes_of(self.nodes[name]), made=-1 if name in self.inputs else min(touched),
            last=steps - 1 if name in out or (public and not self.simpler) else max(touched, default=0), touched=touched,
            rewritten=frozenset(place[node.name] for node in uses if self._over_written(node) and self._root(node.name) == name),
            viewed=frozenset(place[node.name] for node in uses if self._views(node) and self._root(node.name) == name),
            maker=self.of_layer.get(name),
            layers=frozenset(layer for layer in readers if layer is not None), others=None in readers or public, public=public,
            image=dims_of(self.nodes[name]) == 4,
        )  # fmt: skip

    def _is_outside(self, node: Any) -> bool:
        """Whether the accelerated parts leave a node out, whatever its scheme."""
        layer = self.of_layer.get(node.name)
        if layer is not None:
            return self.model.inventory[layer].kind in OUTSIDE
        return kernel(node) not in self.rules.taken or not is_float(node)

    def _depends(self) -> set[str]:
        """Names of all nodes that depend on an input: the others are constants, which most toolchains fold."""
        if self.simpler:
            return {node.name for node in self.live}
        fed = set(self.inputs)
        for node in self.live:
            if any(source.name in fed for source in node.all_input_nodes):
                fed.add(node.name)
        return fed

    def _alias(self, node: Any, fed: set[str]) -> None:
        """Find the tensor that a node's result is part of, or is written over, if any."""
        kind = kind_of(node)
        sources = [source for source in node.all_input_nodes if source.name in fed]
        if self.ends.get(node.name, node.name) != node.name:
            self.alias[node.name] = self.ends[node.name]
        elif is_view(node) and sources and (not self.simpler or self._idle(node) or self._in_place(node, sources[0])):
            self.alias[node.name] = sources[0].name
        elif kind in IN_PLACE and (over := self._over(node, sources)) is not None:
            self.alias[node.name] = over
        elif kind in PADS and all(user.name in self.of_layer for user in node.users):
            self.alias[node.name] = sources[0].name

    def _idle(self, node: Any) -> bool:
        """Whether the toolchain leaves a node out."""
        return kind_of(node) in COPIES | {"getitem", "contiguous", "detach", "alias"} or kernel(node) == "expand"

    def _in_place(self, node: Any, source: Any) -> bool:
        """Whether XNNPACK writes a result over what it is made of: both are read once, and by the part itself (`runtime.c`)."""
        if kind_of(node) in SLICES or node in self._outputs() or self._root(source.name) in self.inputs:
            return False
        return self._readers(source) == self._readers(node) == 1 and bytes_of(source) == bytes_of(node)

    def _readers(self, node: Any) -> int:
        return sum(self._readers(user) if is_view(user) and self._idle(user) else 1 for user in node.users)

    def _over(self, node: Any, sources: list[Any]) -> str | None:
        """The input that an operator may write its result over: of the same size, read by nothing else, not the caller's."""
        if node in self._outputs() or node.name in self.of_layer:
            return None
        if self.simpler:
            return next((str(source.name) for source in sources if self._in_place(node, source)), None)
        if len(sources) > 1 and dims_of(node) != IMAGE:
            return None
        for source in sources:
            chain = [source]
            while chain[-1].name in self.alias and kind_of(chain[-1]) in VIEWS | COPIES:
                chain.append(chain[-1].all_input_nodes[0])
            alone = all(len(each.users) == 1 and each.name not in self.inputs for each in chain)
            if alone and bytes_of(source) == bytes_of(node):
                return str(source.name)
        return None

    def _operators(self, node: Any) -> int:
        """Operators that a runtime makes of a node: none of what is fused into another, several of a normalisation."""
        fused = node.name in self.alias and (node.name in self.of_layer or kind_of(node) in PADS | {"getitem"})
        if fused:
            return 0
        return 1 if self.simpler else PARTS.get(kind_of(node), 1)

    def _pad(self, node: Any) -> int | None:
        """What a padding in front of a layer makes in bytes; None where there is none."""
        pad = next(iter(node.all_input_nodes), node)
        if node.name not in self.of_layer or kind_of(pad) not in PADS or pad.name not in self.alias:
            return None
        return bytes_of(pad)

    def _over_written(self, node: Any) -> bool:
        """Whether the node is an operator of its own that writes over its input."""
        return node.name in self.alias and node.name not in self.of_layer and kind_of(node) in IN_PLACE

    def _views(self, node: Any) -> bool:
        """Whether the node is a view that the toolchain keeps as an operator."""
        return node.name in self.alias and node.name not in self.of_layer and is_view(node) and not self._idle(node)

    def _root(self, name: str) -> str:
        while name in self.alias:
            name = self.alias[name]
        return name

    def _outputs(self) -> list[Any]:
        output = next(node for node in self.graph.nodes if node.op == "output")
        return list(dict.fromkeys(output.all_input_nodes))
