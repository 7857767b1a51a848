"""Forms that models in the wild have and textbook ones do not: each keeps its numbers, names and layers."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdk.errors import BadInput
from sdk.models import Model
from sdk.models.load import load_model

Pair = namedtuple("Pair", "left right")


class Function(nn.Module):
    """A module of a plain function and the layers that it uses."""

    def __init__(self, function: Any, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.layers)


def _loaded(module: nn.Module, *example: torch.Tensor) -> Model:
    """Load, and check that the normalised graph computes what the module does."""
    model = load_model(module.eval(), example)
    with torch.no_grad():
        wanted = torch.utils._pytree.tree_leaves(module(*example))
        for want, got in zip([w for w in wanted if w is not None], model.module()(*example), strict=True):
            assert torch.allclose(want, got, atol=1e-5)
    return model


def _shaken(*layers: nn.Module) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1, x * 2), ["output_0", "output_1"]),
        (lambda x: {"scores": x + 1, "boxes": x * 2}, ["scores", "boxes"]),
        (lambda x: {"scores": x + 1}, ["scores"]),
        (lambda x: Pair(x + 1, x * 2), ["left", "right"]),
        (lambda x: {"a-b": x + 1, "1st": x * 2, "x": x * 3}, ["a_b", "output_1st", "x_out"]),
        (lambda x: {"logits": x + 1, "hidden": (x * 2, None, x * 3)}, ["logits", "hidden_0", "hidden_2"]),
        (lambda x: ((x + 1, [x * 2]), None, x * 3), ["output_0", "output_1", "output_2"]),
    ],
)
def test_outputs_are_named_after_what_the_model_returns(returned: Any, names: list[str]) -> None:
    assert [spec.name for spec in _loaded(Function(returned), torch.randn(1, 4)).outputs] == names


def test_a_pool_without_stride_gets_its_kernel() -> None:
    model = _loaded(Function(lambda x: functional.max_pool2d(x, 2)), torch.randn(1, 3, 8, 8))
    (pool,) = [node for node in model.program.graph.nodes if "max_pool2d" in str(node.target)]
    assert pool.args[1:3] == ([2, 2], [2, 2])


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (_shaken(nn.BatchNorm1d(6), nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4)), (3, 6)),
        (_shaken(nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.BatchNorm2d(6)), (1, 6, 5, 5)),
        (_shaken(nn.ConvTranspose2d(6, 4, 3, groups=2), nn.BatchNorm2d(4)), (1, 6, 5, 5)),
        (_shaken(nn.BatchNorm1d(6), nn.Conv1d(6, 4, 3)), (2, 6, 9)),
    ],
)
def test_no_batch_norm_is_left(module: nn.Module, shape: tuple[int, ...]) -> None:
    model = _loaded(module, torch.randn(shape))
    assert not [node for node in model.program.graph.nodes if "batch_norm" in str(node.target)]


def test_inputs_may_have_other_strides_than_the_example() -> None:
    model = load_model(Function(lambda x: x.view(2, -1)), (torch.randn(2, 3, 4),))
    turned = torch.randn(4, 3, 2).permute(2, 1, 0)
    assert torch.equal(model.module()(turned)[0], turned.reshape(2, -1))


def test_attention_whose_strides_differ_from_the_trace() -> None:
    """The kernel that runs is chosen by what needs gradients; its strides are not those of the trace."""

    def attend(x: torch.Tensor, table: nn.Embedding) -> torch.Tensor:
        heads = x.view(1, 8, 4, 16).transpose(1, 2)
        bias = table(torch.arange(8)[:, None] + torch.arange(8)[None]).permute(2, 0, 1)[None]
        found = functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=bias)
        return found.transpose(1, 2).contiguous().view(1, 8, 64)

    model = _loaded(Function(attend, nn.Embedding(15, 4)), torch.randn(1, 8, 64))
    model.module()(torch.randn(1, 8, 64, requires_grad=True))


def test_the_inventory_knows_groups() -> None:
    module = nn.Sequential(
        nn.Conv2d(8, 8, 3, groups=4), nn.ConvTranspose2d(8, 8, 2, groups=2), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 4, 1)
    )
    layers = _loaded(module, torch.randn(1, 8, 9, 9)).inventory.layers
    assert [(layer.kind, layer.groups) for layer in layers] == [
        ("conv2d", 4), ("conv_transpose2d", 2), ("depthwise", 8), ("conv2d", 1),
    ]  # fmt: skip


class State(nn.Module):
    """Writes into its input, a scratch buffer and a counter, and with `reads` adds a running mean to what it returns."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.reads = reads
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("scratch", torch.zeros(2, 3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.sub_(0.5).mul_(2)
        y = torch.relu_(self.layer(x))
        self.scratch[:] = y
        self.steps += 1
        if self.reads:
            self.mean = self.mean * 0.9 + self.scratch.mean(0) * 0.1
            return y - self.mean
        return y + self.scratch


class Attribute(nn.Module):
    """Keeps what it made last in a plain attribute, and with `reads` adds it to what it makes next."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.last = torch.zeros(2, 4)
        self.reads = reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = x * 2 + (self.last if self.reads else 0)
        self.last = made
        return made


def test_an_attribute_that_nobody_reads_is_forgotten() -> None:
    _loaded(Attribute(False), torch.randn(2, 4))


def test_writes_that_nobody_reads_are_forgotten() -> None:
    module, given = State(False).eval(), torch.randn(2, 4)
    model = load_model(module, (given,))
    kept = given.clone()
    first, second = (model.module()(given)[0] for _ in range(2))
    assert torch.equal(given, kept)
    assert torch.equal(first, second)
    assert torch.allclose(module(given.clone()), first, atol=1e-6)
    assert not [node for node in model.program.graph.nodes if "copy_" in str(node.target)]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (State(True), "writes its buffer 'mean' and reads it in the next run"),
        (Attribute(True), "writes its attribute 'last' and reads it in the next run"),
        (Function(lambda x: x + torch.randn_like(x)), r"draws random numbers \(randn_like\)"),
        (Function(lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))), r"chooses its path by its data \(cond\)"),
        (Function(lambda x: x + 1 if x.sum() > 0 else x), "write that with torch.where"),
        (Function(lambda x: x[x > 0].sum()), r"how many elements \w+ \(index\) has is up to the data"),
        (Function(lambda x: x[:, x.argmax(1).nonzero().squeeze(1)]), r"how many elements \w+ \(nonzero\) has is up to the data"),
    ],
)
def test_what_no_bundle_can_do_is_refused_with_its_mend(module: nn.Module, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_model(module.eval(), (torch.randn(2, 4),))


def _assign(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    y = layer(x).clone()
    y[:, 0] = 0.0
    y[:, 1] = y[:, 2]
    y[y < -0.5] = -0.5
    y[(y > 0.5).all(1)] = 9
    y[1:].fill_(0.25)
    return y


def test_assignments_to_parts_have_gradients() -> None:
    model = _loaded(Function(_assign, nn.Linear(4, 6)), torch.randn(3, 4))
    given = torch.randn(3, 4, requires_grad=True)
    model.module()(given)[0].sum().backward()
    assert given.grad is not None


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_one_length_are_lookups(mode: str) -> None:
    model = _loaded(Function(lambda x, table: table(x), nn.EmbeddingBag(30, 8, mode=mode)), torch.randint(0, 30, (2, 6)))
    assert [(layer.name, layer.kind) for layer in model.inventory.layers] == [("layers.0", "embedding")]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_leave_their_padding_out(mode: str) -> None:
    bag = nn.EmbeddingBag(30, 8, mode=mode, padding_idx=3)
    nn.init.normal_(bag.weight)  # the row of the padding is no zeros
    ids = torch.tensor([[3, 1, 2, 3], [4, 5, 6, 7], [3, 3, 3, 3]])
    assert [layer.kind for layer in _loaded(Function(lambda x, table: table(x), bag), ids).inventory.layers] == ["embedding"]


@pytest.mark.parametrize(("mode", "last"), [("sum", False), ("mean", True), ("max", False)])
def test_bags_that_begin_where_data_says_are_lookups(mode: str, last: bool) -> None:
    bag = nn.EmbeddingBag(30, 8, mode=mode, include_last_offset=last, padding_idx=2)
    begins = torch.tensor([0, 3, 3, 4, *([6] if last else [])])
    module = Function(lambda x, table: table(torch.tensor([1, 2, 3, 4, 5, 6]), x), bag)
    model = _loaded(module, begins)
    assert [layer.kind for layer in model.inventory.layers] == ["embedding"]
    other = torch.tensor([0, 0, 1, 5, *([6] if last else [])])
    torch.testing.assert_close(model.module()(other)[0], module(other))


def test_weighted_bags_are_lookups() -> None:
    bag = nn.EmbeddingBag(30, 8, mode="sum")
    model = _loaded(Function(lambda x, table: table(torch.arange(12).reshape(2, 6), per_sample_weights=x), bag), torch.rand(2, 6))
    assert [layer.kind for layer in model.inventory.layers] == ["embedding"]


class Pixels(nn.Module):
    """Asks for `channels_last`, and views what is only then in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x.to(memory_format=torch.channels_last)))
        rows = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).view(x.shape[0], -1, 8)
        return self.head(rows) + x.flatten(2).transpose(1, 2).mean()


