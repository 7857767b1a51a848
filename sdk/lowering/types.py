"""The data that passes between the planner, the quantizer and a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdk.devices import Kernels
from sdk.models import Model
from sdk.rounding import Grid
from sdk.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Capability:
    """One measured row: how a target's kernels treat a scheme on kinds of layers.

    `supported` with `relative_error` (artifact against the same-quantization torch layer) and `speed`
    (float latency / scheme latency on the machine that measured; above 1 is faster than float).
    `min_os` is the least OS version whose runtime holds the scheme. `input_multiple`: the flattened inputs per
    channel must be a multiple of it. `ungrouped` rows hold for convolutions of one group only. `pointwise` rows were measured
    on 1x1 convolutions, which may have kernels of their own: then the other rows of the kind are for other convolutions. `reason`
    says why a row is refused, or what to mind. `source` is set where a row is documented, not measured, and says where.
    """

    kinds: tuple[str, ...]
    scheme: str
    supported: bool
    relative_error: float | None = None
    speed: float | None = None
    min_os: float | None = None
    input_multiple: int = 1
    ungrouped: bool = False
    pointwise: bool = False
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Copies:
    """What a runtime holds of a weight besides its file: private bytes per weight, per channel or group scale (`scale`), and per
    channel beside group scales (`channel`).

    `packed` stays as long as the artifact is loaded; `passing` exists while the layer is prepared, one after the other.
    `outside`: the layer is computed by the runtime's own kernels, outside of the accelerated parts; `scratch` names what such a
    kernel takes while it runs (`sdk.costs.scratch`). `rows`: only the rows that are looked up are read. `loop`: bytes
    of a recurrent layer's loop besides its weights, and as many for each of its stacked layers and directions; `cell`: of each of
    these, each then its own loop. `deep`: where weights are packed in whole tiles, the channels in that one holds (0: the
    weights are counted as they are).
    """

    kinds: tuple[str, ...]
    scheme: str
    packed: float
    scale: float = 0.0
    channel: float = 0.0
    passing: float = 0.0
    scratch: str = ""
    outside: bool = False
    rows: bool = False
    loop: int = 0
    cell: int = 0
    deep: int = 0


@dataclass(frozen=True, slots=True)
class Operators:
    """ATen operators that a runtime treats in ways of its own.

    `outside`: its accelerated parts leave them to the runtime; `padded`: a padded copy of their input is made; `narrow`: they
    compute in 8 bits between static layers; `padding`: an operator that pads floats in front of a layer in 8 bits makes a
    copy. `front`: arenas of accelerated parts use the room in front of the first block that lives. `growing`: the room that the
    parts share is made anew as they run, wherever one needs more. `simpler`: the runtime is ExecuTorch, whose toolchain is
    given the graph of `write_simpler` and sorts it by breadth; accelerated parts take no other operators than those `taken`.
    `looped`: the loops of recurrent layers have copies of what passes through them; else they are fed by products of whole
    sequences. `working`: operator → further tensors of its output's size that live while it runs, those that it is taken apart
    into among them.
    """

    outside: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    simpler: bool = False
    padded: tuple[str, ...] = ()
    narrow: tuple[str, ...] = ()
    padding: bool = False
    front: bool = True
    growing: bool = False
    looped: bool = False
    working: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Speaking:
    """What differs for a language model, whose graph is rewritten for a cache.

    `returned`: copies of its logits that the caller holds; `inside`: operators that are written as others, which accelerated
    parts take; `working`: operator → further tensors of its output's size that live while it runs; `fixed`: further private bytes
    of every artifact, `operator`: those of each operator, layer or not, where they differ; `copies`: rows in the place of others.

    A runtime with a prefill of its own, of at most `prefill` tokens, has two graphs, each of which packs the weights that it
    reads; its cache has room for whole prefills. `caches`: how often keys and values are held; `mapped`: the file is, or else it
    is read into memory, all of it.
    """

    returned: int
    inside: tuple[str, ...]
    working: Mapping[str, float]
    fixed: int = 0
    operator: int | None = None
    prefill: int = 0
    caches: int = 1
    mapped: bool = True
    copies: tuple[Copies, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """What a runtime needs in memory, measured (`origin` says where and how); bytes.

    `fixed`, `layer` and `operator`: private bytes of every artifact, of each operator that is a layer, and of each other one;
    `indirection`: per entry of the pointer tables of convolutions; `slack`: the share of private bytes that is added for what an
    allocator does not give back, chosen so that a prediction is rarely too low. `freed`: an accelerated part's pages of the file
    are given back once its weights are packed; `page`: bytes of a page where each of its constants is mapped for itself until
    then, 0 where they are not. `returned`: copies of the outputs that the caller holds while it measures;
    `language`: what differs for language models, None where they were not measured. `error`: relative differences (measured /
    predicted - 1) of which nine in ten of the validation's cases lay inside.
    """

    origin: str
    fixed: int
    layer: int
    operator: int
    indirection: float
    slack: float
    freed: bool
    returned: int
    operators: Operators
    error: tuple[float, float]
    copies: tuple[Copies, ...]
    page: int = 0
    language: Speaking | None = None


@dataclass(frozen=True, slots=True)
class ReferenceKernels:
    """Kernels that a probe measured on one machine, for devices that nobody probed: its cores, their clock in MHz, threads."""

    core: str
    mhz: int
    threads: int
    kernels: Kernels


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What of a target's toolchain is installed: package → version (None: missing), and the mend."""

    packages: Mapping[str, str | None]
    install: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the packages that are absent."""
        return tuple(name for name, version in self.packages.items() if version is None)


@dataclass(frozen=True, slots=True)
class Range:
    """Calibrated range of one tensor for static 8-bit activations: asymmetric int8, zero exactly on the grid.

    value = (code - zero_point) * scale with code in [-128, 127].
    """

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Quantized:
    """A model with every planned weight on its grid: what `Target.lower` turns into an artifact.

    `grids`: layer name → grid of its weight(s), in the order of `Layer.weights`. `ranges`: name of a
    tensor (graph node) → its static range, for the inputs and outputs of static layers.
    """

    model: Model
    schemes: Mapping[str, Scheme]
    grids: Mapping[str, tuple[Grid, ...]] = field(repr=False)
    ranges: Mapping[str, Range] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prices:
    """Bytes of the finished artifact: `base` (graph, metadata, everything unplanned) plus one price per layer."""

    base: int
    layers: Mapping[str, Mapping[str, int]]
    """Layer name → scheme name → bytes."""
    weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The share of these that is the weight itself, of layers whose weight an earlier one may store for both."""
    joins: Sequence[tuple[str, str, int]] = ()
    """Layer, one that reads what it computes, and the bytes that a file saves where both have static activations: nothing is
    converted between them."""


@dataclass(frozen=True, slots=True)
class Realised:
    """What an artifact's own bytes say of one layer."""

    scheme: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the operators of a finished artifact run: operator name → how often, in three parts.

    `delegated`: inside `delegates` accelerated parts of the graph; `outside`: by the runtime's own kernels, one by
    one; `unknown`: the runtime decides where nobody here can look.
    """

    delegates: int = 0
    delegated: Mapping[str, int] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)


Site = str
"""Where a target finds a layer in its artifact (opaque to everyone else; kept in the manifest)."""

Arrays = list[Any]
"""numpy arrays in the order of the model's inputs or outputs."""
