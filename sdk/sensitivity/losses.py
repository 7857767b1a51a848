"""What "loss" means: the divergence of a changed model's output from the float model's, and its curvature."""

from __future__ import annotations

from typing import Any

from sdk.errors import BadInput
from sdk.models import Model
from sdk.sensitivity.own import OwnLoss, check, own_direction

LOSSES = {
    "kl": "Kullback-Leibler divergence of softmax(logits), nats per row",
    "kl_probabilities": "Kullback-Leibler divergence of outputs that are probabilities already, nats per row",
    "cosine": "1 - cosine similarity per row",
    "mse": "squared error relative to the squared norm of the output",
}


def choose_loss(name: str, model: Model, outputs: Any) -> tuple[str, bool]:
    """Return (loss name, whether it was assumed) for `auto`; a given name, or function, is checked.

    Assumed from the float model's outputs: mse, unless all that are floats are probabilities, unit vectors or class logits.
    """
    if isinstance(name, OwnLoss):
        check(name, outputs)
        return name, False
    if name != "auto":
        if name not in LOSSES:
            raise BadInput(f"loss: {name!r} is not one of auto, {', '.join(LOSSES)}")
        return name, False
    if model.language is not None:
        return "kl", True
    found = {_suited(model, output) for output in outputs if output.is_floating_point()}
    return (found.pop() if len(found) == 1 else "mse"), True


def _suited(model: Model, output: Any) -> str:
    """The loss that suits one output of the float model."""
    if output.dim() < 2:
        return "mse"
    rows = output.reshape(-1, output.shape[-1]).double()
    if rows.shape[1] > 1 and bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < 1e-3).all()):
        return "kl_probabilities"
    if rows.shape[1] > 1 and bool(((rows.norm(dim=1) - 1).abs() < 1e-3).all()):
        return "cosine"
    last = model.inventory.layers[-1] if model.inventory.layers else None
    logits = last is not None and last.kind == "linear" and last.shape[0] == rows.shape[1] and rows.shape[1] > 1
    small = output.dim() == 2 or rows.shape[1] >= 1000
    scores = bool(((rows >= 0) & (rows <= 1)).all())  # of sigmoids: a softmax of them is nearly even, whatever they are
    return "kl" if logits and small and not scores else "mse"


def measure(loss: str, reference: Any, changed: Any) -> float:
    """Mean loss of `changed` against `reference`, tuples of float tensors; averaged over the outputs."""
    return float(divergence(loss, reference, changed))


def divergence(loss: str, reference: Any, changed: Any, *, exact: bool = True) -> Any:
    """`measure` as a float64 scalar tensor that gradients of `changed` flow through.

    Where only the gradients count, `exact` may be False: then it is computed in float32, which is 6 times faster over a
    vocabulary.
    """
    import torch

    pairs = [(a, b) for a, b in zip(reference, changed, strict=True) if a.is_floating_point()]
    kind = torch.float64 if exact else torch.float32
    if isinstance(loss, OwnLoss):
        return loss.value([want.to(kind) for want, _ in pairs], [got.to(kind) for _, got in pairs]).double()
    values = [_divergence(loss, _rows(want.to(kind)), _rows(got.to(kind))).double() for want, got in pairs]
    return torch.stack(values).mean() if values else torch.zeros((), dtype=torch.float64)


def _rows(value: Any) -> Any:
    return value.reshape(-1, value.shape[-1] if value.dim() else 1)


def _divergence(loss: str, a: Any, b: Any) -> Any:
    """Loss of the rows `b` against the rows `a`."""
    import torch

    if loss == "kl":
        log_p, log_q = torch.log_softmax(a, 1), torch.log_softmax(b, 1)
        return (log_p.exp() * (log_p - log_q)).sum(1).mean()
    if loss == "kl_probabilities":
        p, q = a.clamp(min=1e-9), b.clamp(min=1e-9)
        return (p * (p.log() - q.log()) - p + q).sum(1).mean()
    if loss == "cosine":
        return (1 - torch.nn.functional.cosine_similarity(a, b, dim=1)).mean()
    if loss == "mse":
        return (a - b).square().sum() / a.square().sum().clamp(min=1e-30)
    raise ValueError(f"no loss is called {loss!r}")


def direction(loss: str, outputs: Any, generator: Any) -> list[Any]:
    """Random output directions r with E[r rᵀ] equal to the loss's curvature at zero change.

    Then ½·E[(rᵀΔy)²] is the loss to second order. For logits the curvature is the Fisher matrix
    diag(p) - p pᵀ (Martens 2014, New insights on the natural gradient method), of which r = √p∘ε - p(√p·ε) is
    a square root applied to white noise.
    """
    import torch

    floats = [y for y in outputs if y.is_floating_point()]
    if isinstance(loss, OwnLoss):
        own = iter(own_direction(loss, floats, generator))
        return [next(own) if y.is_floating_point() else None for y in outputs]
    made: list[Any] = []
    for y in outputs:
        if not y.is_floating_point():
            made.append(None)
            continue
        value = y.detach()
        rows = value.reshape(-1, value.shape[-1] if value.dim() else 1)
        noise = torch.randint(0, 2, rows.shape, generator=generator).to(rows) * 2 - 1
        made.append((_root(loss, rows, noise) / len(floats) ** 0.5).reshape(value.shape))
    return made


def _root(loss: str, rows: Any, noise: Any) -> Any:
    import torch

    per_row = rows.shape[0] ** 0.5
    if loss == "kl":
        p = torch.softmax(rows, 1)
        root = p.sqrt()
        return (root * noise - p * (root * noise).sum(1, keepdim=True)) / per_row
    if loss == "kl_probabilities":
        return noise / rows.clamp(min=1e-6).sqrt() / per_row
    if loss == "cosine":
        norm = rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
        unit = rows / norm
        return (noise - unit * (unit * noise).sum(1, keepdim=True)) / norm / per_row
    return noise * (2.0**0.5) / rows.norm().clamp(min=1e-12)