@pytest.mark.parametrize("last", [False, True])
def test_channels_last_is_an_order_and_no_part_of_the_model(last: bool) -> None:
    order = torch.channels_last if last else torch.contiguous_format
    model = _loaded(Pixels().to(memory_format=order), torch.randn(1, 3, 8, 8).to(memory_format=order))
    assert all(tensor.is_contiguous() for tensor in (*model.program.state_dict.values(), *model.example))
    assert "channels_last" not in str(model.program.graph)


@pytest.mark.parametrize(
    "norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_made_of_parameters_are_layers(norm: Any) -> None:
    torch.manual_seed(0)
    twice = norm(nn.Linear(4, 4))
    module = nn.Sequential(norm(nn.Conv1d(3, 8, 3, padding="same")), nn.BatchNorm1d(8), norm(nn.ConvTranspose1d(8, 4, 4, 2)))
    whole = Function(lambda x, net, head: head(head(net(x).transpose(1, 2))), module, twice)
    for _ in range(20):  # spectral norm finds its norm while it trains
        whole(torch.randn(4, 3, 6))
    model = _loaded(whole, torch.randn(1, 3, 6))
    assert [(layer.name, layer.uses) for layer in model.inventory.layers] == [
        ("layers.0.0", 1), ("layers.0.2", 1), ("layers.1", 2),
    ]  # fmt: skip
    assert not model.inventory.uncovered


class Converted(nn.Module):
    """As converters write it: a variance by a constant power, a bias of two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.layer.bias.data = torch.randn(1, 4)
        self.register_buffer("two", torch.tensor([2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y / ((y - y.mean(-1, keepdim=True)) ** self.two).mean(-1, keepdim=True).sqrt()


def test_what_converters_write_is_written_plainly() -> None:
    model = _loaded(Converted(), torch.randn(3, 8))
    nodes = {str(node.target): node.args for node in model.program.graph.nodes if node.op == "call_function"}
    assert nodes["aten.pow.Tensor_Scalar"][1] == 2.0 and len(nodes["aten.linear.default"]) == 2


class Queries(nn.Module):
    """A decoder of learned queries: its first self-attention sees no input."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 5, 16))
        self.decoder = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.decoder(self.queries, x)
        return made


def test_layers_that_see_constants_are_computed_beforehand() -> None:
    model = _loaded(Queries(), torch.randn(1, 7, 16))
    assert [layer.name for layer in model.inventory.layers] == [
        "decoder.multihead_attn.in_proj_weight_0", "decoder.multihead_attn.out_proj", "decoder.linear1", "decoder.linear2",
    ]  # fmt: skip


@pytest.mark.parametrize("stride", [(2, 3), (1, 3)])
def test_patches_side_by_side_are_views(stride: tuple[int, int]) -> None:
    """MobileViT's: runtimes know no `im2col`, and what toolchains make of it are gathers. Overlapping ones stay."""

    def patches(x: torch.Tensor, conv: nn.Module) -> torch.Tensor:
        seen = functional.unfold(x, (2, 3), stride=stride)
        return functional.fold(conv(seen.unsqueeze(-1)).squeeze(-1), x.shape[-2:], (2, 3), stride=stride)

    model = _loaded(Function(patches, nn.Conv2d(24, 24, 1)), torch.randn(2, 4, 6, 9))
    left = [node for node in model.module().graph.nodes if "im2col" in str(node.target)]
    assert bool(left) == (stride == (1, 3))


def test_a_transformer_takes_the_masks_that_it_is_given() -> None:
    """`nn.Transformer` asks whether a mask is the causal one, which depends on data in a trace."""
    network = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, batch_first=True), 1)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    other = torch.randn(5, 5)

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor, memory: torch.Tensor) -> Any:
            return self.network(x, memory, tgt_mask=causal), self.network(x, memory, tgt_mask=other)

    _loaded(Masked(), torch.randn(1, 5, 16), torch.randn(1, 4, 16))


