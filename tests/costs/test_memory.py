"""Peak memory: lifetimes of activations, sums for the solver, budgets that hold in plans and bundles."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sdk
from sdk.costs import Costs, MemoryModel
from sdk.costs.activations import activations
from sdk.costs.arenas import arenas, blocks, live
from sdk.costs.heap import MAPPED, PAD, resident
from sdk.costs.kernels import kernel_kind, padded
from sdk.costs.outside import outside_steps
from sdk.costs.placing import Block, arena, buckets, grown
from sdk.costs.scratch import Asked, scratch, whole
from sdk.errors import BadInput, BudgetError
from sdk.lowering import Copies, MemoryTable, Operators
from sdk.models.load import load_model
from sdk.schemes import scheme_named
from targets.executorch import TARGET as EXECUTORCH
from targets.null import TARGET
from targets.tflite import TARGET as LITERT


class Net(nn.Module):
    """Convolutions with a skip, a pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.third, self.head = nn.Conv2d(16, 32, 1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = self.third(x + self.second(x).relu())
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


TABLE = MemoryTable(
    "made up", fixed=1100, layer=10, operator=10, indirection=8.0, slack=0.0, freed=False, returned=2,
    operators=Operators(outside=("embedding",)), error=(-0.1, 0.2),
    copies=(
        Copies(("conv2d", "pointwise", "linear"), "fp32", packed=4.0, scale=4.0),
        Copies(("conv2d", "pointwise", "linear"), "int8_channel_static", packed=1.0, scale=12.0),
        Copies(("conv2d", "pointwise", "linear"), "fp16", packed=4.0, passing=4.0),
        Copies(("conv2d", "pointwise"), "int8_channel", packed=9.0, outside=True),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return load_model(Net().eval(), (torch.randn(1, 3, 8, 8),))


@pytest.fixture(scope="module")
def memory(model: Any) -> MemoryModel:
    return _model(model, TABLE)


def _model(model: Any, table: MemoryTable) -> MemoryModel:
    names = ("fp32", "fp16", "int8_channel_static", "int8_channel")
    choices = {layer.name: [scheme_named(name) for name in names] for layer in model.inventory.layers}
    return MemoryModel(model, table, TARGET.price(model, choices, None))


def _outside(kernel: str) -> Copies:
    return Copies(("conv2d", "pointwise"), "int8_channel", packed=9.0, scratch=kernel, outside=True)


def test_tensors_live_from_their_maker_to_their_last_reader(model: Any) -> None:
    found = activations(model)
    inside, held = live(found, (), (), outside_steps(found, (), ()))
    image, wide, deep = 4 * 3 * 64, 4 * 16 * 64, 4 * 32 * 64
    assert max(held) == image + 4 * 10, "input and output belong to the caller, from the first step to the last"
    assert inside[found.layers.index("first")] == image + wide, "the input in the runtime's own layout, and what is made of it"
    assert inside[found.layers.index("second")] == 2 * wide, "the skip waits; the relu is part of its convolution"
    assert inside[found.layers.index("third")] == wide + deep, "the sum is written over one of its inputs"


def test_eight_bits_pass_between_static_layers_alone(model: Any) -> None:
    found = activations(model)
    step = found.layers.index("third")
    wide, deep = 4 * 16 * 64, 4 * 32 * 64
    inside, _ = live(found, {"first", "second", "third", "head"}, (), frozenset())
    assert inside[step] == max(wide, deep) * 5 // 4, "floats before or behind it, and the kernel's copy"


def test_layers_outside_of_the_accelerated_part_have_an_arena_of_their_own(model: Any, memory: MemoryModel) -> None:
    plain = dict.fromkeys((layer.name for layer in model.inventory.layers), "fp32")
    split = plain | {"second": "int8_channel"}
    assert memory.parts(split).activations > memory.parts(plain).activations


class Normed(nn.Module):
    """Two layers with a normalisation between them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.two(self.norm(self.one(x)))
        return result


def test_steps_outside_separate_accelerated_parts() -> None:
    normed = load_model(Normed().eval(), (torch.randn(2, 64),))
    found = activations(normed)
    parts = dict(zip(found.layers, found.parts(outside_steps(found, (), ("layer_norm",))), strict=True))
    assert (parts["one"], parts["two"]) == (0, 1)
    assert set(found.parts(frozenset())) == {0}
    plain = {"one": "fp32", "two": "fp32"}
    rules = (Operators(outside=kinds) for kinds in ((), ("layer_norm",)))
    whole, apart = (_model(normed, replace(TABLE, freed=True, operators=each)).parts(plain) for each in rules)
    assert apart.file < whole.file, "the first part's pages are given back before the second is loaded"


class Gate(nn.Module):
    """Two layers with an activation function between them that is part of none."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.two(nn.functional.hardswish(self.one(x)))
        return result


def test_operators_between_static_layers_compute_in_eight_bits_where_the_runtime_can() -> None:
    found = activations(load_model(Gate().eval(), (torch.randn(2, 64),)))
    step, size = found.kinds.index("hardswish"), 4 * 2 * 64
    rules = Operators(narrow=("hardswish",))
    floats, narrow = (live(found, ("one", "two"), (), frozenset(), each)[0][step] for each in (Operators(), rules))
    assert (floats, narrow) == (size, size // 4)
    assert live(found, ("one",), (), frozenset(), rules)[0][step] == size, "the second layer reads floats"


def test_the_runtime_holds_what_passes_between_accelerated_parts() -> None:
    found = activations(load_model(Gate().eval(), (torch.randn(2, 64),)))
    step, size = found.kinds.index("hardswish"), 4 * 2 * 64
    inside, held = live(found, (), (), frozenset())
    assert (inside[step], held[step]) == (size, size), "written over its input, beside the input of the model"
    inside, held = live(found, (), (), outside_steps(found, ("one",), ()))
    assert (inside[step], held[step]) == (size, 2 * size), "the runtime holds what a layer of its own made"
    inside, held = live(found, (), (), outside_steps(found, (), ("hardswish",)))
    assert (inside[step], held[step]) == (0, 3 * size), "and nothing is written over its input there"


@given(st.lists(st.builds(Block, st.integers(1, 4000), st.integers(0, 9), st.integers(10, 19)), max_size=8))
def test_an_arena_of_what_lives_together_is_its_sum(blocks: list[Block]) -> None:
    assert arena(blocks) == sum(-(-block.bytes // 64) * 64 for block in blocks)


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_an_arena_holds_the_fullest_moment(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(64 * size, min(ends), max(ends)) for size, *ends in drawn]
    moments = [sum(block.bytes for block in blocks if block.first <= moment <= block.last) for moment in range(10)]
    assert max(moments) <= arena(blocks) <= sum(block.bytes for block in blocks)


def test_a_gap_is_filled_before_the_arena_grows() -> None:
    blocks = [Block(640, 0, 1), Block(320, 0, 4), Block(256, 2, 4)]
    assert arena(blocks) == 960, "the small one goes where the large one was"


def test_without_the_room_in_front_a_chain_is_laid_out_end_to_end() -> None:
    chain = [Block(640, step, step + 1) for step in range(6)]
    assert arena(chain) == 2 * 640
    assert arena(chain, front=False) == 6 * 640, "each behind the one that it overlaps"


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_room_in_front_never_costs_more_than_all_blocks(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(64 * size, min(ends), max(ends)) for size, *ends in drawn]
    assert arena(blocks, front=False) <= sum(block.bytes for block in blocks)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12))
def test_a_room_that_is_made_anew_holds_the_largest_and_at_most_all(sizes: list[int]) -> None:
    assert max(sizes) <= grown(sizes) <= sum(sizes)
    assert grown(sorted(sizes, reverse=True)) == max(sizes), "the first is large enough for all"


def test_two_old_rooms_side_by_side_hold_a_new_one() -> None:
    assert grown([100, 110]) == 210, "the old one is given back once the new one is there"
    assert grown([100, 110, 150]) == 360, "the first alone is too small"
    assert grown([100, 110, 150, 160]) == 360, "the first two are not"


def test_signals_are_brought_into_the_order_of_convolutions_once() -> None:
    body = nn.Sequential(nn.Conv1d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1), nn.GELU())
    found = activations(load_model(body.eval(), (torch.randn(1, 8, 32),)))
    inside, _ = live(found, (), (), frozenset())
    narrow, wide = 4 * 8 * 32, 4 * 16 * 32
    first, second = (found.layers.index(name) for name in ("0", "2"))
    assert inside[first] == narrow + wide, "the caller's signal in the runtime's order"
    assert inside[second] == 2 * wide, "no copy between two convolutions"


SIMPLER = Operators(
    simpler=True, growing=True, front=False,
    taken=("channels_last", "channels_first", "add", "relu", "gelu", "bmm", "slice", "reshape", "transpose", "softmax", "mul"),
)  # fmt: skip


def test_each_convolution_of_a_signal_brings_its_result_back_for_executorch() -> None:
    body = nn.Sequential(nn.Conv1d(8, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1), nn.GELU())
    found = activations(load_model(body.eval(), (torch.randn(1, 8, 32),)), rules=SIMPLER)
    assert [found.kinds.count(name) for name in ("channels_last", "channels_first")] == [2, 2]


class Read(nn.Module):
    """A sum that one or two layers read."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.both, self.one, self.two, self.three = both, *(nn.Linear(64, 64) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x).tanh() + self.two(x)
        result: torch.Tensor = self.three(x) + x if self.both else self.three(x)
        return result


def test_executorch_writes_over_what_is_read_once_into_what_is_read_once() -> None:
    made = [
        sum(tensor.made == found.kinds.index("add") for tensor in found.tensors)
        for found in (activations(load_model(Read(both).eval(), (torch.randn(2, 64),)), rules=SIMPLER) for both in (False, True))
    ]
    assert made == [0, 1], "the sum is a tensor of its own where two read it"


class Halves(nn.Module):
    """A layer on one half of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.one(x).chunk(2, 1)
        return left + self.two(right)


def test_splits_are_slices_for_executorch_and_attention_products() -> None:
    halves = activations(load_model(Halves().eval(), (torch.randn(2, 64),)), rules=SIMPLER)
    assert halves.kinds.count("slice") == 2
    assert "chunk" not in halves.kinds
    assert not outside_steps(halves, (), (), SIMPLER.taken), "one part computes all of it"


def test_steps_outside_run_before_what_is_by_breadth_behind_them() -> None:
    found = activations(load_model(Normed().eval(), (torch.randn(2, 64),)), rules=SIMPLER)
    outside = outside_steps(found, (), (), SIMPLER.taken)
    assert [found.kinds[step] for step in outside] == ["layer_norm"]
    assert set(found.parts(outside)) == {0, 1}


def test_buckets_are_as_executorch_plans_them() -> None:
    chain = [Block(640, step, step + 1) for step in range(6)]
    assert buckets(chain) == 2 * 640
    beside = [Block(640, step, step + 1) for step in range(1, 4)]
    assert buckets([Block(1280, 0, 0), *beside[:2]]) == 1280, "one behind the other, in the room of the large one"
    assert buckets([Block(1280, 0, 0), *beside]) == 1920, "behind the last that lives with it, where there is none left"


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_buckets_hold_the_fullest_moment(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(64 * size, min(ends), max(ends)) for size, *ends in drawn]
    moments = [sum(block.bytes for block in blocks if block.first <= moment <= block.last) for moment in range(10)]
    assert max(moments) <= buckets(blocks) <= sum(block.bytes for block in blocks)


def test_packed_weights_fill_whole_tiles(model: Any) -> None:
    first = model.inventory["first"]
    assert padded(first, 0) == 16 * 3 * 9
    assert padded(first, 8) == 16 * 8 * 9, "three channels in take the room of eight"
    assert padded(model.inventory["head"], 1) == 16 * 32, "ten channels out that of sixteen"


def test_paddings_of_dynamic_layers_are_copies() -> None:
    found = activations(load_model(nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1)).eval(), (torch.randn(1, 4, 8, 8),)))
    rules = Operators(padded=("conv2d",))
    assert found.padded[found.layers.index("0")] == 4 * 4 * 10 * 10, "an output of half the size asks for padding on one side"
    modes: tuple[Any, ...] = (((), ()), (("0",), ()), ((), ("0",)))
    fused, static, copied = (max(live(found, *each, frozenset(), rules)[0]) for each in modes)
    assert fused == 4 * 4 * 64 + 4 * 8 * 16, "the input in the runtime's own layout, and the output"
    assert static <= fused + 4 * 64, "a static one pads its integers itself"
    assert copied == 4 * 4 * 64 + 4 * 4 * 100, "floats, and padded floats"


def test_paddings_of_their_own_between_floats_and_static_layers_are_copies() -> None:
    body = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ZeroPad2d((0, 2, 0, 2)), nn.Conv2d(8, 8, 3)).eval()
    found = activations(load_model(body, (torch.randn(1, 4, 8, 8),)))
    step, wide, padded = found.layers.index("2"), 4 * 8 * 64, 4 * 8 * 100
    assert found.pads == {step: padded}
    rules = Operators(padding=True)
    plans = ((), ("0", "2"), ("0",), ("2",))
    fused, codes, behind, copied = (live(found, static, (), frozenset(), rules)[0][step] for static in plans)
    assert fused == 2 * wide, "in float it is part of the layer"
    assert codes == wide // 4 + wide, "and between two layers in 8 bits, of which the caller takes floats"
    assert behind == 2 * wide, "codes are padded before they become floats"
    assert copied >= wide + padded, "what the first made, in floats, and padded"


