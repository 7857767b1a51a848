"""What a bundle says of itself: the schema of `manifest.json`, sealed so that any edit is found."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from sdk.errors import BadInput, CheckFailed

SCHEMA = 2
MANIFEST = "manifest.json"
PLAN = "plan.yaml"
REFERENCE = "reference.safetensors"
TOKENIZER = "tokenizer"
"""Folder of a language model's tokenizer and chat template, as transformers writes them."""
BOM = "bom.cdx.json"
PROVENANCE = "provenance.intoto.jsonl"
EVIDENCE = (BOM, PROVENANCE)
"""What `sdk sign` adds: files that the manifest does not hash, because they are about it."""

Origin = Literal["predicted", "host", "evaluator", "emulator", "device"]
"""Where a number came from: computed before lowering, or measured on something."""


class _Frozen(BaseModel):
    """Read as attributes, or with the keys of `manifest.json` (`manifest["artifact"]["bytes"]`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __getitem__(self, key: str) -> Any:
        for name, field in type(self).model_fields.items():
            if key == (field.alias or name):
                return getattr(self, name)
        raise KeyError(key)


class Tensor(_Frozen):
    """One input or output: name, dtype (`float32`, `int64`, …) and shape, as the model has them."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class ModelEntry(_Frozen):
    """Which model was packaged; `digest` is the sha256 of its normalised graph and weights."""

    name: str
    digest: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class File(_Frozen):
    """One file: its size in bytes and its sha256."""

    bytes: int
    sha256: str


class Artifact(_Frozen):
    """The file or directory that ships. A directory's `sha256` is over its sorted `files`."""

    path: str
    bytes: int
    sha256: str
    files: dict[str, File] = {}


class LayerEntry(_Frozen):
    """One layer: its weights, planned scheme, the scheme read back from the artifact, its stored bytes and where it is."""

    name: str
    kind: str
    parameters: int
    planned: str
    realised: str
    bytes: int
    site: str = ""


Count = Annotated[int, Field(ge=1)]


class Operators(_Frozen):
    """Operator name → count by where it runs: in one of the `delegates` accelerated parts, outside, or nobody knows."""

    delegates: int = 0
    delegated: dict[str, Count] = {}
    outside: dict[str, Count] = {}
    unknown: dict[str, Count] = {}


class OutsideEntry(_Frozen):
    """Operators of one name that stay on the CPU: how many, their multiply-accumulates, and why."""

    operator: str
    count: Count
    macs: int
    why: str


class CoverageEntry(_Frozen):
    """What an accelerator takes of the artifact: `delegated` of `macs` multiply-accumulates, in `partitions` parts.

    `basis` says where that is known from.
    """

    macs: int
    delegated: int
    partitions: int
    outside: tuple[OutsideEntry, ...] = ()
    basis: str

    @property
    def share(self) -> float:
        """Share of the multiply-accumulates that the accelerator takes; 1 where there are none."""
        return self.delegated / self.macs if self.macs else 1.0

    @property
    def words(self) -> str:
        """The share in words for people."""
        parts = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        return f"{self.share:.1%} of {self.macs:,} multiply-accumulates in {parts}, {self.basis}"


class AcceleratorEntry(_Frozen):
    """What the artifact was made for beyond the CPU: the kind of accelerator, and the backend that drives it.

    `executed`: the artifact was executed on that accelerator. Where it was not, `numerics` says what was executed in its
    place: every measured number of the bundle is of that. `coverage` is None where the runtime on the device alone decides.
    """

    kind: Literal["cpu", "gpu", "npu"]
    backend: str
    title: str
    executed: bool
    numerics: str
    coverage: CoverageEntry | None = None


class Figure(_Frozen):
    """One number (None: not known) and where it came from."""

    value: float | int | None
    origin: Origin


class Bounded(Figure):
    """A number with bounds: of memory and latency those that nine in ten measurements of a validation kept, of a loss the
    interval of 95 % by how much the samples differ."""

    low: float | int
    high: float | int