DROPS: dict[str, Any] = {
    "default": functional.dropout, "images": functional.dropout2d, "in place": lambda x: functional.dropout2d(x, inplace=True),
    "alpha": lambda x: functional.alpha_dropout(x, 0.5, training=True), "builtin": lambda x: torch.dropout(x, 0.5, True),
    "attention": lambda x: functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
}  # fmt: skip


@pytest.mark.parametrize("drop", DROPS)
def test_dropout_that_trains_whatever_the_mode_is_gone_and_shapes_stay(drop: str) -> None:
    still = (lambda x: functional.scaled_dot_product_attention(x, x, x)) if drop == "attention" else lambda x: x
    x = torch.randn(2, 3, 4, 4)
    layer = nn.Conv2d(3, 4, 1)
    model = load_model(Function(lambda x, conv: torch.relu(DROPS[drop](conv(x))), layer).eval(), (x,))
    torch.testing.assert_close(model.module()(x)[0], torch.relu(still(layer(x))))


def test_dropout_of_a_program_that_was_exported_in_training_is_gone() -> None:
    layer, x = nn.Linear(4, 6), torch.randn(3, 4)
    program = torch.export.export(Function(lambda x, linear: functional.dropout(linear(x)), layer), (x,))
    torch.testing.assert_close(load_model(program, (x,)).module()(x)[0], layer(x))


