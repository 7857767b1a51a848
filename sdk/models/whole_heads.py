"""Lets positions turn whole heads where they turn a part of each (Phi 4 mini): the same function, without slices.

What is passed by gets the frequency 0, whose cosine is 1 and whose sine 0. The rows of queries and keys are put into another
order, so that those which are turned together stand half a head apart: every target knows that turn.
"""

from __future__ import annotations

from typing import Any


def turn_whole_heads(rotary: Any, size: int, readers: list[tuple[Any, Any]]) -> None:
    """Change `rotary` (transformers' embedding of positions) to heads of `size`, and the linears of queries and keys likewise."""
    import torch

    half = len(rotary.inv_freq)
    if 2 * half == size:
        return
    rest = size // 2 - half
    rotary.inv_freq = torch.cat([rotary.inv_freq, torch.zeros(rest)])
    if rotary.attention_scaling != 1.0:  # of what is turned alone
        scales = torch.cat([torch.full((half,), float(rotary.attention_scaling)), torch.ones(rest)]).repeat(2)
        del rotary.attention_scaling
        rotary.register_buffer("attention_scaling", scales, persistent=False)
    order = torch.arange(size)
    order = torch.cat([order[:half], order[2 * half : 2 * half + rest], order[half : 2 * half], order[2 * half + rest :]])
    for linear in (each for pair in readers for each in pair):
        for tensor in (linear.weight, linear.bias):
            if tensor is not None:
                tensor.data = tensor.detach().unflatten(0, (-1, size))[:, order].flatten(0, 1)
