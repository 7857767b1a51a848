"""The methods for a language model: from a subject and a limit on bytes to a scheme per layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.planners.language_subject import LanguageSubject, Schemes


def uniform(subject: LanguageSubject, size: int) -> Schemes | None:
    """One scheme for all linear layers, the widest that fits for the embedding and the head; of those with the most bits the one
    that loses least on calibration windows, as it rounds."""
    made = {scheme: subject.solved(size, _alike(subject, scheme)) for scheme in _schemes_of_linears(subject)}
    fitting = {scheme: found[0] for scheme, found in made.items() if found is not None}
    widest = max(map(_bits, fitting), default=0)
    return min(
        (schemes for scheme, schemes in fitting.items() if _bits(scheme) == widest),
        key=lambda schemes: subject.loss(schemes, False, seen=True), default=None,
    )  # fmt: skip


def fisher(subject: LanguageSubject, size: int) -> Schemes | None:
    """Diagonal Fisher information times squared weight error, summed by layer and packed exactly (HAWQ-V2's score)."""
    found = subject.solved(size, lambda layer, scheme: _memo(subject, ("fisher", layer, _weight(scheme)), lambda: sum(
        0.5 * float((f * e.square()).sum()) for f, e in _errors(subject, layer, scheme)
    )))  # fmt: skip
    return None if found is None else found[0]


def modelopt(subject: LanguageSubject, size: int) -> Schemes | None:
    """The score of NVIDIA ModelOpt's `auto_quantize`, squared output error times squared gradient, packed exactly; it is
    made anew, for ExecuTorch's schemes, and for the embedding too, which ModelOpt does not score."""
    if ("modelopt", subject.problem.choices[0].layer) not in subject.tables:
        _score_outputs(subject)
    found = subject.solved(size, lambda layer, scheme: subject.tables["modelopt", layer][_weight(scheme)])
    return None if found is None else found[0]


METHODS: dict[str, Callable[[LanguageSubject, int], Schemes | None]] = {
    "uniform": uniform, "diagonal Fisher, exact": fisher, "NVIDIA ModelOpt": modelopt,
}  # fmt: skip


def _schemes_of_linears(subject: LanguageSubject) -> list[str]:
    """Schemes that every linear layer but the head may take, floats left out."""
    offered = [{o.scheme for o in each.options} for each in subject.problem.choices if each.layer not in subject.tied]
    return sorted(name for name in set.intersection(*offered) if _bits(name) < 16)


def _alike(subject: LanguageSubject, only: str) -> Callable[[str, str], float | None]:
    """A score with which `solved` gives all linears the scheme `only`, and the tied layers as many bytes as fit."""
    sizes = {(each.layer, o.scheme): o.bytes for each in subject.problem.choices for o in each.options}

    def score(layer: str, scheme: str) -> float | None:
        if layer in subject.tied:
            return 1e6 / sizes[layer, scheme]
        return 0.0 if scheme == only else None

    return score


def _errors(subject: LanguageSubject, layer: str, scheme: str) -> Iterator[tuple[Any, Any]]:
    """Importance and error of each weight of a layer, rounded to the nearest."""
    planned = subject.bench.model.inventory[layer]
    for name, grid in zip(planned.weights, subject.grid(layer, scheme, False), strict=True):
        yield subject.bench.statistics.importance[name].float(), grid.dequantize() - subject._module.get_parameter(name)


def _score_outputs(subject: LanguageSubject) -> None:
    """Sum over tokens and channels of (output error · gradient of the loss)², for every layer and weight.

    It takes the windows on which the SDK judges schemes; a label is drawn for every token.
    """
    import torch

    owners = {subject.bench.model.inventory[each.layer].weights[0]: each.layer for each in subject.problem.choices}
    taken: dict[str, list[tuple[Any, Any]]] = {layer: [] for layer in owners.values()}
    generator = torch.Generator().manual_seed(0)
    for inputs in subject.bench.samples.inputs:
        with torch.enable_grad():
            logits = _run(subject._module, owners, taken, inputs)[0]
            rows = logits.reshape(-1, logits.shape[-1])
            drawn = torch.multinomial(rows.detach().softmax(1), 1, generator=generator).squeeze(1)
            torch.nn.functional.cross_entropy(rows, drawn, reduction="sum").backward()
    for each in subject.problem.choices:
        scores = subject.tables["modelopt", each.layer] = {}
        name = subject.bench.model.inventory[each.layer].weights[0]
        for scheme in {_weight(o.scheme): o.scheme for o in each.options}.values():
            error = subject.grid(each.layer, scheme, False)[0].dequantize() - subject._module.get_parameter(name)
            scores[_weight(scheme)] = sum(float((_through(x, error) * g.float()).square().sum()) for x, g in taken[each.layer])
        taken[each.layer].clear()


def _through(x: Any, error: Any) -> Any:
    """What a weight's error makes of a layer's input: rows of floats, or indices of an embedding."""
    return x.float() @ error.t() if x.is_floating_point() else error[x]


def _run(module: Any, owners: dict[str, str], taken: dict[str, list[tuple[Any, Any]]], inputs: tuple[Any, ...]) -> Any:
    """Interpret the model; the input of each layer in `owners` and, on the way back, its output's gradient go to `taken`."""
    import torch

    class Tapped(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            made = super().run_node(node)
            weight = next((a.target for a in node.args if getattr(a, "op", None) == "get_attr" and a.target in owners), None)
            if node.op != "call_function" or weight is None:
                return made
            made = made if made.requires_grad else made.requires_grad_(True)
            x = self.fetch_args_kwargs_from_env(node)[0][1 if node.target is torch.ops.aten.embedding.default else 0]
            kept = x.detach().reshape(-1, x.shape[-1]).bfloat16() if x.is_floating_point() else x.reshape(-1)
            made.register_hook(lambda g: taken[owners[weight]].append((kept, g.reshape(-1, g.shape[-1]).bfloat16())))
            return made

    return Tapped(module).run(*inputs)


def _bits(scheme: str) -> int:
    from sdk.schemes import scheme_named

    return int(scheme_named(scheme).bits)


def _weight(scheme: str) -> Any:
    """What of a scheme decides the stored weight."""
    from sdk.schemes import scheme_named
    from sdk.sensitivity.errors import grid_key

    return grid_key(scheme_named(scheme))


def _memo(subject: LanguageSubject, key: Any, make: Callable[[], Any]) -> Any:
    if key not in subject.tables:
        subject.tables[key] = make()
    return subject.tables[key]