def test_a_model_that_casts_its_input_to_its_own_precision_is_taken() -> None:
    layers = nn.Linear(4, 6).bfloat16(), nn.Linear(6, 2).half()
    module = Function(lambda x, a, b: b(a(x.bfloat16()).half()).float(), *layers).eval()
    x = torch.randn(3, 4)
    model = load_model(module, (x,))
    torch.testing.assert_close(model.module()(x)[0], module(x), atol=1e-2, rtol=1e-2)
    assert not any("to_copy" in str(node.target) for node in model.program.graph.nodes)
    assert {tensor.dtype for tensor in model.program.state_dict.values()} == {torch.float32}


@dataclass
class Found:
    logits: torch.Tensor
    states: list[torch.Tensor]
    loss: torch.Tensor | None = None


def test_a_dataclass_gives_its_fields_as_outputs() -> None:
    model = load_model(Function(lambda x, a: Found(a(x), [x + 1, x * 2]), nn.Linear(4, 6)).eval(), (torch.randn(3, 4),))
    assert [spec.name for spec in model.outputs] == ["logits", "states_0", "states_1"]


def test_a_scripted_part_is_named() -> None:
    with pytest.raises(BadInput, match=r"layers.0 is a torch.jit.ScriptModule.* before torch.jit.script"):
        load_model(Function(lambda x, a: a(x), torch.jit.script(nn.Linear(4, 6))).eval(), (torch.randn(3, 4),))


