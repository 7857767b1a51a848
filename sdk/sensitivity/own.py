"""A loss of the user's own: any function of the outputs that is least, and curved, where both models agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sdk.errors import BadInput

STEPS, ROOM = 32, 1 << 26
"""Steps of Lanczos at most, and numbers that its vectors may take together."""

LEVEL = 1e-6
"""What the loss may be at most where both models agree."""


class OwnLoss(str):
    """The name of a loss with the function behind it: (outputs of the float model, outputs of another) → scalar tensor.

    Both are tuples of float tensors, one sample's. The name ends in a digest of the code, so that what is kept of one function
    never serves another.
    """

    function: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]

    def __new__(cls, name: str, function: Callable[..., Any]) -> OwnLoss:
        made = super().__new__(cls, name)
        made.function = function
        return made

    def __reduce__(self) -> Any:
        return OwnLoss, (str(self), self.function)

    def value(self, reference: Sequence[Any], changed: Sequence[Any]) -> Any:
        """The loss as a scalar tensor. BadInput where the function fails or returns anything else."""
        import torch

        try:
            found = self.function(tuple(reference), tuple(changed))
        except Exception as error:
            raise BadInput(f"loss: {self} failed: {type(error).__name__}: {error}") from error
        if not isinstance(found, torch.Tensor) or found.numel() != 1 or not found.is_floating_point():
            kind = f"{found.dtype} of shape {list(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise BadInput(f"loss: {self} returned {kind.removeprefix('torch.')}; a scalar tensor of floats is needed")
        return found.reshape(())


def check(loss: OwnLoss, outputs: Sequence[Any]) -> None:
    """BadInput unless the loss is 0 where both models agree, and grows from there as a square does."""
    import torch

    floats = [each for each in outputs if each.is_floating_point()]
    at_rest = float(loss.value(floats, floats))
    if not abs(at_rest) <= LEVEL:
        raise BadInput(f"loss: {loss} is {at_rest:.3g} where both models agree: it must be 0 there")
    pulls = own_direction(loss, floats, torch.Generator().manual_seed(0))
    total = sum(float(each.square().sum()) for each in pulls)
    if not 0 < total < float("inf"):
        raise BadInput(
            f"loss: {loss} has no curvature where both models agree, by which schemes are scored (an absolute difference has "
            "none, a square root no finite one): return a squared difference, or a divergence"
        )


def own_direction(loss: OwnLoss, outputs: Sequence[Any], generator: Any) -> list[Any]:
    """Random directions r of the outputs with E[r rᵀ] equal to the curvature H of `loss` where both models agree.

    r = √H ε with white noise ε, by Lanczos on products of H with vectors, which two gradients of the loss give (Pearlmutter
    1994): with vectors V and their tridiagonal T, √H ε ≈ ‖ε‖ V √T e₁ (Chow and Saad 2014). What is curved downwards counts as
    flat.
    """
    import torch

    kind = torch.float64 if sum(each.numel() for each in outputs) < ROOM // STEPS else torch.float32
    reference = [each.detach().to(kind) for each in outputs]
    live = [each.clone().requires_grad_() for each in reference]
    with torch.enable_grad():
        value = loss.value(reference, live)
        if not value.requires_grad:
            raise BadInput(f"loss: {loss} has no gradient: leave out detach, no_grad, comparisons and what leaves torch")
        slopes = torch.autograd.grad(value, live, create_graph=True, allow_unused=True)
    flat = _flat([torch.zeros_like(x) if slope is None else slope for slope, x in zip(slopes, live, strict=True)])

    def curved(vector: Any) -> Any:
        if not flat.requires_grad:
            return torch.zeros_like(vector)
        found = torch.autograd.grad(flat, live, vector, retain_graph=True, allow_unused=True)
        return _flat([torch.zeros_like(x) if each is None else each for each, x in zip(found, live, strict=True)])

    noise = torch.randint(0, 2, flat.shape, generator=generator).to(kind) * 2 - 1
    root = _root(curved, noise).split([each.numel() for each in outputs])
    return [part.reshape(each.shape).to(each.dtype) for part, each in zip(root, outputs, strict=True)]


def _flat(parts: Sequence[Any]) -> Any:
    import torch

    return torch.cat([part.reshape(-1) for part in parts])


def _root(curved: Callable[[Any], Any], noise: Any) -> Any:
    """√H · noise."""
    import torch

    steps = max(4, min(STEPS, noise.numel(), ROOM // max(1, noise.numel())))
    vectors, diagonal, beside = [noise / noise.norm()], list[Any](), list[Any]()
    while True:
        found = curved(vectors[-1])
        diagonal.append(found @ vectors[-1])
        for _ in range(2):  # once more, since rounding lets found directions come back
            for vector in vectors:
                found = found - (found @ vector) * vector
        size = found.norm()
        scale = max(abs(float(each)) for each in diagonal)
        if len(vectors) == steps or not float(size) > 1e-6 * scale:
            break
        beside.append(size)
        vectors.append(found / size)
    small = torch.diag(torch.stack(diagonal).double())
    if beside:
        off = torch.stack(beside).double()
        small = small + torch.diag(off, 1) + torch.diag(off, -1)
    if not bool(small.isfinite().all()):
        return torch.full_like(noise, float("nan"))
    values, basis = torch.linalg.eigh(small)
    weights = (basis * values.clamp(min=0).sqrt()) @ basis[0]
    return noise.norm() * torch.stack(vectors, 1) @ weights.to(noise)
