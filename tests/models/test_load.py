"""Any model becomes one normalised graph that computes the same, with every weight in the inventory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sdk.errors import BadInput
from sdk.models.load import load_model
from sdk.models.samples import take_samples


class Zoo(nn.Module):
    """One of everything that the inventory knows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding="same")
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU6(inplace=True)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.table = nn.Embedding(10, 8, padding_idx=0)
        self.head = nn.Linear(8, 10)
        self.head.weight = self.table.weight
        self.drop = nn.Dropout()
        self.up = nn.ConvTranspose1d(8, 4, 3)
        self.cell = nn.GRUCell(8, 8)
        self.matrix = nn.Parameter(torch.randn(8, 8))

    def forward(self, image: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.relu(self.norm(self.conv(image)))
        x += 1
        x, _ = self.lstm(x.mean(3).transpose(1, 2))
        x = self.drop(x + self.table(ids))
        return {"head": self.head(x), "up": self.up(x.transpose(1, 2)), "cell": self.cell(x[:, 0]) @ self.matrix}


def _zoo() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    zoo = Zoo().eval()
    zoo.norm.running_mean.normal_()
    zoo.norm.running_var.uniform_(0.5, 2)
    return zoo, (torch.randn(1, 3, 5, 5), torch.tensor([[1, 2, 3, 4, 0]]))


def test_the_normalised_graph_computes_what_the_model_does() -> None:
    zoo, example = _zoo()
    model = load_model(zoo, example)
    with torch.no_grad():
        wanted, got = list(zoo(*example).values()), model.module()(*example)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(wanted, got, strict=True))


def test_every_weight_is_in_the_inventory_or_listed_as_uncovered() -> None:
    model = load_model(*_zoo())
    kinds = {layer.kind for layer in model.inventory.layers}
    assert kinds == {"conv2d", "lstm", "embedding", "linear", "conv_transpose1d"}
    named = {w for layer in model.inventory.layers for w in layer.weights}
    named |= {layer.bias for layer in model.inventory.layers if layer.bias}
    named |= {row.name for row in model.inventory.uncovered}
    assert named == set(model.program.state_dict) | set(model.program.constants)


def test_batch_norm_and_dropout_are_gone() -> None:
    names = {str(n.target) for n in load_model(*_zoo()).program.graph.nodes}
    assert not any("batch_norm" in n or "dropout" in n or n.endswith("_.default") for n in names)


def test_paddings_of_nothing_are_gone() -> None:
    body = nn.Sequential(nn.ZeroPad2d(0), nn.Conv2d(3, 4, 3), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 4, 2)).eval()
    given = torch.randn(1, 3, 8, 8)
    model = load_model(body, (given,))
    assert [node.args[1] for node in model.program.graph.nodes if "pad" in str(node.target)] == [[0, 1, 0, 1]]
    torch.testing.assert_close(model.module()(given)[0], body(given))


def test_tied_weights_are_said_to_be_tied() -> None:
    torch.manual_seed(0)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(512, 16)
            self.head = nn.Linear(16, 512, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids))

    layers = load_model(Tied(), (torch.tensor([[1, 2]]),)).inventory.layers
    assert {layer.kind for layer in layers} == {"embedding", "linear"}
    assert all(len(layer.tied) == 1 for layer in layers)


def test_a_decomposed_pt2_gives_linear_layers_back(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    example = (torch.randn(2, 8),)
    torch.export.save(torch.export.export(network, example).run_decompositions(), tmp_path / "net.pt2")
    model = load_model(str(tmp_path / "net.pt2"))
    assert [layer.kind for layer in model.inventory.layers] == ["linear", "linear"]
    assert torch.allclose(model.module()(*example)[0], network(*example), atol=1e-6)


def test_digest_sees_weights_and_graph() -> None:
    first, example = nn.Linear(4, 4), (torch.randn(1, 4),)
    second = nn.Linear(4, 4)
    second.load_state_dict(first.state_dict())
    assert load_model(first, example).digest == load_model(second, example).digest
    with torch.no_grad():
        second.weight[0, 0] += 1e-3
    assert load_model(first, example).digest != load_model(second, example).digest


@pytest.mark.parametrize(("hidden", "kept"), [((), False), ((2,), True)])
def test_a_constant_mask_that_hides_nothing_is_gone(hidden: tuple[int, ...], kept: bool) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = torch.ones(1, x.shape[1], dtype=torch.bool)
            for place in hidden:
                seen[:, place] = False
            mask = seen[:, None].expand(1, x.shape[1], x.shape[1])
            return nn.functional.scaled_dot_product_attention(self.turn(x), x, x, attn_mask=mask)

    module, x = Attending(), torch.rand(1, 5, 8)
    model = load_model(module.eval(), (x,))
    masks = [node.args[3] if len(node.args) > 3 else None
             for node in model.program.graph.nodes if "scaled_dot" in str(node.target)]  # fmt: skip
    assert len(masks) == 1 and (masks[0] is not None) == kept
    assert torch.allclose(model.module()(x)[0], module(x), atol=1e-6)


def test_names_of_inputs_are_kept() -> None:
    zoo, example = _zoo()
    assert [s.name for s in load_model(zoo, example).inputs] == ["image", "ids"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no sample"),
        ([(torch.randn(1, 5),)], "shape"),
        ([(torch.full((1, 4), float("nan")),)], "NaN"),
        ([(torch.randn(1, 4), 1)], "2 inputs"),
        ([(torch.zeros(1, 4, dtype=torch.int64),)], "int64"),
        (["text"], "tuple"),
    ],
)
def test_bad_calibration_is_said_in_one_sentence(data: list[object], words: str) -> None:
    model = load_model(nn.Linear(4, 4), (torch.randn(1, 4),))
    with pytest.raises(BadInput, match=words):
        take_samples(model, data)


def test_batches_are_split_and_single_samples_get_their_axis() -> None:
    model = load_model(nn.Linear(4, 4), (torch.randn(1, 4),))
    assert len(take_samples(model, [torch.randn(8, 4), torch.randn(4)])) == 9


def test_nan_weights_are_refused() -> None:
    broken = nn.Linear(4, 4)
    with torch.no_grad():
        broken.weight[1, 1] = float("nan")
    with pytest.raises(BadInput, match="weight has 1 NaN"):
        load_model(broken, (torch.randn(1, 4),))


def test_row_numbers_that_an_embedding_has_not_are_refused() -> None:
    model = load_model(*_zoo())
    with pytest.raises(BadInput, match=r"sample 1: input ids has row numbers from 0 to 10; embedding table has 10 rows"):
        take_samples(model, [model.example, (model.example[0], torch.tensor([[0, 10, 1, 1, 1]]))])


def test_an_exported_program_brings_its_own_example() -> None:
    example = (torch.randn(2, 8),)
    program = torch.export.export(nn.Linear(8, 4), example)
    assert torch.equal(load_model(program).example[0], example[0])
