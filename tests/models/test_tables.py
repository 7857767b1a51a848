"""What is made of constants alone is stored when a model is read, and computes the same; what would grow too much is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdk.models import Model
from sdk.models.load import load_model
from sdk.models.simpler import write_simpler

TABLE = "sdk_table"


class Wide(nn.Module):
    """A linear layer of 256 kB, of which a table may take 2.6 kB, beside what is to be looked at."""

    def __init__(self, added: Callable[[nn.Module, Any], Any], **parts: Any) -> None:
        super().__init__()
        self.linear, self.added = nn.Linear(256, 256), added
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.added(self, self.linear(x))


def _loaded(network: Wide, rows: int = 16) -> tuple[Model, list[str]]:
    """The model, which computes what the network does, and its operators."""
    x = torch.randn(1, rows, 256)
    model = load_model(network.eval(), (x,), name="t")
    with torch.no_grad():
        torch.testing.assert_close(model.module()(x)[0], network(x), rtol=1e-6, atol=1e-6)
    return model, [str(node.target) for node in model.program.graph.nodes if node.op == "call_function"]


def _tables(model: Model) -> list[tuple[tuple[int, ...], str]]:
    return [(each.shape, each.dtype) for each in model.inventory.uncovered if each.name.startswith(TABLE)]


def _resized(network: Any, x: torch.Tensor) -> torch.Tensor:
    image = functional.interpolate(network.places.reshape(1, 8, 8, 256).permute(0, 3, 1, 2), (4, 4), mode="bicubic")
    added: torch.Tensor = x + image.flatten(2).transpose(1, 2)
    return added


def test_positions_that_are_resized_are_stored_as_they_are_read() -> None:
    model, operators = _loaded(Wide(_resized, places=nn.Parameter(torch.randn(1, 64, 256))))
    assert operators == ["aten.linear.default", "aten.add.Tensor"]
    assert _tables(model) == [((1, 16, 256), "float32")]
    assert sum(each.bytes for each in model.inventory.uncovered) == 4 * 16 * 256


@pytest.mark.parametrize(("heads", "stored"), [(2, True), (8, False)])
def test_gathered_biases_are_stored_where_they_hardly_make_the_file_larger(heads: int, stored: bool) -> None:
    rows = torch.arange(256).reshape(16, 16) % 31

    def gathered(network: Any, x: torch.Tensor) -> Any:
        scores = x @ x.transpose(1, 2)
        return (scores + network.biases[:, network.rows]).softmax(-1)

    network = Wide(gathered, biases=nn.Parameter(torch.randn(heads, 31)))
    network.register_buffer("rows", rows)
    model, operators = _loaded(network)
    assert (not any("index" in each for each in operators)) == stored
    assert ((heads, 16, 16), "float32") in _tables(model) or not stored


def test_lookups_stay_layers_and_their_rows_are_stored() -> None:
    def looked(network: Any, x: torch.Tensor) -> Any:
        return x + network.places(torch.arange(16) * 2 + 1)

    model, operators = _loaded(Wide(looked, places=nn.Embedding(64, 256)))
    assert [layer.name for layer in model.inventory.layers] == ["linear", "places"]
    assert _tables(model) == [((16,), "int64")] and operators.count("aten.embedding.default") == 1


def test_what_changes_nothing_is_left_out() -> None:
    """Masks that hide nothing, as sums and as choices."""

    def masked(network: Any, x: torch.Tensor) -> Any:
        seen = torch.arange(16)[:, None] >= 0
        x = torch.where(seen, x, torch.full((), -1.0))
        return x + torch.where(seen, 0.0, -1e9)

    model, operators = _loaded(Wide(masked))
    assert operators == ["aten.linear.default"] and not _tables(model)


def test_what_two_layers_make_of_one_lookup_is_made_once() -> None:
    def biased(network: Any, x: torch.Tensor) -> Any:
        for _ in range(3):
            x = x + network.places(torch.arange(4)).permute(1, 0).mean(0)[:1].clone()
        return x

    _, operators = _loaded(Wide(biased, places=nn.Embedding(4, 256)))
    assert operators.count("aten.permute.default") == 1 and operators.count("aten.add.Tensor") == 3


def test_constant_masks_of_truths_are_numbers_before_a_model_runs() -> None:
    """An attention whose causal mask is a constant, and one that hides all of a row, which is 0 then."""
    seen = torch.ones(16, 16, dtype=torch.bool).tril()

    def attended(hidden: torch.Tensor) -> Callable[[nn.Module, Any], Any]:
        def attend(network: Any, x: torch.Tensor) -> Any:
            heads = x.reshape(1, 16, 4, 64).transpose(1, 2)
            return functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=network.seen & hidden)

        return attend

    for hidden in (torch.tensor(True), torch.arange(16)[:, None] > 0):
        network = Wide(attended(hidden))
        network.register_buffer("seen", seen)
        model, _ = _loaded(network)
        simpler = model.module()
        write_simpler(simpler)
        simpler.recompile()
        with torch.no_grad():
            torch.testing.assert_close(simpler(*model.example)[0], network(*model.example), rtol=1e-5, atol=1e-6)
        names = [str(node.target) for node in simpler.graph.nodes]
        assert not any(word in each for each in names for word in ("where", "any", "_to_copy"))
        assert sum("mul" in each for each in names) == 1 + (hidden.dim() > 0)
