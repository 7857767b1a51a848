"""The bill of materials of a bundle: CycloneDX 1.6 with a model card (cyclonedx.org/docs/1.6/json), from the manifest alone.

`cyclonedx-python-lib` cannot write model cards, so the document is built here; the tests validate it with that library.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from sdk.bundles import Manifest, Tensor

_PLACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:snugfit:bom")


def bill_of_materials(manifest: Manifest) -> str:
    """Return the BOM as JSON text: no timestamp, and a serial number that follows from the content."""
    tools = [_tool(name, version) for name, version in sorted(manifest.tool_versions.items())]
    data: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{**each, "type": "application"} for each in tools if each["name"] == "snugfit"]},
            "component": _artifact(manifest),
        },
        "components": [_model(manifest), *_calibration(manifest), *tools],
        "dependencies": _dependencies(manifest),
    }
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    data["serialNumber"] = f"urn:uuid:{uuid.uuid5(_PLACE, text)}"
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def package_url(name: str, version: str) -> str:
    """Return the purl of a package of PyPI (github.com/package-url/purl-spec, type pypi)."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version.replace('+', '%2B')}"


def stated_tools(bom: dict[str, Any]) -> dict[str, str]:
    """Return the versions of the tools that a BOM lists, by name."""
    return {each["name"]: each["version"] for each in bom["components"] if each["type"] == "library"}


def _artifact(manifest: Manifest) -> dict[str, Any]:
    artifact = manifest.artifact
    files = [
        {"type": "file", "name": name, "hashes": _hashes(file.sha256)} for name, file in sorted(artifact.files.items())
    ]  # fmt: skip
    return {
        "type": "machine-learning-model",
        "bom-ref": "artifact",
        "name": f"{manifest.model.name}/{artifact.path}",
        "version": artifact.sha256[:12],
        "hashes": _hashes(artifact.sha256),
        "modelCard": _card(manifest),
        "properties": [
            {"name": f"snugfit:{name}", "value": str(value)}
            for name, value in (
                ("bytes", artifact.bytes), ("device", manifest.device), ("manifest", manifest.digest),
                ("min_os", manifest.min_os), ("runtime", manifest.runtime), ("target", manifest.target),
            )
            if value not in (None, "")
        ],
        **({"components": files} if files else {}),
    }  # fmt: skip


def _card(manifest: Manifest) -> dict[str, Any]:
    schemes = sorted({layer.realised for layer in manifest.layers})
    limits = [f"quantized layer by layer: {', '.join(schemes)}", *manifest.notes]
    card: dict[str, Any] = {
        "modelParameters": {
            "inputs": [_format(tensor) for tensor in manifest.model.inputs],
            "outputs": [_format(tensor) for tensor in manifest.model.outputs],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(manifest)},
        "considerations": {"technicalLimitations": limits},
    }
    if manifest.calibration:
        card["modelParameters"]["datasets"] = [{"ref": "calibration"}]
    return card


def _metrics(manifest: Manifest) -> list[dict[str, str]]:
    measured = manifest.measured
    found = [
        (f"loss ({manifest.loss}) against the float model", measured.loss),
        ("relative error against the quantized model", measured.relative_error),
    ]
    metrics = [
        {"type": name, "value": repr(figure.value), "slice": figure.origin} for name, figure in found if figure.value is not None
    ]
    if manifest.metric and manifest.metric.artifact is not None:
        metrics.append({"type": manifest.metric.name, "value": repr(manifest.metric.artifact), "slice": measured.loss.origin})
    return metrics


def _model(manifest: Manifest) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.model.name,
        "version": manifest.model.digest[:12],
        "description": "the float model: its normalised graph and weights",
        "hashes": _hashes(manifest.model.digest),
    }


def _calibration(manifest: Manifest) -> list[dict[str, Any]]:
    found = manifest.calibration
    if found is None:
        return []
    described = "given by the user" if found.origin == "given" else "synthetic: made from a seed, for want of data"
    return [{
        "type": "data",
        "bom-ref": "calibration",
        "name": "calibration",
        "version": found.digest[:12],
        "description": f"{found.samples} samples, {described}",
        "hashes": _hashes(found.digest),
        "data": [{"type": "dataset", "name": "calibration"}],
    }]  # fmt: skip


def _tool(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "library", "bom-ref": f"tool:{name}", "name": name, "version": version, "purl": package_url(name, version),
    }  # fmt: skip


def _dependencies(manifest: Manifest) -> list[dict[str, Any]]:
    made_of = ["model", *(["calibration"] if manifest.calibration else []), *(f"tool:{name}" for name in manifest.tool_versions)]
    return [{"ref": "artifact", "dependsOn": sorted(made_of)}]


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _format(tensor: Tensor) -> dict[str, str]:
    return {"format": f"{tensor.name}: {tensor.dtype}{list(tensor.shape)}"}
