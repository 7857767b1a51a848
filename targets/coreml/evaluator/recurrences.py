"""MIL's recurrent operations, step by step: lstm, gru, rnn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from targets.coreml.evaluator.elementwise import number


def _function(name: str) -> Callable[[Any], Any]:
    from targets.coreml.evaluator.elementwise import table

    known: Callable[[Any], Any] = table()[name]
    return known


def lstm(
    x: Any, initial_h: Any, initial_c: Any, weight_ih: Any, weight_hh: Any, bias: Any = None, peephole: Any = None,
    weight_ih_back: Any = None, weight_hh_back: Any = None, bias_back: Any = None, peephole_back: Any = None,
    direction: str = "forward", output_sequence: Any = None, recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh", activation: str = "tanh", clip: Any = None,
) -> list[Any]:
    """Run an LSTM over x [steps, batch, inputs]; gates are ordered input, forget, output, cell."""
    import torch

    if peephole is not None or clip is not None:
        raise NotImplementedError("an LSTM with peepholes or clipping")
    size = weight_hh.shape[1]
    names = (_function(recurrent_activation), _function(cell_activation), _function(activation))
    runs = [(weight_ih, weight_hh, bias, direction == "reverse")]
    if direction == "bidirectional":
        runs.append((weight_ih_back, weight_hh_back, bias_back, True))
    found = [
        _lstm_pass(x, initial_h[:, i * size:(i + 1) * size], initial_c[:, i * size:(i + 1) * size], wih, whh, b, back, names)
        for i, (wih, whh, b, back) in enumerate(runs)
    ]
    sequence, h, c = (torch.cat(parts, -1) for parts in zip(*found, strict=True))
    return [sequence if number(output_sequence, False) else h.unsqueeze(0), h, c]


def _lstm_pass(x: Any, h: Any, c: Any, wih: Any, whh: Any, bias: Any, back: bool, names: Any) -> tuple[Any, Any, Any]:
    import torch

    gate, cell, out = names
    projected = torch.nn.functional.linear(x, wih, bias)
    states: list[Any] = [None] * x.shape[0]
    for step in reversed(range(x.shape[0])) if back else range(x.shape[0]):
        i, f, o, z = (projected[step] + h @ whh.T).chunk(4, -1)
        c = gate(f) * c + gate(i) * cell(z)
        h = states[step] = gate(o) * out(c)
    return torch.stack(states), h, c


def gru(
    x: Any, initial_h: Any, weight_ih: Any, weight_hh: Any, bias: Any = None, input_bias: Any = None,
    direction: str = "forward", output_sequence: Any = None, recurrent_activation: str = "sigmoid",
    activation: str = "tanh", reset_after: Any = None,
) -> list[Any]:
    """Run a GRU over x [steps, batch, inputs]; gates are ordered reset, output, update."""
    import torch

    gate, out, h = _function(recurrent_activation), _function(activation), initial_h
    projected = torch.nn.functional.linear(x, weight_ih, bias)
    states: list[Any] = [None] * x.shape[0]
    for step in reversed(range(x.shape[0])) if direction == "reverse" else range(x.shape[0]):
        (xr, xo, xz), (hr, ho, hz) = projected[step].chunk(3, -1), (h @ weight_hh.T).chunk(3, -1)
        r, z = gate(xr + hr), gate(xz + hz)
        h = states[step] = (1 - z) * out(xo + r * ho) + z * h
    sequence = torch.stack(states)
    return [sequence if number(output_sequence, False) else h.unsqueeze(0), h]


def rnn(
    x: Any, initial_h: Any, weight_ih: Any, weight_hh: Any, bias: Any = None, direction: str = "forward",
    output_sequence: Any = None, activation: str = "tanh",
) -> list[Any]:
    """Run a simple recurrence over x [steps, batch, inputs]."""
    import torch

    function, h = _function(activation), initial_h
    projected = torch.nn.functional.linear(x, weight_ih, bias)
    states: list[Any] = [None] * x.shape[0]
    for step in reversed(range(x.shape[0])) if direction == "reverse" else range(x.shape[0]):
        h = states[step] = function(projected[step] + h @ weight_hh.T)
    sequence = torch.stack(states)
    return [sequence if number(output_sequence, False) else h.unsqueeze(0), h]
