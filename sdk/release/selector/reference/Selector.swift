// Reference selector for Apple platforms: facts that a device reports -> variant of selector.json.
// Says the same as sdk/release/selector/select.py, line by line; docs/selector.md is the specification.

import Foundation

/// What an app knows of its device; nil: not known. `ram`: all of it, in bytes, as the OS reports it.
public struct Facts {
    public var os: String?
    public var osVersion: String?
    public var ram: Int64?
    public var soc: String?
    public var runtimes: [String]

    public init(os: String? = nil, osVersion: String? = nil, ram: Int64? = nil, soc: String? = nil, runtimes: [String] = []) {
        self.os = os
        self.osVersion = osVersion
        self.ram = ram
        self.soc = soc
        self.runtimes = runtimes
    }
}

/// The variant's id, or nil when none fits, and why.
public struct Selection: Equatable {
    public let variant: String?
    public let reason: String
}

public struct Selector: Codable {
    struct Need: Codable {
        let version: String?
        let ram: Int64?
    }

    struct Requires: Codable {
        let runtime: String
        let os: [String: Need]
        let soc: [String]?
    }

    struct Variant: Codable {
        let id: String
        let artifact: String
        let requires: Requires
    }

    struct Rule: Codable {
        let variant: String
        let device: String
        let os: String
        let soc: [String]?
        let ram: [Int64?]?
    }

    let variants: [Variant]
    let rules: [Rule]

    /// Reads selector.json.
    public static func parse(_ json: Data) throws -> Selector {
        return try JSONDecoder().decode(Selector.self, from: json)
    }

    /// The variant that the first matching rule picks, whose requirements are met.
    public func select(_ facts: Facts) -> Selection {
        for rule in rules {
            guard let variant = variants.first(where: { $0.id == rule.variant }) else { continue }
            if Selector.matches(rule, facts) && Selector.unmet(variant, facts) == nil {
                let known = rule.device != "" ? "known device: \(rule.device)" : "best variant that fits"
                return Selection(variant: rule.variant, reason: known)
            }
        }
        let reasons = variants.map { "\($0.id): \(Selector.unmet($0, facts) ?? "budget")" }
        return Selection(variant: nil, reason: "no variant fits: \(reasons.joined(separator: "; "))")
    }

    /// Whether a rule is for a device with these facts; what is not known never matches.
    static func matches(_ rule: Rule, _ facts: Facts) -> Bool {
        if rule.os != facts.os { return false }
        if let soc = rule.soc, !soc.contains(spelled(facts.soc)) { return false }
        guard let span = rule.ram else { return true }
        guard let ram = facts.ram, let least = span[0], ram >= least else { return false }
        guard let most = span[1] else { return true }
        return ram <= most
    }

    /// The first requirement that the facts do not meet, in one word or two, or nil.
    static func unmet(_ variant: Variant, _ facts: Facts) -> String? {
        let requires = variant.requires
        if !facts.runtimes.contains(requires.runtime) { return "runtime" }
        guard let os = facts.os, let need = requires.os[os] else { return "os" }
        if let version = need.version, !atLeast(facts.osVersion, version) { return "os version" }
        if let soc = requires.soc, !soc.contains(spelled(facts.soc)) { return "soc" }
        if let least = need.ram {
            guard let ram = facts.ram, ram >= least else { return "ram" }
        }
        return nil
    }

    /// Whether a version is `least` or newer; one that cannot be read is not.
    static func atLeast(_ version: String?, _ least: String) -> Bool {
        guard let found = numbers(version), let wanted = numbers(least) else { return false }
        for (one, other) in zip(found, wanted) where one != other { return one > other }
        return true
    }

    /// The four numbers of a version, missing ones 0; nil for what is not one to four dotted numbers.
    static func numbers(_ version: String?) -> [Int64]? {
        guard let version = version else { return nil }
        let parts = version.unicodeScalars.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 4 else { return nil }
        var found: [Int64] = []
        for part in parts {
            guard (1...9).contains(part.count), part.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
            found.append(Int64(String(String.UnicodeScalarView(part)))!)
        }
        return found + Array(repeating: 0, count: 4 - found.count)
    }

    /// A SoC's name in lower-case ASCII letters and digits alone.
    static func spelled(_ soc: String?) -> String {
        var kept = ""
        for each in (soc ?? "").unicodeScalars {
            if ("a"..."z").contains(each) || ("0"..."9").contains(each) { kept.unicodeScalars.append(each) }
            if ("A"..."Z").contains(each) { kept.unicodeScalars.append(Unicode.Scalar(each.value + 32)!) }
        }
        return kept
    }
}