class Figures(_Frozen):
    """Bytes of the artifact, loss against the float model, and relative error against the quantized model.

    A predicted loss with bounds was measured in torch on calibration samples that did not round the model; a measured one is that
    of the file on the samples that it was rounded by.
    `peak_memory` in bytes and `latency` in ms are absent where nothing predicts them.
    """

    artifact_bytes: Figure
    loss: Bounded | Figure
    relative_error: Figure
    peak_memory: Bounded | None = None
    latency: Bounded | None = None

    @model_serializer(mode="wrap")
    def _known(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what is known: a bundle from before there were predictions is the same text as ever."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value is not None}


class CalibrationEntry(_Frozen):
    """The data that losses and ranges come from: how many samples, and the sha256 over all of their bytes."""

    origin: Literal["given", "synthetic"]
    samples: int
    digest: str


class RecoveryEntry(_Frozen):
    """The training behind what the artifact stores.

    `sha256` is that of the recovery file, `digest` that of the `samples` trained on, for `steps` steps; `before` and `after`
    are the mean loss on the `held_out` samples that training did not see, in the torch model with the same quantization.
    """

    sha256: str
    digest: str
    samples: int
    steps: int
    held_out: int
    before: float
    after: float


class FrontEntry(_Frozen):
    """One optimal plan of the model: bytes of its file, its loss, and the loss that the next bytes save each; predicted."""

    bytes: int
    loss: float
    price: float


class LanguageEntry(_Frozen):
    """What a runtime has to know of a language model, and what comparing its tokens showed.

    `context`: tokens that the artifact holds, `window`: most tokens of one step; `cache_bytes` of keys and values;
    `begin` and `ends`: ids of the tokens that begin and end a text. Over the tokens that the artifact was verified on:
    `agreement` is the share whose most likely next token is that of the quantized torch model, `divergence` the mean
    Kullback-Leibler divergence from it in nats.
    """

    family: str
    context: int
    window: int
    vocabulary: int
    cache_bytes: int
    begin: int | None
    ends: tuple[int, ...]
    tokenizer: Artifact
    agreement: float
    divergence: float


class MetricEntry(_Frozen):
    """The user's own metric (higher is better) of the three models; None where it was not measured."""

    name: str = "metric"
    float_: float | None = Field(default=None, alias="float")
    quantized: float | None = None
    artifact: float | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Manifest(_Frozen):
    """Everything that a bundle says of itself.

    `loss` names the loss that the figures are in (`kl`, `cosine`, `mse`); `runtime` what executed the artifact;
    `rounding_floor` is the relative change that rounding alone makes in the quantized model, against which the
    relative error is read; `front` are the sizes and losses that the model could have had, from the same scoring as the plan;
    `language` is set for language models, `accelerator` for an artifact that was made for one;
    `plan_sha256` and `reference_sha256` are those of the files beside it, `project_sha256` that of the `sdk.yaml` that
    the command read (None: there was none); `digest` seals all of the rest.
    """

    schema_version: Literal[2] = 2
    model: ModelEntry
    device: str
    target: str
    min_os: float | None = None
    artifact: Artifact
    layers: tuple[LayerEntry, ...]
    ops: Operators
    loss: str
    runtime: str = ""
    predicted: Figures
    measured: Figures
    rounding_floor: Figure
    metric: MetricEntry | None = None
    front: tuple[FrontEntry, ...] = ()
    notes: tuple[str, ...] = ()
    tool_versions: dict[str, str]
    command: str
    project_sha256: str | None = None
    calibration: CalibrationEntry | None = None
    language: LanguageEntry | None = None
    recovery: RecoveryEntry | None = None
    accelerator: AcceleratorEntry | None = None
    plan_sha256: str
    reference_sha256: str
    digest: str = ""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave an accelerator out that is not there: a bundle for the CPU is the same text as ever."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if name != "accelerator" or value is not None}


def seal(manifest: Manifest) -> Manifest:
    """Return the manifest with `digest` set to the sha256 of everything else in it."""
    return manifest.model_copy(update={"digest": _digest(_plain(manifest))})


def dump(manifest: Manifest) -> str:
    """Return the sealed manifest as JSON text: sorted keys, no timestamps, the same bytes every time."""
    return json.dumps(_plain(seal(manifest)), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def parse(text: str | bytes, label: str) -> Manifest:
    """Read a manifest that `dump` wrote.

    `label` names it in messages. CheckFailed when it is broken or was edited, BadInput when another version wrote it.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CheckFailed(f"{label}: is not readable JSON ({error}): package again") from None
    if not isinstance(data, dict):
        raise CheckFailed(f"{label}: is not a manifest: package again")
    version = data.get("schema_version")
    if isinstance(version, int) and version != SCHEMA:
        mend = "upgrade it" if version > SCHEMA else "package again"
        raise BadInput(f"{label}: schema_version {version}: this sdk reads {SCHEMA}: {mend}")
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        raise CheckFailed(f"{label}: {field}: {first['msg']}: the manifest was edited; package again") from None
    written = text.encode() if isinstance(text, str) else text
    if _digest(data) != manifest.digest or dump(manifest).encode() != written:
        raise CheckFailed(f"{label}: was edited after it was written (its digest differs); package again")
    return manifest


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = manifest.model_dump(mode="json", by_alias=True)
    return plain


def _digest(data: dict[str, Any]) -> str:
    rest = {key: value for key, value in data.items() if key != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
