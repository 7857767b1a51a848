"""Bundles: a finished artifact with its plan, its manifest and one recorded run."""

from sdk.bundles.archive import bundle_folder, safe_entries
from sdk.bundles.check import Finding, integrity
from sdk.bundles.contents import contents
from sdk.bundles.hashing import artifact_bytes, describe_artifact, sha256_file
from sdk.bundles.manifest import (
    BOM,
    EVIDENCE,
    MANIFEST,
    PLAN,
    PROVENANCE,
    REFERENCE,
    TOKENIZER,
    AcceleratorEntry,
    Artifact,
    Bounded,
    CalibrationEntry,
    CoverageEntry,
    Figure,
    Figures,
    FrontEntry,
    LanguageEntry,
    LayerEntry,
    Manifest,
    MetricEntry,
    ModelEntry,
    Operators,
    OutsideEntry,
    RecoveryEntry,
    Tensor,
    dump,
    parse,
    seal,
)
from sdk.bundles.read import Bundle, as_arrays, open_bundle, sound_bundle, target_of
from sdk.bundles.tensors import read_reference, write_reference
from sdk.bundles.write import Kind, check_writable, is_bundle, write_bundle

__all__ = [
    "BOM", "EVIDENCE", "MANIFEST", "PLAN", "PROVENANCE", "REFERENCE", "TOKENIZER", "AcceleratorEntry", "Artifact",
    "Bounded", "Bundle", "CalibrationEntry", "CoverageEntry", "Figure", "Figures", "Finding", "FrontEntry", "Kind",
    "LanguageEntry", "LayerEntry", "Manifest", "MetricEntry", "ModelEntry", "Operators", "OutsideEntry",
    "RecoveryEntry", "Tensor", "artifact_bytes", "as_arrays", "bundle_folder", "check_writable", "contents",
    "describe_artifact", "dump", "integrity", "is_bundle", "open_bundle", "parse", "read_reference", "safe_entries",
    "seal", "sha256_file", "sound_bundle", "target_of", "write_bundle", "write_reference",
]  # fmt: skip