class Stream(nn.Module):
    """Layers that add to a stream which both the next layer and the next sum read."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(4, 4, 1) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        x = x + self.two(x)
        result: torch.Tensor = x + self.three(x)
        return result


def test_a_sum_that_another_sum_reads_is_no_integer() -> None:
    rules = Operators(narrow=("add",), taken=("conv2d", "add", "channels_last", "channels_first"), simpler=True)
    found = activations(load_model(Stream().eval(), (torch.randn(1, 4, 8, 8),)), rules=rules)
    inside, _ = live(found, ("one", "two", "three"), (), frozenset(), rules)
    size, sums = 4 * 4 * 64, [step for step, kind in enumerate(found.kinds) if kind == "add"]
    assert inside[found.layers.index("two")] == size // 4 + size // 4, "integers in and out"
    assert inside[sums[0]] == 3 * size, "a copy in floats of each, and the sum, which is read twice and so written over neither"
    assert inside[found.layers.index("three")] == size // 4 + size + size // 4, "integers in and out, and the floats of the sum"


def test_layers_are_prepared_one_after_the_other(memory: MemoryModel) -> None:
    half = memory.parts(dict.fromkeys(("first", "second", "third", "head"), "fp16"))
    assert half.passing == 4 * (2304 - 512 - 320), "the largest layer's copy, in the place of what is packed after it"
    assert half.peak == half.file + half.packed + max(half.passing, half.activations) + half.runtime


def test_kernels_outside_take_room_of_their_own(model: Any) -> None:
    plain = {"first": "fp32", "second": "int8_channel", "third": "fp32", "head": "fp32"}
    bare, working = (_model(model, replace(TABLE, copies=(*TABLE.copies[:3], _outside(name)))) for name in ("", "contraction"))
    more = working.parts(plain).activations - bare.parts(plain).activations
    assert more == 4 * 144 * (16 + 64), "channels and positions"
    alone = plain | {"second": "fp32"}
    assert working.parts(alone).activations == bare.parts(alone).activations


def test_a_vector_is_multiplied_in_place(model: Any) -> None:
    assert scratch(model.inventory["head"], "product") == ()
    assert scratch(model.inventory["third"], "product") == (), "small blocks are the stack's"


@pytest.mark.parametrize(("inner", "rows", "columns", "sizes"), [
    (288, 96, 168, [193_600]), (768, 256, 168, [786_496, 516_160]), (1024, 512, 64, [1_065_024, 133_184]),
    (3072, 768, 128, [2_383_936, 397_376]), (512, 2048, 32, [1_048_640]), (256, 1500, 400, [770_112, 409_664]),
    (2048, 64, 1024, [176_192, 1_409_088]), (384, 384, 2500, [589_888, 1_284_160]),
])  # fmt: skip
def test_products_ask_for_the_blocks_that_were_seen(inner: int, rows: int, columns: int, sizes: list[int]) -> None:
    """Sizes are those that LiteRT's kernel asked for on a machine whose caches are those of `sdk.costs.scratch`."""
    layer = load_model(nn.Linear(inner, rows).eval(), (torch.randn(1, columns, inner),)).inventory.layers[0]
    assert [asked.bytes for asked in scratch(layer, "product")] == sizes


