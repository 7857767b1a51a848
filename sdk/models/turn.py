"""Turns the basis of a language model so that no channel stands out: the same function, which quantizes better.

A few channels of the residual stream hold values hundreds of times larger than the others; 8-bit activations have one scale
for all of a token's channels, low-bit weights one for a group. Every linear reads the stream behind an RMS norm, which turns
with its input once its own weights are folded into what reads it, so any orthogonal matrix R may stand between those that
write into the stream and those that read from it: QuaRot (Ashkboos et al. 2024), SpinQuant's R1 and R2 (Liu et al. 2024).
Nothing of it is left at run time, but where embedding and head are one weight E: the last norm's own weights cannot be folded
into E·Rᵀ then, and stay as a square linear R·diag(norm)·Rᵀ behind that norm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

Change = Callable[[Any], Any]
"""Makes a new tensor of a parameter's."""

FAMILIES = frozenset({"granite", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3"})
"""Model types whose stream is read behind RMS norms alone and written to by sums alone."""

SEED = 0
ROWS = 4096
"""Vectors that are turned at once."""


class Turn:
    """A random orthogonal matrix R of `size`: signs, a Hadamard matrix of its power of two, a random turn of the rest."""

    def __init__(self, size: int, seed: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        even = size & -size
        odd = torch.randn(size // even, size // even, generator=generator, dtype=torch.float64)
        self._odd = torch.linalg.qr(odd).Q
        first = 1 << (even.bit_length() - 1) // 2
        self._left, self._right = _hadamard(first), _hadamard(even // first)  # whose Kronecker product is that of both
        self._signs = torch.randint(0, 2, (size,), generator=generator, dtype=torch.float64) * 2 - 1

    def __call__(self, vectors: Any, scale: Any = 1.0) -> Any:
        """R·(v·scale) of every row v of `vectors` ([n, size]), computed in float64 and returned in float32."""
        import torch

        return torch.cat([self._turned(part.double() * scale) for part in vectors.split(ROWS)])

    def _turned(self, vectors: Any) -> Any:
        shape = (len(vectors), len(self._odd), len(self._left), len(self._right))
        made = self._left @ (vectors * self._signs).reshape(shape) @ self._right
        return (self._odd @ made.reshape(*shape[:2], -1)).reshape(vectors.shape).float()


def _hadamard(size: int) -> Any:
    """The orthogonal matrix of Sylvester's construction, `size` a power of two."""
    import torch

    made = torch.ones(1, 1, dtype=torch.float64)
    while len(made) < size:
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)])
    return made / size**0.5


def changes(model: Any, on_grid: Callable[[Any], bool]) -> dict[Any, Change]:
    """Return what makes the turned parameters of a causal model of transformers from its own; empty where it stays as it is.

    It stays where most of its linears are `on_grid`, which a turn would destroy. A model whose embedding and head are one weight
    gets a linear more, `model.norm.turn`.
    """
    import torch

    config = model.config
    if config.model_type not in FAMILIES:
        return {}
    linears = [part.weight for part in model.model.layers.modules() if isinstance(part, torch.nn.Linear)]
    if 2 * sum(map(on_grid, linears)) > len(linears):
        return {}
    stream, last = Turn(config.hidden_size, SEED), model.model.norm
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    made: dict[Any, Change] = {embedding: stream}
    if head is embedding:
        turn = torch.nn.Linear(config.hidden_size, config.hidden_size, bias=False, dtype=head.dtype)
        model.model.norm = torch.nn.Sequential(OrderedDict(norm=last, turn=turn))
        made[turn.weight] = _between(stream, last)
    else:
        made[head] = _reader(stream, last)
    for index, layer in enumerate(model.model.layers):
        for norm, readers, writer in _blocks(layer):
            for reader in readers:
                made[reader.weight] = _reader(stream, norm)
            made[writer.weight] = _writer(stream)
            if writer.bias is not None:
                made[writer.bias] = lambda bias: stream(bias.unsqueeze(0))[0]
        _turn_values(layer.self_attn, config, SEED + 1 + index, made)
    for norm in (last, *(norm for layer in model.model.layers for norm, _, _ in _blocks(layer))):
        made[norm.weight] = lambda weight: torch.ones(weight.shape)
    return made


def _blocks(layer: Any) -> Iterator[tuple[Any, list[Any], Any]]:
    """Of the attention and of the feed-forward part: the norm, the linears that read behind it, the one that writes."""
    for norm, block, names, joined, last in (
        (layer.input_layernorm, layer.self_attn, ("q_proj", "k_proj", "v_proj"), "qkv_proj", "o_proj"),
        (layer.post_attention_layernorm, layer.mlp, ("gate_proj", "up_proj"), "gate_up_proj", "down_proj"),
    ):
        apart = getattr(block, joined, None)
        yield norm, [getattr(block, name) for name in names] if apart is None else list(apart.children()), getattr(block, last)


def _reader(stream: Turn, norm: Any) -> Change:
    """W → W·diag(norm)·Rᵀ."""
    weights = norm.weight.detach().double().clone()
    return lambda weight: stream(weight.detach(), weights)


def _between(stream: Turn, norm: Any) -> Change:
    """R·diag(norm)·Rᵀ, whatever there was."""
    import torch

    weights = norm.weight.detach().double().clone()
    return lambda weight: _writer(stream)(stream(torch.diag(weights)))


def _writer(stream: Turn) -> Change:
    """W → R·W."""
    return lambda weight: stream(weight.detach().t()).t().contiguous()


def _turn_values(attention: Any, config: Any, seed: int, made: dict[Any, Change]) -> None:
    """Turn the values of each key-value head, and turn back what the output projection reads of them."""
    import torch

    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    turns = [Turn(size, 1000 * seed + group) for group in range(groups)]
    values = attention.v_proj if hasattr(attention, "v_proj") else attention.qkv_proj.v
    reads, writes = made[values.weight], made[attention.o_proj.weight]

    def turned(rows: Any) -> Any:
        """The rows [groups · size, n] of the values turned within each head."""
        parts = [turn(part.t()).t() for turn, part in zip(turns, rows.split(size), strict=True)]
        return torch.cat(parts)

    def value(weight: Any) -> Any:
        return turned(reads(weight)).contiguous()

    def output(weight: Any) -> Any:
        columns = weight.detach().split(size, 1)
        return writes(torch.cat([turns[head * groups // heads](part) for head, part in enumerate(columns)], 1))

    made[values.weight], made[attention.o_proj.weight] = value, output
    if values.bias is not None:
        made[values.bias] = lambda bias: turned(bias.float().unsqueeze(1))[:, 0]
