"""The Swift package: `Package.swift`, an accessor of a few lines, and checksums of every file that ships."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sdk.bundles import contents, sha256_file
from sdk.release.store.variants import Source, Variant

MODELS = "models"
CHECKSUMS = "checksums.json"
SELECTOR_SOURCE = "Selector.swift"
"""The reference selector of a fleet, which becomes a part of the package."""

_PACKAGE = """\
// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "{name}",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "{name}", targets: ["{name}"])],
    targets: [
        .target(name: "{name}", path: "{name}", resources: [.copy("{models}"), .copy("{checksums}")])
    ]
)
"""

_ACCESSOR = """\
import CryptoKit
import Foundation

/// One variant of the model.
public enum {name}: String, CaseIterable, Sendable {{
{cases}

    /// The file or directory that the runtime loads.
    public var artifact: URL {{
        switch self {{
{artifacts}
        }}
    }}

    /// The devices that this variant was made for.
    public var devices: [String] {{
        switch self {{
{devices}
        }}
    }}

    /// What is wrong with the files of this variant: empty when every one has its checksum.
    public func damaged() throws -> [String] {{
        let root = {name}.resources
        let list = try Data(contentsOf: root.appendingPathComponent("{checksums}"))
        let known = try JSONDecoder().decode([String: String].self, from: list)
        let mine = known.filter {{ $0.key.hasPrefix("{models}/" + rawValue + "/") }}
        return mine.keys.sorted().filter {{ name in
            guard let data = try? Data(contentsOf: root.appendingPathComponent(name), options: .mappedIfSafe) else {{
                return true
            }}
            let digest = SHA256.hash(data: data).map {{ String(format: "%02x", $0) }}.joined()
            return digest != mine[name]
        }}
    }}

    private var folder: URL {{
        {name}.resources.appendingPathComponent("{models}/" + rawValue)
    }}

    private static var resources: URL {{
        Bundle.module.resourceURL ?? Bundle.module.bundleURL
    }}
}}
"""


def write_swift(folder: Path, name: str, source: Source) -> None:
    """Write the package around the models that are in `folder/name/models` already; a fleet brings its selector."""
    variants = source.variants
    (folder / "Package.swift").write_text(_PACKAGE.format(name=name, models=MODELS, checksums=CHECKSUMS), encoding="utf-8")
    accessor = _ACCESSOR.format(
        name=name, models=MODELS, checksums=CHECKSUMS,
        cases="\n".join(f'    case {case(each.id)} = "{each.folder}"' for each in variants),
        artifacts="\n".join(
            f"        case .{case(each.id)}: return folder.appendingPathComponent({_quoted(each.bundle.manifest.artifact.path)})"
            for each in variants
        ),
        devices="\n".join(f"        case .{case(each.id)}: return [{_names(each)}]" for each in variants),
    )  # fmt: skip
    (folder / name / f"{name}.swift").write_text(accessor, encoding="utf-8")
    if source.fleet is not None:
        shutil.copyfile(source.fleet / "selector" / SELECTOR_SOURCE, folder / name / SELECTOR_SOURCE)
    files = contents(folder / name / MODELS)
    sums = {f"{MODELS}/{path}": sha256_file(file) for path, file in files.items()}
    text = json.dumps(sums, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / name / CHECKSUMS).write_text(text + "\n", encoding="utf-8")


def case(identifier: str) -> str:
    """Return the Swift case of a variant: lower camel case, and no keyword."""
    first, *rest = [word for word in identifier.split("_") if word]
    return f"`{first[:1].lower()}{first[1:]}{''.join(word[:1].upper() + word[1:] for word in rest)}`"


def _names(variant: Variant) -> str:
    return ", ".join(_quoted(name) for name in sorted(device.name for device in variant.devices))


def _quoted(text: str) -> str:
    """A Swift string literal: escapes are those of JSON but for its \\u."""
    return json.dumps(text, ensure_ascii=False)