def test_late_slices_of_a_contraction_are_counted_as_written() -> None:
    layer = load_model(nn.Conv2d(48, 48, 3, padding=1).eval(), (torch.randn(1, 48, 96, 96),)).inventory.layers[0]
    shared, own = scratch(layer, "contraction")
    assert (shared.bytes, own.bytes) == (24_698_944, 1_024_064), "as they were seen"
    written = sum(last - first for first, last in shared.written)
    assert written == 4 * 432 * 48 + 4 * 112 * 96 * 96, "both slices of the weights, and the second of the patches"


def test_threads_share_the_inner_side_of_a_contraction_of_few_rows() -> None:
    few, more = (load_model(nn.Conv2d(16, rows, 9, padding=4).eval(), (torch.randn(1, 16, 64, 64),)) for rows in (3, 8))
    sizes = [asked.bytes for asked in scratch(few.inventory.layers[0], "contraction")]
    assert sizes == [515_904] * 3 + [4 * 3 * 64 * 64], "a style network's last convolution, as it was seen in two threads' heaps"
    assert scratch(more.inventory.layers[0], "contraction")[0].bytes > 11_000_000
    small = load_model(nn.Conv2d(16, 3, 9, padding=4).eval(), (torch.randn(1, 16, 8, 8),)).inventory.layers[0]
    assert len(scratch(small, "contraction")) == 1, "starting threads would take longer"


