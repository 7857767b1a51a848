"""What a device profile says: facts and policies about one device, each with the place it was found."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sdk.devices.kernels import Kernels
from sdk.errors import BadInput
from sdk.units import parse_size

SCHEMA = 1
POLICY = "policy"
"""The `source` of a value that is our choice, not a fact; its `why` gives the reason."""

T = TypeVar("T")
Confidence = Literal["primary", "measured", "secondary", "derived", "reported", "leak", "probed"]
Kind = Literal["cpu", "gpu", "npu"]
Isa = Literal[
    "neon", "fp16", "dotprod", "i8mm", "bf16", "sve", "sve2", "sme", "sme2",
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_int8", "amx_bf16",
]  # fmt: skip
Family = Literal[
    "fp32", "fp16", "bf16",
    "int8", "int4", "int2",
    "int8_dynamic", "int4_dynamic", "int2_dynamic",
    "int8_static", "int4_static", "int2_static",
    "lut",
]  # fmt: skip
"""Weights, then how activations are computed with; no suffix: float activations. `lut` is any palette."""


def _bytes(value: object) -> int:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError("write a size such as 8GiB")
    try:
        return parse_size(value)
    except BadInput as error:
        raise ValueError(str(error)) from None


def _bytes_per_second(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _bytes(value)
    if not isinstance(value, str) or not value.endswith("/s"):
        raise ValueError("write a rate such as 51.2GB/s")
    return _bytes(value.removesuffix("/s"))


Bytes = Annotated[int, BeforeValidator(_bytes)]
BytesPerSecond = Annotated[int, BeforeValidator(_bytes_per_second)]
Megahertz = Annotated[int, Field(strict=True, ge=100, le=10_000)]
Count = Annotated[int, Field(strict=True, ge=1, le=4096)]
Version = Annotated[float, Field(strict=True, ge=1, le=1000, allow_inf_nan=False)]
Loss = Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Spelled = Annotated[str, Field(strict=True, pattern=r"^[^/\s][^/]*/[^/\s][^/]*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(_Frozen, Generic[T]):
    """One value and where it was found; `why` explains a policy or a value that needs reading with care."""

    value: T
    source: Text
    confidence: Confidence | None = None
    why: str = ""

    @model_validator(mode="after")
    def _reasoned(self) -> Fact[T]:
        if self.source == POLICY and not self.why.strip():
            raise ValueError("is a policy: add `why`, the reason for this value")
        placed = self.source == POLICY or self.source.startswith("probed: ") or set("./") & set(self.source)
        if not placed:
            raise ValueError(
                f"source {self.source!r} does not say where: name a site and page, a file of a project, "
                "a key of this file's `sources`, or `policy` with `why`"
            )
        return self


class Cluster(_Frozen):
    """Equal CPU cores: how many, their highest clock in MHz and the instruction sets that matter here.

    The source of `count` is also that of `core`.
    """

    core: Text
    count: Fact[Count]
    mhz: Fact[Megahertz] | None = None
    isa: Fact[tuple[Isa, ...]] | None = None


class Soc(_Frozen):
    """The chip; clusters from the fastest cores to the slowest."""

    name: Fact[Text]
    clusters: tuple[Cluster, ...] = ()


class Accelerator(_Frozen):
    """One thing that computes, and which scheme families each target really runs on it.

    `backends`: target → the one of its backends that reaches it, where the target's own kernels do not.
    """

    kind: Kind
    name: Fact[Text] | None = None
    targets: dict[str, Fact[tuple[Family, ...]]] = {}
    backends: dict[str, Fact[Text]] = {}
    note: str = ""


class OperatingSystem(_Frozen):
    """The operating system; `floor` is the least version that is packaged for unless `--min-os` says.

    `models`: what the system itself calls this hardware (Apple's `uname -m`, such as `iPhone16,1`).
    """

    name: Literal["android", "ios", "ipados", "linux", "macos", "windows"]
    models: Fact[tuple[Text, ...]] | None = None
    floor: Fact[Version] | None = None
    note: str = ""


class Play(_Frozen):
    """How Android itself, and so Google Play, spells a device: two words with a slash between.

    `device`: Build.BRAND/Build.DEVICE; `soc`: Build.SOC_MANUFACTURER/Build.SOC_MODEL.
    """

    device: Fact[Spelled] | None = None
    soc: Fact[Spelled] | None = None


class Budgets(_Frozen):
    """Budgets where the user gives none: bytes of the finished artifact, and loss (nats of KL divergence)."""

    max_size: Fact[Bytes] | None = None
    max_loss: Fact[Loss] | None = None


class DeviceProfile(_Frozen):
    """What is known of one device. An unknown fact is absent; a file's `sources` are written in place."""

    schema_version: Annotated[int, Field(alias="schema", strict=True)]
    name: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]
    title: Text
    vendor: Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]+$")]
    aliases: tuple[Text, ...] = ()
    note: str = ""
    os: OperatingSystem
    ram: Fact[Bytes] | None = None
    app_memory: Fact[Bytes] | None = None
    memory_bandwidth: Fact[BytesPerSecond] | None = None
    soc: Soc
    accelerators: Annotated[tuple[Accelerator, ...], Field(min_length=1)]
    targets: Annotated[tuple[Text, ...], Field(min_length=1)]
    """What `--target auto` tries, in this order."""
    budgets: Budgets = Budgets()
    play: Play = Play()
    kernels: dict[str, Kernels] = {}
    """Target → what a probe measured of its runtime here."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _write_sources_out(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("schema"), int) and data["schema"] != SCHEMA:
            raise ValueError(f"schema: {data['schema']}: this version reads schema {SCHEMA}")
        if "sources" not in data:
            return data
        table = data["sources"]
        if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
            raise ValueError("sources: must map short names to citations")
        rest = {key: value for key, value in data.items() if key != "sources"}
        return _expand(rest, table, "")

    @model_validator(mode="after")
    def _coherent(self) -> DeviceProfile:
        if self.app_memory is not None and not self.app_memory.why:
            raise ValueError("app_memory: say `why` an app may use that much")
        if self.ram and self.app_memory and self.app_memory.value > self.ram.value:
            raise ValueError("app_memory: is more than ram: an app cannot use more than the device has")
        if self.play != Play() and self.os.name != "android":
            raise ValueError(f"play: {self.os.name} is not Android: leave it out")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"targets: {list(self.targets)} names one twice: keep each once")
        for accelerator in self.accelerators:
            for target in accelerator.backends:
                if target not in accelerator.targets:
                    raise ValueError(f"accelerators: {accelerator.kind}: backends: {target!r}: list it under its `targets` too")
        offered = {target for accelerator in self.accelerators for target in accelerator.targets}
        for target in self.targets:
            if target not in offered:
                raise ValueError(f"targets: {target!r} runs on no accelerator here: list it under one")
        return self

    def families(self, target: str, kind: str | None = None) -> frozenset[str] | None:
        """Return the scheme families that this device runs through `target` on its accelerators of one `kind`.

        Without a kind on any that the target reaches without a backend. None where the profile says nothing of the target
        (another vendor's, or an added one): it is unknown, which is neither a yes nor a no.
        """
        found = [each for each in self.accelerators if target in each.targets]
        wanted = [each for each in found if (target not in each.backends if kind is None else each.kind == kind)]
        facts = [each.targets[target] for each in wanted]
        return frozenset(name for fact in facts for name in fact.value) if facts else None

    def facts(self) -> Iterator[tuple[str, Fact[Any]]]:
        """Yield (dotted path, fact) of every fact, in the order of the file."""
        yield from _facts("", self)


def family(form: str, bits: int, activations: str) -> str:
    """Name the family of a scheme from its `format` (float, int, lut), `bits` and `activations`."""
    if form == "lut":
        return "lut"
    stem = f"fp{bits}" if form == "float" else f"int{bits}"
    return stem if activations == "float" else f"{stem}_{activations}"


def _facts(path: str, node: object) -> Iterator[tuple[str, Fact[Any]]]:
    if isinstance(node, Fact):
        yield path, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from _facts(f"{path}.{name}".lstrip("."), getattr(node, name))
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _facts(f"{path}.{name}", value)
    elif isinstance(node, tuple):
        for index, value in enumerate(node):
            yield from _facts(f"{path}[{index}]", value)


def _expand(node: Any, table: dict[str, str], path: str) -> Any:
    if isinstance(node, list):
        return [_expand(each, table, f"{path}[{index}]") for index, each in enumerate(node)]
    if not isinstance(node, dict):
        return node
    inner = {key: f"{path}.{key}".lstrip(".") for key in node}
    return {
        key: _cited(value, table, inner[key]) if key == "source" else _expand(value, table, inner[key])
        for key, value in node.items()
    }


def _cited(source: Any, table: dict[str, str], path: str) -> Any:
    if not isinstance(source, str) or source in table:
        return table[source] if isinstance(source, str) else source
    near = get_close_matches(source, table, n=1, cutoff=0.75)
    if near and not set("./ ") & set(source):
        raise ValueError(f"{path}: {source!r} is not in this file's `sources`: did you mean {near[0]!r}?")
    return source
