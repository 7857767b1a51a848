"""Where XNNPACK's toolchain copies images into the order of its kernels, channels last, and back (ExecuTorch,
`channels_last_tagged_reshape_pass.py`)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sdk.costs.nodes import dims_of

LAST = frozenset({
    "conv2d", "conv_transpose2d", "max_pool2d", "max_pool2d_padded", "avg_pool2d", "avg_pool2d_padded", "mean_of_places",
    "upsample_bilinear2d", "prelu",
})  # fmt: skip
"""Operators that read an image with its channels last."""
FIRST = frozenset({"view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "linear"})
"""Operators that read one with its channels first, as the caller does and operators outside of the accelerated parts."""
PAIRED = frozenset({"add", "sub", "mul", "div", "maximum", "minimum"})
"""Operators whose inputs, constants among them, all have one order; no constant is turned."""
SIGNALS = frozenset({"conv1d", "conv_transpose1d"})
"""Operators that make an image of what they read and turn it, and their result back, whatever is beside them."""


def channels_last(image: Any) -> Any:
    """Stands for a copy into the order of the kernels."""
    return image


def channels_first(image: Any) -> Any:
    """Stands for a copy back."""
    return image


def unsqueeze(signal: Any) -> Any:
    """Stands for a signal as an image of one row."""
    return signal


def squeeze(image: Any) -> Any:
    """Stands for an image of one row as a signal."""
    return image


def write_orders(graph: Any, ends: Collection[str], kind: Callable[[Any], str], outside: Callable[[Any], bool]) -> None:
    """Put the copies into a graph; `ends`: names of the nodes that a layer ends with, where these are not its operator."""
    _Writer(graph, ends, kind, outside).write()


class _Writer:
    def __init__(self, graph: Any, ends: Collection[str], kind: Callable[[Any], str], outside: Callable[[Any], bool]) -> None:
        self.graph, self.ends, self.kind, self.outside = graph, ends, kind, outside
        self.last: set[Any] = set()
        self.partner: dict[tuple[Any, int], Any] = {}
        self.part = _parts(graph, outside)

    def write(self) -> None:
        for node in list(self.graph.nodes):
            if node.op == "output":
                self._bring(node, node.all_input_nodes, False)
            elif node.op == "call_function" and node.all_input_nodes:
                self._visit(node)

    def _visit(self, node: Any) -> None:
        self._enter(node)
        kind, sources = self.kind(node), [each for each in node.all_input_nodes if each.op != "get_attr"]
        if self.outside(node) or kind in FIRST:
            self._bring(node, sources, False)
        elif kind in SIGNALS:
            self._turn(node, sources[0])
        elif kind in LAST:
            self._bring(node, sources[:1], True)
            self.last.add(node)
        elif sources and all(each in self.last for each in node.all_input_nodes if each in sources or kind in PAIRED):
            self.last.add(node)
        elif any(each in self.last for each in sources):
            wide = all(dims_of(each) == 4 and each.op != "get_attr" for each in node.all_input_nodes)
            self._bring(node, sources, wide)
            self.last |= {node} if wide else set()

    def _enter(self, node: Any) -> None:
        """Let a node read what other parts make with its channels first, as all that passes between parts is held."""
        for source in node.all_input_nodes:
            if source in self.last and self.part[source] != self.part[node]:
                node.replace_input_with(source, self._turned(source, self.part[source], False))

    def _bring(self, node: Any, sources: list[Any], last: bool) -> None:
        """Let a node read its sources in one order."""
        for source in sources:
            if source.op != "get_attr" and (source in self.last) != last and (dims_of(source) == 4 or not last):
                place = self.part[node] if last else self.part[source]
                node.replace_input_with(source, self._turned(source, place, last))

    def _turned(self, source: Any, part: int, last: bool) -> Any:
        """The copy of a source in the other order that a part makes, once."""
        if (source, part) not in self.partner:
            made = self._copy(source, channels_last if last else channels_first)
            self.part[made] = part
            self.partner[source, part], self.partner[made, part] = made, source
            self.last |= {made} if last else set()
        return self.partner[source, part]

    def _turn(self, node: Any, source: Any) -> None:
        """A convolution of signals turns its input, and what it is fused with turns its result."""
        made = self._copy(self._copy(source, unsqueeze), channels_last)
        node.replace_input_with(source, made)
        end = node
        while len(end.users) == 1 and next(iter(end.users)).name in self.ends:
            end = next(iter(end.users))
        first = self._copy(end, channels_first)
        back = self._copy(first, squeeze)
        for user in list(end.users):
            if user is not first:
                user.replace_input_with(end, back)

    def _copy(self, source: Any, name: Callable[[Any], Any]) -> Any:
        with self.graph.inserting_after(source):
            made = self.graph.call_function(name, (source,))
        made.meta["val"] = source.meta["val"]
        self.part[made] = self.part[source]
        return made


def _parts(graph: Any, outside: Callable[[Any], bool]) -> dict[Any, int]:
    """Return which accelerated part has each node: the last one that can; steps outside have one of their own."""
    nodes = list(graph.nodes)
    apart = {node for node in nodes if node.op == "call_function" and outside(node)}
    found: dict[Any, int] = {}
    for node in nodes:
        found[node] = max((found[each] + (each in apart and node not in apart) for each in node.all_input_nodes), default=0)
    for node in reversed(nodes):
        users = [found[user] - (node in apart and user not in apart) for user in node.users if user.op == "call_function"]
        found[node] = min(users, default=found[node])
    for node in nodes:
        if node in apart or node.op in ("placeholder", "output"):
            found[node] = -1
    return found
