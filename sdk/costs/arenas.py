"""How much room the activations take: their lifetimes as blocks, for runtimes to place (see `sdk.costs.placing`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sdk.costs.activations import PLAIN, Activations, Tensor
from sdk.costs.nodes import ATTENTION, BICUBIC, IN_PLACE, RECURRENT
from sdk.costs.orders import PAIRED
from sdk.costs.placing import MAPPED, Block, arena, buckets, grown
from sdk.costs.transfer import THREADS
from sdk.lowering import Operators

PHASES, READ, COMPUTE, WRITE, TURN = 5, 1, 2, 3, 4
"""Moments of a step: its inputs are padded or brought into order (0), converted, computed; its result is converted, and brought
back into order."""

ROWS, WIDER, RANGE = 8, 14, 8
"""Rows that a linear kernel with dynamic activations quantizes at once, each thread in a room of its own: of ExecuTorch's XNNPACK
(5 or 8, from what its rooms of one layer were) and of LiteRT's; bytes of a row's scale and zero point."""
ORDERS = ("channels_last", "channels_first")
"""Kinds of the steps that `write_orders` puts in: they copy 8 bits where a static layer is on one side."""
MIXED = 7
"""Copies of its result that a part holds besides the scores where it multiplies them with the values: packed values, and a chain
of changes of their order (read in files of ExecuTorch 1.4.1)."""
SUMMED = 7
"""Copies of its result that a part holds where it adds up what a bicubic resize gathered (a file's room, to 32 bytes)."""
ADDRESS = 8
"""Bytes of a pointer in the tables of convolutions: those of later parts take the place that outgrown rooms left."""
ONCE, SCORES = 0.5, 2.0
"""Of what attention holds inside (its scores twice): what passes to the runtime where its mask is applied once to them, and where
the runtime does all of it in steps of its own (four times the scores, as allocations of a vision transformer show)."""


def arenas(
    found: Activations, static: Collection[str], dynamic: Collection[str], outside: frozenset[int], rules: Operators = PLAIN
) -> tuple[int, int, int]:
    """Return the bytes of the arena inside of the accelerated parts, those it leaves free where it grew, and the runtime's own.

    The parts run one after the other in the same room, which in some runtimes is made anew where one needs more. To the runtime
    each part is one step, so that what goes in or comes out lives as long as it runs.
    """
    inside, held = blocks(found, static, dynamic, outside, rules)
    parts = found.parts(outside)
    rooms: dict[int, list[Block]] = {}
    for block in inside:
        rooms.setdefault(parts[block.first // PHASES], []).append(block)
    order = sorted({_node(parts, step, outside) for step in range(len(parts))})
    place = {node: number for number, node in enumerate(order)}
    node = [place[_node(parts, step, outside)] for step in range(len(parts))]
    whole = []
    for each in held:  # steps of different parts need not be in the order of the parts
        ends = node[each.first // PHASES], node[each.last // PHASES]
        whole.append(Block(each.bytes, min(ends), max(ends)))
    sizes = [arena(rooms[part], rules.front) for part in sorted(rooms)]
    most = max(sizes, default=0)
    spare = grown(sizes) - (most if most < MAPPED else 0) if rules.growing else 0
    before = max(sizes[: sizes.index(most)], default=0) if rules.growing and sizes else 0
    spare = before if before >= MAPPED else max(min(spare, before), spare - ADDRESS * found.pointers)
    return most, spare, (buckets if rules.simpler else arena)(whole)


def _node(parts: Sequence[int], step: int, outside: frozenset[int]) -> tuple[int, int]:
    """Where the runtime executes a step: a part first, then the steps outside that need its results."""
    return (parts[step], step + 1 if step in outside else 0)


def live(
    found: Activations, static: Collection[str], dynamic: Collection[str], outside: frozenset[int], rules: Operators = PLAIN
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the bytes that each step holds when the layers in `static` compute in 8 bits: inside, then outside."""
    sums = []
    for each in blocks(found, static, dynamic, outside, rules):
        moments = [0] * (PHASES * len(found.layers))
        for block in each:
            for moment in range(block.first, block.last + 1):
                moments[moment] += block.bytes
        sums.append(tuple(max(moments[at : at + PHASES]) for at in range(0, len(moments), PHASES)))
    return sums[0], sums[1]


def blocks(
    found: Activations, static: Collection[str], dynamic: Collection[str], outside: frozenset[int], rules: Operators = PLAIN
) -> tuple[list[Block], list[Block]]:
    """Return what lives inside of the accelerated parts, and what the runtime holds.

    A tensor that a step in `outside`, or the caller, reads or writes, or that passes between parts, is held by the runtime, the
    others by the accelerated part, which keeps images of the caller in its own layout. A tensor stays in 8 bits when its maker
    and all its readers are static; elsewhere a static layer reads and writes floats through 8-bit copies, and a `dynamic` one
    reads them so. Operators that pad read a padded copy, unless the padding is fused into a layer that computes in float or with
    static activations. Outside, nothing is written over its input, and no operator is taken apart.
    """
    inline = {layer for layer, inner in zip(found.layers, found.inner, strict=True) if inner and layer in dynamic}
    dynamic = () if rules.simpler else frozenset(dynamic) - inline
    parts, narrow = found.parts(outside), {*static, *dynamic}
    padded = _padded(found, static, dynamic, outside, rules)
    inside, held = _working(found, padded, narrow, outside, rules)
    rows = THREADS * (ROWS if rules.simpler else WIDER)
    for step, (layer, inner) in enumerate(zip(found.layers, found.inner, strict=True)):
        if layer in inline and inner:
            inside.append(Block(rows * (inner + RANGE), PHASES * step, PHASES * step + TURN))
    plain = outside - {step for step in padded if found.layers[step] is not None}
    integers, first = _integers(found, static, outside, rules), _first_converted(found, static)
    pieces: list[tuple[Block, bool]] = []
    for tensor in found.tensors:
        copies = None if _narrow(tensor, integers, outside) else found.copies(tensor, static, dynamic, padded)
        turned = _turned(found, tensor, rules)
        size = tensor.bytes if copies is not None else tensor.bytes // 4
        stretches = _stays(tensor, outside, plain, parts, rules)
        if rules.simpler and copies and _is_inside(stretches) and not tensor.touched & padded.keys():
            pieces += _converted(found, tensor, integers, first)
            continue
        for start, last, public in stretches:
            span = _moments(start, last, copies or (), {*padded, *turned}, turned)
            block = Block(size, *(span if public else _attended(found, tensor, start, last, span)))
            (held if public else inside).append(block)
        if tensor.public and tensor.image and not rules.simpler:
            last = tensor.last if tensor.made >= 0 else max(tensor.touched, default=0)
            inside.append(Block(tensor.bytes, *_moments(tensor.made, last, copies or (), padded, ())))
        if copies is None and tensor.made >= 0 and found.kinds[tensor.made] in ORDERS and tensor.maker is None:
            inside.append(Block(size, PHASES * tensor.made, PHASES * tensor.made + COMPUTE))
        for step in tensor.touched & outside & padded.keys() - {tensor.made}:
            held.append(Block(padded[step], max(0, PHASES * tensor.made + COMPUTE), PHASES * step + COMPUTE))
        for step, block in _copied(tensor, copies, turned, padded):
            (held if step in outside else inside).append(block)
    return inside + _joined(found, pieces), held


def _padded(
    found: Activations, static: Collection[str], dynamic: Collection[str], outside: frozenset[int], rules: Operators
) -> dict[int, int]:
    """The steps that read a padded copy, and its bytes."""
    padded = {
        step: size for step, (size, layer, kind) in enumerate(zip(found.padded, found.layers, found.kinds, strict=True))
        if size and kind in rules.padded and (layer is None or layer in dynamic or step in outside)
    }  # fmt: skip
    if rules.padding:
        made = {step for tensor in found.tensors if tensor.maker in static for step in tensor.touched - {tensor.made}}
        padded |= {
            step: size for step, size in found.pads.items()
            if found.layers[step] in dynamic or (found.layers[step] in static and step not in made)
        }  # fmt: skip
    return padded


def _working(
    found: Activations, padded: Mapping[int, int], narrow: Collection[str], outside: frozenset[int], rules: Operators
) -> tuple[list[Block], list[Block]]:
    """What steps hold besides their tensors: inside, then outside."""
    inside, held = [], []
    made = {tensor.made: tensor.bytes for tensor in found.tensors}
    for step, working in enumerate(found.scratch):
        whole = PHASES * step, PHASES * step + PHASES - 1
        if working and step not in outside:
            inside += _attending(found, step) if step in found.attention else [Block(working, *whole)]
        elif working and found.kinds[step] in rules.working:
            held.append(Block(working, *whole))
        elif working and found.kinds[step] == ATTENTION:
            apart = found.kinds[step] in rules.outside
            held.append(Block(round(working * (SCORES if apart else ONCE)), *whole))
            if apart:
                inside.append(Block(working // 2 + MIXED * made[step], *whole))
        elif working and found.kinds[step] == BICUBIC and BICUBIC in rules.outside:
            held.append(Block(working, *whole))
            inside.append(Block(SUMMED * made[step], *whole))
        elif working and found.kinds[step] in RECURRENT:
            held.append(Block(working, *whole))
    held += [Block(found.patches[step], PHASES * step, PHASES * step + PHASES - 1) for step in found.patches.keys() & outside]
    for step in padded.keys() - outside:
        end = READ if found.layers[step] in narrow else COMPUTE
        inside.append(Block(padded[step], PHASES * step, PHASES * step + end))
    return inside, held


def _attending(found: Activations, step: int) -> list[Block]:
    """What an attention holds besides its tensors: scores, over which shares are written, packed keys while those are made (READ)
    and packed values while its result is (WRITE)."""
    known, scores, start = found.attention[step], found.scratch[step] // 2, PHASES * step
    spans = (known.keys, READ, READ), (scores, READ, WRITE), (known.values, WRITE, WRITE)
    return [Block(size, start + first, start + last) for size, first, last in spans]


def _copied(
    tensor: Tensor, copies: tuple[int, ...] | None, turned: Collection[int], padded: Mapping[int, int]
) -> Iterator[tuple[int, Block]]:
    """Yield step and block of each copy of a tensor: in another order, and in 8 bits."""
    for step in turned:
        converts = step in (copies or ())
        span = (WRITE if converts else COMPUTE, TURN) if step == tensor.made else (0, READ if converts else COMPUTE)
        size = tensor.bytes if copies is not None else tensor.bytes // 4
        yield step, Block(size, PHASES * step + span[0], PHASES * step + span[1])
    for step in copies or ():
        made = tensor.made == step
        first = PHASES * step + (COMPUTE if made else READ)
        yield step, Block((tensor.bytes if made else max(tensor.bytes, padded.get(step, 0))) // 4, first, first + 1)


def _is_inside(stretches: Sequence[tuple[int, int, bool]]) -> bool:
    """Whether an accelerated part alone holds a tensor."""
    return not any(public for _, _, public in stretches)


def _first_converted(found: Activations, static: Collection[str]) -> dict[int, int]:
    """By step that reads floats: when the first of its inputs was made that static layers made in integers."""
    first: dict[int, int] = {}
    for tensor in found.tensors:
        if tensor.maker in static:
            for step in tensor.touched - {tensor.made}:
                first[step] = min(first.get(step, step), tensor.made)
    return first


def _converted(
    found: Activations, tensor: Tensor, integers: Collection[int], first: Mapping[int, int]
) -> Iterator[tuple[Block, bool]]:
    """Yield what is held of a tensor that steps in `integers` make or read beside others, and whether it is floats read once.

    ExecuTorch's toolchain leaves what a static layer made in integers, and each reader of floats has a copy made just before
    it reads; one that writes over its input, or views it, does so to this copy. Static layers share one copy of floats.
    """
    start = PHASES * tensor.made + COMPUTE
    makers = {step for step in tensor.touched if found.layers[step] == tensor.maker is not None} | {tensor.made}
    readers = tensor.touched - makers
    if tensor.made in integers:
        over = min(tensor.rewritten | tensor.viewed, default=None)
        before = [step for step in sorted(readers) if over is None or step <= over]
        turn = {step: PHASES * step + (0 if first.get(step) == tensor.made else READ) for step in before}
        ends = [PHASES * step + COMPUTE if step in integers else turn[step] for step in before]
        yield Block(tensor.bytes // 4, start, max(ends, default=start)), False
        for step in before:
            if step != over and step not in integers:
                yield Block(tensor.bytes, turn[step], PHASES * step + COMPUTE), True
        if over is None:
            return
        start, readers = turn[over], frozenset(step for step in readers if step > over)
    narrow, over = readers & set(integers), max(tensor.rewritten | tensor.viewed, default=-1)
    plain = readers - narrow
    ends = [PHASES * step + COMPUTE for step in plain]
    ends += [PHASES * min(narrow) + READ] if narrow else []
    yield Block(tensor.bytes, start, max([start, *ends])), sum(step > over for step in plain) + bool(narrow) == 1
    if narrow:
        yield Block(tensor.bytes // 4, PHASES * min(narrow) + READ, PHASES * max(narrow) + COMPUTE), False


def _joined(found: Activations, pieces: Sequence[tuple[Block, bool]]) -> list[Block]:
    """Return the blocks where a result that is read once is written over an input of its size that is, too (`runtime.c`)."""
    made: dict[int, Block] = {}
    for block, alone in pieces:
        step, phase = divmod(block.first, PHASES)
        if alone and phase == COMPUTE and found.layers[step] is None and found.kinds[step] in IN_PLACE:
            made[block.first] = block
    blocks: list[Block] = []
    starts: dict[int, int] = {}
    for block, alone in sorted(pieces, key=lambda each: each[0].first):
        first = starts.pop(block.first, block.first) if made.get(block.first) is block else block.first
        over = made.get(block.last)
        if alone and over is not None and over is not block and over.bytes == block.bytes and block.last not in starts:
            starts[block.last] = first
        else:
            blocks.append(Block(block.bytes, first, block.last))
    return blocks


def _integers(found: Activations, static: Collection[str], outside: frozenset[int], rules: Operators) -> frozenset[int]:
    """Return the steps that compute in integers: static layers, and operators that static layers alone feed and read.

    Changes of order copy integers where one side has them.
    """
    if not rules.narrow:
        return frozenset()
    needs, users = found.reads(), [list[int]() for _ in found.layers]
    for step, before in enumerate(needs):
        for each in before:
            users[each].append(step)
    shown = {step for tensor in found.tensors if tensor.public for step in (tensor.made, *tensor.rewritten, *tensor.viewed)}

    def made(step: int) -> bool:
        turned = found.kinds[step] in ORDERS and found.layers[step] is None and bool(needs[step])
        return found.layers[step] in static or (turned and all(map(made, needs[step])))

    def read(step: int) -> bool:
        turned = found.kinds[step] in ORDERS and found.layers[step] is None and bool(users[step]) and step not in shown
        return found.layers[step] in static or (turned and all(map(read, users[step])))

    def whole(step: int) -> bool:
        kind, fed = found.kinds[step], bool(needs[step]) and all(map(made, needs[step]))
        taken = bool(users[step]) and all(map(read, users[step])) and step not in shown
        if kind in ORDERS:
            return fed or taken
        return kind in rules.narrow and fed and taken and (kind not in PAIRED or len(needs[step]) > 1)

    steps = (step for step, layer in enumerate(found.layers) if layer is None and step not in outside and whole(step))
    return frozenset(steps) | {step for step, layer in enumerate(found.layers) if layer in static}


def _narrow(tensor: Tensor, integers: Collection[int], outside: frozenset[int]) -> bool:
    """Whether a tensor that steps in `integers` make and read is held in 8 bits alone."""
    return not tensor.public and tensor.made >= 0 and not tensor.touched & outside and tensor.touched <= set(integers)


def _turned(found: Activations, tensor: Tensor, rules: Operators) -> tuple[int, ...]:
    """The steps that bring a signal into the order of one-dimensional convolutions, or back for what is none of them."""
    if rules.simpler:
        return ()
    readers = [step for step in sorted(tensor.touched) if step != tensor.made and found.layers[step] != tensor.maker]
    made = tensor.made >= 0 and found.kinds[tensor.made] == "conv1d"
    convolutions = [step for step in readers if found.kinds[step] == "conv1d"]
    if made:
        return (tensor.made,) if tensor.public or len(convolutions) < len(readers) else ()
    return tuple(convolutions)


def _moments(
    first: int, last: int, copies: Collection[int], early: Collection[int], late: Collection[int]
) -> tuple[int, int]:
    """From when to when a tensor lives that is made in step `first` (-1: before all) and last needed in step `last`.

    `copies` convert it there, `early` read it to make another copy first, `late` make it from a copy.
    """
    start = PHASES * first + (TURN if first in late else WRITE if first in copies else COMPUTE) if first >= 0 else 0
    end = PHASES * last + (0 if last in early and last != first else READ if last in copies and last != first else COMPUTE)
    return start, max(start, end)


def _attended(found: Activations, tensor: Tensor, start: int, last: int, span: tuple[int, int]) -> tuple[int, int]:
    """From when to when a tensor lives, elsewhere in `span`, that an attention in step `start` makes, or one in `last` reads."""
    first, end = span
    if start in found.attention:
        first = PHASES * start + WRITE
    if last in found.attention and last > start:
        end = PHASES * last + (READ if tensor.name in found.attention[last].scored else WRITE)
    return first, max(first, end)


def _stays(
    tensor: Tensor, outside: frozenset[int], plain: frozenset[int], parts: Sequence[int], rules: Operators
) -> list[tuple[int, int, bool]]:
    """The steps from and to which a tensor is held, and whether by the runtime: one stretch for each room it is in.

    Each result that is written over the tensor, and on ExecuTorch each view of it, is one of its own: the runtime holds it if a
    step outside makes or reads it, the caller does, or a later part. What steps outside read through a padding, all but the
    `plain` ones, is the part's that pads. Only inside of an accelerated part it takes the place of the one before.
    """
    writers = sorted({tensor.made, *tensor.rewritten, *(tensor.viewed if rules.simpler else ())})
    ends = [*writers[1:], tensor.last]
    found: list[tuple[int, int, bool]] = []
    over = False
    for place, (step, end) in enumerate(zip(writers, ends, strict=True)):
        readers = {reader for reader in tensor.touched if step < reader <= end}
        public = (
            step in outside
            or bool(readers & plain)
            or len({parts[each] for each in {step, *readers - (outside - plain)} - {-1}}) > 1
            or (tensor.public and (place == len(writers) - 1 or step < 0))
        )
        start = found.pop()[0] if over and not public else step
        found.append((start, end, public))
        over = not public
    return found


def worst(
    found: Activations, outside: frozenset[int], most: int, rules: Operators = PLAIN
) -> list[tuple[int, int, dict[str, float]]]:
    """Return the steps that hold most in float, at most `most`: (step, bytes with what is held outside, savings).

    Savings are the bytes that each layer frees there by computing in 8 bits: of a tensor between layers alone, each of
    them frees its share of three quarters; in its own step a layer never holds its floats in and out together. What the
    arenas hold beyond the fullest step, between blocks, is added to all.
    """
    inside, held = live(found, (), (), outside, rules)
    gaps = sum(arenas(found, (), (), outside, rules)) - max(inside, default=0) - max(held, default=0)
    savings: list[dict[str, float]] = [{} for _ in found.layers]
    for tensor in found.tensors:
        ends = [*([tensor.maker] if tensor.maker else []), *sorted(tensor.layers)]
        if tensor.others or tensor.maker is None or any(step in outside for step in tensor.touched):
            continue
        for step in range(max(tensor.made, 0), tensor.last + 1):
            for layer in ends:
                savings[step][layer] = savings[step].get(layer, 0.0) + 0.75 * tensor.bytes / len(ends)
    for step, (own, freed) in enumerate(zip(found.layers, _apart(found), strict=True)):
        if own is not None and freed > 0:
            savings[step][own] = savings[step].get(own, 0.0) + freed
    order = sorted(range(len(inside)), key=lambda step: (-inside[step], step))
    return [(step, inside[step] + max(held) + gaps, savings[step]) for step in order[:most]]


def _apart(found: Activations) -> list[float]:
    """Bytes by step that a static layer holds less than its floats in and out."""
    read, made = [0] * len(found.layers), [0] * len(found.layers)
    for tensor in found.tensors:
        if tensor.made >= 0:
            made[tensor.made] += tensor.bytes
        if tensor.last not in (tensor.made, -1):
            read[tensor.last] += tensor.bytes
    return [one + two - 1.25 * max(one, two) for one, two in zip(read, made, strict=True)]