def test_a_convolution_of_one_channel_is_a_depthwise_one_outside() -> None:
    rows = _outside("contraction"), Copies(("depthwise",), "int8_channel", packed=4.0, outside=True)
    one, two = (load_model(nn.Conv2d(n, 32, 3).eval(), (torch.randn(1, n, 40, 40),)) for n in (1, 2))
    found = []
    for net in (one, two):
        layer = net.inventory.layers[0]
        memory = _model(net, replace(TABLE, copies=rows))
        found.append(memory.packed(layer, scheme_named("int8_channel")) / layer.parameters)
    assert found == [4.0, 9.0], "in the files too it is DEPTHWISE_CONV_2D, which packs no patches"


def test_a_bicubic_resize_holds_what_it_gathers() -> None:
    class Resize(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(x.relu(), scale_factor=3, mode="bicubic").relu()

    resize = load_model(Resize().eval(), (torch.randn(1, 4, 8, 8),))
    apart = replace(TABLE, operators=replace(TABLE.operators, outside=("upsample_bicubic2d",)))
    plain, gathered = (_model(resize, table)._arenas({}) for table in (TABLE, apart))
    made = 4 * 4 * 24 * 24
    assert gathered[2] > plain[2] and gathered[2] >= 16 * made + 8 * 4 * 24 * 24, "sixteen copies, and places"
    assert gathered[0] >= 7 * made, "seven of them where they are added up"


def test_a_heap_keeps_what_was_ever_written() -> None:
    first, second = (whole(400_000),), (Asked(500_000, ((0, 1000), (450_000, 500_000))),)
    assert resident([first, second]) == 400_000, "both are mapped for themselves at first"
    assert resident([first, second, first, second]) == 450_000, "then they lie in one place"
    assert resident([(whole(MAPPED - 1),), (whole(PAD),)]) == MAPPED - 1
    assert resident([second, (whole(300_000),), second], [second]) == 350_000, "one of a size that was given back lies there too"


def test_what_a_heap_has_too_much_of_goes_back() -> None:
    both = (whole(MAPPED - 1), whole(MAPPED - 1), whole(MAPPED - 1))
    assert resident([(whole(1000),)], [both]) == PAD


def test_dilated_convolutions_write_their_patches_out() -> None:
    wide, plain = (load_model(nn.Conv2d(4, 8, 3, dilation=by).eval(), (torch.randn(1, 4, 12, 12),)) for by in (2, 1))
    table = replace(TABLE, copies=(_outside("contraction"),))
    schemes = {wide.inventory.layers[0].name: "int8_channel"}
    apart, turned = (_model(model, table).parts(schemes) for model in (wide, plain))
    assert turned.packed - apart.packed == 4 * 8 * 36, "no transposed copy of the weights"


@pytest.mark.parametrize(("function", "tensors"), [(nn.functional.silu, 2), (nn.functional.hardswish, 1)])
def test_operators_that_are_taken_apart_hold_more(function: Any, tensors: int) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)

        def forward(self, x: Any) -> Any:
            return self.two(function(self.one(x)))

    rules = LITERT.memory().operators
    found = activations(load_model(Gated().eval(), (torch.randn(1, 3, 8, 8),)), rules=rules)
    step = next(step for step, layer in enumerate(found.layers) if layer is None)
    assert live(found, (), (), frozenset(), rules)[0][step] == tensors * 4 * 8 * 64
    held = live(found, ("one", "two"), (), frozenset(), rules)[0][step]
    assert (held == 8 * 64) == (tensors == 1), "a function of one number between static layers is a table of 256"