def test_indices_of_a_triangle_are_stored() -> None:
    def upper(x: torch.Tensor, linear: nn.Module) -> Any:
        rows, columns = torch.triu_indices(4, 4, 1)
        return linear(x)[:, rows, columns]

    model = _loaded(Function(upper, nn.Linear(4, 4)), torch.randn(2, 4, 4))
    assert not any("aten.triu" in str(node.target) for node in model.program.graph.nodes)


ORDERS: dict[str, tuple[Any, str]] = {
    "sort": (lambda x: x.sort(1), "sort"), "argsort": (lambda x: x.argsort(-1, descending=True), "sort"),
    "median": (lambda x: x.median(1), "median"), "kthvalue": (lambda x: x.kthvalue(2, -1, keepdim=True), "kthvalue"),
    "bucketize": (lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5])), "bucketize"),
    "bucketize right": (lambda x: torch.bucketize(x, x[0, 0].sort().values, right=True), "bucketize"),
    "searchsorted": (lambda x: torch.searchsorted(torch.tensor([-1.0, 0.0, 0.5]), x, out_int32=True), "searchsorted"),
    "even pool": (lambda x: functional.adaptive_max_pool2d(x, (3, 2)), "adaptive"),
    "uneven pool": (lambda x: functional.adaptive_max_pool2d(x, (4, 3)), "adaptive"),
    "one pool": (lambda x: functional.adaptive_max_pool1d(x, 1), "adaptive"),
    "rrelu": (functional.rrelu, "rrelu"), "one_hot": (lambda x: functional.one_hot(x.argmax(-1), 8), "one_hot"),
}  # fmt: skip
"""Name → what is computed, and what of its operators may not be left."""


@pytest.mark.parametrize("name", ORDERS)
def test_orders_and_pools_are_written_in_what_runtimes_have(name: str) -> None:
    compute, gone = ORDERS[name]
    model = _loaded(Function(lambda x, linear: compute(linear(x)), nn.Linear(8, 8)), torch.randn(2, 6, 8))
    assert not any(gone in str(node.target) for node in model.program.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize("through", [lambda x: x + (x.round() - x).detach(), lambda x: x - (x - x.round()).detach()])
def test_a_straight_through_estimator_is_what_it_computes(through: Any) -> None:
    model = _loaded(Function(lambda x, linear: through(linear(x)), nn.Linear(8, 8)), torch.randn(2, 8))
    assert [node.target for node in model.program.graph.nodes if node.op == "call_function"][1:] == [torch.ops.aten.round.default]


class Fixed(nn.Module):
    """Layers whose weights are no parameters: a blur's kernel, expected places, normalized rows."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.rows = nn.Conv2d(3, 8, 3), nn.Parameter(torch.randn(32, 8))
        self.register_buffer("blur", torch.rand(8, 1, 3, 3))
        self.register_buffer("places", torch.linspace(0, 7, 8))
        self.plain = torch.randn(24, 8)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        seen = nn.functional.conv2d(self.enter(x), self.blur, stride=2, groups=8).mean((2, 3))
        found = nn.functional.embedding(ids, nn.functional.normalize(self.rows)) + seen
        shares = nn.functional.linear(found, self.plain).view(-1, 3, 8).softmax(-1)
        return nn.functional.linear(shares, self.places)


def test_layers_of_constants_are_planned_like_others() -> None:
    torch.manual_seed(0)
    net, inputs = Fixed().eval(), (torch.randn(1, 3, 9, 9), torch.tensor([4]))
    model = load_model(net, inputs)
    assert [layer.kind for layer in model.inventory.layers] == ["conv2d", "depthwise", "embedding", "linear", "linear"]
    module = model.module()
    assert all(module.get_parameter(name).dim() >= 2 for layer in model.inventory.layers for name in layer.weights)
    torch.testing.assert_close(module(*inputs)[0], net(*inputs), rtol=1e-5, atol=1e-5)
