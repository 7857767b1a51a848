"""Bundles: a finished artifact with its plan, its manifest and one recorded run."""

from sdk.bundles.check import Finding, integrity
from sdk.bundles.hashing import artifact_bytes, describe_artifact, sha256_file
from sdk.bundles.manifest import (
    MANIFEST,
    PLAN,
    REFERENCE,
    Artifact,
    Figure,
    Figures,
    LayerEntry,
    Manifest,
    MetricEntry,
    ModelEntry,
    Operators,
    Tensor,
    dump,
    parse,
    seal,
)
from sdk.bundles.read import Bundle, as_arrays, open_bundle
from sdk.bundles.tensors import read_reference, write_reference
from sdk.bundles.write import Kind, check_writable, is_bundle, write_bundle

__all__ = [
    "MANIFEST", "PLAN", "REFERENCE", "Artifact", "Bundle", "Figure", "Figures", "Finding", "Kind", "LayerEntry", "Manifest",
    "MetricEntry", "ModelEntry", "Operators", "Tensor", "artifact_bytes", "as_arrays", "check_writable", "describe_artifact",
    "dump", "integrity", "is_bundle", "open_bundle", "parse", "read_reference", "seal", "sha256_file", "write_bundle",
    "write_reference",
]  # fmt: skip