def test_what_an_accelerated_part_lacks_is_held_by_the_runtime() -> None:
    rules = LITERT.memory().operators
    model = load_model(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ELU(), nn.Conv2d(8, 3, 1)).eval(), (torch.randn(1, 3, 8, 8),))
    found = activations(model, rules=rules)
    outside = outside_steps(found, (), rules.outside)
    assert [found.kinds[step] for step in outside] == ["elu"]
    held = live(found, (), (), outside, rules)[1]
    assert held[next(iter(outside))] == (8 + 8 + 10 + 3) * 4 * 64, "both sides, the exponent and its truth values; the input"


def test_tables_of_pointers_are_made_after_loading(model: Any) -> None:
    plain, paged = (_model(model, replace(TABLE, freed=True, indirection=size)) for size in (0, 1000))
    schemes = dict.fromkeys(("first", "second", "third", "head"), "fp32")
    one, two = plain.parts(schemes), paged.parts(schemes)
    assert two.runtime - one.runtime == two.tables > two.activations
    assert one.peak == one.file + one.arena + one.packed + one.runtime + one.passing
    assert two.peak == two.private + two.kept


def test_patches_that_are_written_out_lie_in_the_runtimes_arena() -> None:
    found = activations(load_model(nn.Conv2d(4, 8, 3, dilation=2).eval(), (torch.randn(1, 4, 12, 12),)))
    held = live(found, (), (), frozenset({0}))[1][0]
    assert held == 4 * (4 * 12 * 12 + 8 * 8 * 8 + 36 * 8 * 8)


