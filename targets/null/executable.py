"""Executes a null artifact from its own bytes, operator by operator, in plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed
from sdk.lowering.types import Arrays
from targets.null import container, graph
from targets.null.container import Record
from targets.null.kernels import dynamic, static
from targets.null.storing import decode, range_of


class NullExecutable:
    """A loaded null artifact."""

    origin = "host"

    def __init__(self, path: Path) -> None:
        import torch

        self.runtime = f"null (torch {torch.__version__.partition('+')[0]})"
        self._graph, tensors = container.read(path)
        self._tensors = {record.tensor: decode(record, parts) for record, parts in tensors}
        self._layers = {record.tensor: record for record, _ in tensors if record.layer}
        self._writers = {r.writer: pair for r in self._layers.values() if (pair := range_of(r.writes))}
        self._names = {node["name"]: node["of"] for node in self._graph["nodes"] if node["op"] == "tensor"}
        missing = [name for name in self._names.values() if name not in self._tensors]
        if missing:
            raise CheckFailed(f"{path.name}: the graph reads {missing[0]}, which the artifact does not hold")

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once; arrays in the order, dtypes and shapes of the model's inputs and outputs."""
        import torch

        given = iter(inputs)
        env: dict[str, Any] = {}
        with torch.no_grad():
            for node in self._graph["nodes"]:
                if node["op"] == "input":
                    env[node["name"]] = torch.from_numpy(next(given).copy())
                elif node["op"] == "tensor":
                    env[node["name"]] = self._tensors[node["of"]]
                else:
                    env[node["name"]] = self._call(node, env)
        return [value.contiguous().numpy() for value in graph.from_json(self._graph["outputs"], env)]

    def _call(self, node: dict[str, Any], env: dict[str, Any]) -> Any:
        args, kwargs = graph.from_json(node["args"], env), graph.from_json(node["kwargs"], env)
        layer = self._layer(node)
        if layer is not None and layer.activations == "dynamic":
            args[0] = dynamic(args[0], per_token=node["op"].startswith("aten.linear"))
        elif layer is not None and (pair := range_of(layer.reads)):
            args[0] = static(args[0], *pair)
        result = graph.resolve(node["op"])(*args, **kwargs)
        written = self._writers.get(node["name"])
        return result if written is None else static(result, *written)

    def _layer(self, node: dict[str, Any]) -> Record | None:
        for arg in node["args"][:2]:
            name = self._names.get(arg["node"], "") if isinstance(arg, dict) and "node" in arg else ""
            if name in self._layers:
                return self._layers[name]
        return None