@pytest.mark.parametrize(("more", "cells"), [({}, 1), ({"num_layers": 2}, 2), ({"bidirectional": True}, 2)])
def test_each_layer_and_direction_of_a_recurrent_one_is_a_loop(more: dict[str, Any], cells: int) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.GRU(16, 16, batch_first=True, **more)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.memory(x)[0]
            return result

    recurrent = load_model(Recurrent().eval(), (torch.randn(1, 10, 16),))
    layer = recurrent.inventory.layers[0]
    rows = (Copies(("gru",), "fp32", packed=4.0, outside=True, cell=size) for size in (0, 500))
    bare, looped = (_model(recurrent, replace(TABLE, copies=(row,))) for row in rows)
    packed = [each.parts({layer.name: "fp32"}).packed for each in (bare, looped)]
    assert packed[1] - packed[0] == cells * 500
    fp32 = scheme_named("fp32")
    assert looped.mapped(layer, fp32) == bare.mapped(layer, fp32) // (2 * cells), "one weight after the other"
    graphs = _model(recurrent, replace(TABLE, copies=(Copies(("gru",), "fp32", packed=4.0, outside=True, loop=500),)))
    assert graphs.parts({layer.name: "fp32"}).packed - packed[0] == (1 + cells) * 500, "one loop of all, with a condition's graph"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_loops_are_fed_by_products_of_whole_sequences(kind: Any) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = kind(4, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.memory(x)[0][-1]
            return result

    recurrent = load_model(Last().eval(), (torch.randn(50, 2, 4),))
    layer = recurrent.inventory.layers[0]
    table = replace(TABLE, copies=(Copies((layer.kind,), "fp32", packed=4.0, outside=True),))
    apart, early = (_model(recurrent, replace(table, freed=freed)).parts({layer.name: "fp32"}) for freed in (False, True))
    assert apart.activations > 4 * 50 * 2 * (layer.shape[0] + 64)
    assert apart.arena == 0 and early.arena >= 4 * 50 * 2 * layer.shape[0], "there before anything is packed"


def test_bilinear_resizes_keep_tables() -> None:
    class Resize(nn.Module):
        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(x, size=(12, 10), mode=self.mode)

    image = (torch.randn(1, 4, 6, 5),)
    bilinear, nearest = (activations(load_model(Resize(mode).eval(), image)).pointers for mode in ("bilinear", "nearest"))
    assert (bilinear, nearest) == (5 * 12 * 10, 0), "four pointers and two weights of each position"


def test_products_of_two_activations_pack_the_second() -> None:
    class Product(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x @ y

    pair = (torch.randn(2, 3, 8, 10), torch.randn(2, 3, 10, 20))
    assert activations(load_model(Product().eval(), pair)).scratch == (4 * 6 * 32 * (10 + 1),), "whole tiles, and a row"


def test_a_convolution_of_one_element_in_groups_is_no_product() -> None:
    whole, grouped = (load_model(nn.Conv1d(8, 8, 1, groups=by).eval(), (torch.randn(1, 8, 6),)) for by in (1, 2))
    assert [kernel_kind(each.inventory.layers[0]) for each in (whole, grouped)] == ["pointwise1d", "conv1d"]


def test_what_a_part_views_for_the_runtime_is_a_copy() -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.LayerNorm(64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.norm(self.wide(x).sigmoid().flatten(2))
            return result

    rules = EXECUTORCH.memory().operators
    found = activations(load_model(Viewed().eval(), (torch.randn(1, 3, 8, 8),)), rules=rules)
    inside, held, size = *live(found, (), (), outside_steps(found, (), rules.outside, rules.taken), rules), 4 * 16 * 64
    step = found.kinds.index("layer_norm") - 1
    assert inside[step] >= size and held[step] >= size, "the part's own image, and the view that the runtime holds"


def test_what_passes_between_parts_is_turned_by_both() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept = self.one(x).sigmoid()
            return self.two(nn.functional.instance_norm(self.two(kept)) * kept)

    rules = EXECUTORCH.memory().operators
    found = activations(load_model(Skip().eval(), (torch.randn(1, 3, 8, 8),)), rules=rules)
    outside = outside_steps(found, (), rules.outside, rules.taken)
    parts = found.parts(outside)
    turns = [(kind, parts[step]) for step, kind in enumerate(found.kinds) if kind.startswith("channels_")]
    assert turns.count(("channels_first", 0)) == 2, "what the norm reads, and what the second part reads"
    assert ("channels_last", 1) in turns and max(parts) == 1


def test_an_outgrown_room_of_megabytes_is_there_while_the_next_is_made() -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(1 << 18)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm((x.sigmoid() * x).exp())
            return torch.cat([x.sigmoid() * x, x.tanh() * x], 1)

    rules = EXECUTORCH.memory().operators
    found = activations(load_model(Growing().eval(), (torch.randn(1, 4, 1 << 18),)), rules=rules)
    most, spare, _ = arenas(found, (), (), outside_steps(found, (), rules.outside, rules.taken), rules)
    assert most > spare >= 4 << 20


def test_depthwise_kernels_of_signals_fill_no_tiles() -> None:
    few, many = (load_model(nn.Conv1d(32, 32, taps, groups=32).eval(), (torch.randn(1, 32, 40),)) for taps in (15, 31))
    layers = [each.inventory.layers[0] for each in (few, many)]
    assert padded(layers[0], 8) == layers[0].parameters
    assert kernel_kind(layers[1]) == "depthwise_large"


def test_pages_of_packed_weights_may_be_given_back(model: Any) -> None:
    stays = _model(model, replace(TABLE, freed=True))
    freed = stays.parts(dict.fromkeys(("first", "second", "third", "head"), "fp32"))
    assert freed.kept == stays.prices.base
    mixed = {"first": "fp32", "second": "int8_channel", "third": "fp32", "head": "fp32"}
    outside = stays.file(stays.layers["second"], scheme_named("int8_channel"))
    assert stays.parts(mixed).kept == stays.prices.base + outside, "the runtime reads it"


def test_each_constant_of_an_accelerated_part_takes_whole_pages_while_it_loads(model: Any) -> None:
    before, paged = (_model(model, replace(TABLE, freed=True, page=size)) for size in (0, 4096))
    plain = dict.fromkeys(("first", "second", "third", "head"), "fp32")
    assert paged.parts(plain).file - before.parts(plain).file == 8 * 4096, "weights and biases"
    narrow = {**plain, "third": "int8_channel_static"}
    assert paged.parts(narrow).file - before.parts(narrow).file == 9 * 4096, "and the scales of one"
    assert paged.parts(narrow).kept == before.parts(narrow).kept
    outside = {**plain, "second": "int8_channel"}
    assert paged.parts(outside).file - before.parts(outside).file < 6 * 4096, "what the runtime reads is mapped with the file"
    sums = Costs(paged).sums({name: (scheme,) for name, scheme in plain.items()})
    assert max(each.base + sum(each.amounts[name]["fp32"] for name in plain) for each in sums) == paged.parts(plain).peak


class Scaled(nn.Module):
    """A layer between constants: a buffer, and two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(64, 64)
        self.register_buffer("by", torch.rand(64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.one(x * self.by) * 0.5 + 2
        return result


def test_constants_that_are_no_layer_s_are_counted() -> None:
    scaled = load_model(Scaled().eval(), (torch.randn(4, 64),))
    rules = Operators(outside=(), simpler=True, taken=("mul", "add", "linear"))
    before, paged = (_model(scaled, replace(TABLE, freed=True, page=size, operators=rules)) for size in (0, 4096))
    assert paged.parts({"one": "fp32"}).file - before.parts({"one": "fp32"}).file == (2 + 3) * 4096


def test_the_largest_sum_is_the_prediction_but_for_what_layers_cost_together(memory: MemoryModel) -> None:
    names = ("fp32", "fp16", "int8_channel_static")
    sums = Costs(memory).sums(dict.fromkeys(("first", "second", "third", "head"), names))
    toss = random.Random(0)
    for number in range(60):
        schemes = {name: "fp32" if number == 0 else toss.choice(names) for name in ("first", "second", "third", "head")}
        largest = max(each.base + sum(each.amounts[name][scheme] for name, scheme in schemes.items()) for each in sums)
        peak = memory.parts(schemes).peak
        assert largest == peak if number == 0 else largest <= peak + 1e-6


def test_the_bounds_are_the_validations(memory: MemoryModel) -> None:
    schemes = dict.fromkeys(("first", "second", "third", "head"), "fp32")
    found = Costs(memory).predict(schemes)["max_memory"]
    assert (found.low, found.high) == (round(0.9 * found.value), round(1.2 * found.value))


def small(**budgets: Any) -> Any:
    torch.manual_seed(0)
    data = [(torch.randn(1, 3, 8, 8),) for _ in range(4)]
    return sdk.plan(Net().eval(), device="host", target="null", calibration=data, **budgets)


def test_a_plan_keeps_its_memory(model: Any) -> None:
    wide = small(max_memory="1MB")
    assert wide.predicted.peak_memory is not None
    peak = wide.predicted.peak_memory.value
    tight = small(max_memory=round(peak * 0.95))
    assert tight.predicted.peak_memory.value <= round(peak * 0.95) == tight.budgets.max_memory
    assert tight.predicted.loss >= wide.predicted.loss


def test_refusals_name_the_limit() -> None:
    with pytest.raises(BudgetError, match=r"max_memory 2\.00 kB cannot be met: raise max_memory to \d+ kB"):
        small(max_memory=2000)
    with pytest.raises(BudgetError, match=r"max_memory 2\.00 kB: predicted are"):
        small(max_memory=2000, uniform="q8")
    with pytest.raises(BadInput, match="max_latency: nothing predicts it"):
        small(max_latency=1.0)


def test_a_bundle_says_what_was_predicted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = [(torch.randn(1, 3, 8, 8),) for _ in range(4)]
    bundle = sdk.package(Net().eval(), device="host", target="null", calibration=data, max_memory="1MB", out=tmp_path / "b")
    found = bundle.manifest.predicted.peak_memory
    assert found is not None
    assert found.low < found.value < found.high
    assert found.origin == "predicted"


def test_an_attention_holds_what_each_of_its_products_reads() -> None:
    """Queries and keys are gone once the scores are made, and the result is made of shares written over them and of values."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 192), nn.Linear(64, 64)

        def forward(self, x: Any) -> Any:
            query, key, value = self.one(x).reshape(1, 96, 3, 2, 32).permute(2, 0, 3, 1, 4)
            return self.two(nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    found = activations(load_model(Attending().eval(), (torch.randn(1, 96, 64),)))
    step = next(iter(found.attention))
    inside, _ = blocks(found, (), (), frozenset())
    each, scores, first = 4 * 96 * 64, 4 * 2 * 96 * 96, 5 * step
    held = [sum(block.bytes for block in inside if block.first <= first + phase <= block.last) for phase in range(1, 4)]
    whole = 4 * 96 * 192  # queries, keys and values are views of one tensor
    assert held == [whole + scores + 4 * 2 * 96 * 33, whole + scores, whole + scores + 4 * 2 * 32 * 97 + each]
    assert found.attention[step].scored == frozenset()


def test_linear_layers_with_dynamic_activations_quantize_a_few_rows_at_a_time() -> None:
    """Convolutions of one element are linear layers for LiteRT; others read a copy in 8 bits."""
    body = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, 3)
    network = nn.Sequential(*body, nn.Flatten(), nn.Linear(128, 4))
    found = activations(load_model(network.eval(), (torch.randn(1, 8, 12, 12),)))
    assert [found.inner[step] for step in range(len(found.layers)) if found.layers[step]] == [8, 0, 0, 128]
    inside, _ = blocks(found, (), ("0", "1"), frozenset())
    assert sum(block.bytes == 2 * 14 * 16 for block in inside) == 1
    assert sum(block.bytes == 8 * 144 for block in inside) == 1  # what the second one reads
