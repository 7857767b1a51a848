// Prints what the Swift selector says of every test vector: variant (or -) and reason.
import Foundation

struct Case: Codable {
    struct Reported: Codable {
        let os: String?
        let os_version: String?
        let ram: Int64?
        let soc: String?
        let runtimes: [String]
    }

    let facts: Reported
}

struct Vectors: Codable {
    let cases: [Case]
}

func bytes(_ number: Int) throws -> Data {
    return try Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[number]))
}

let selector = try Selector.parse(try bytes(1))
for each in try JSONDecoder().decode(Vectors.self, from: try bytes(2)).cases {
    let told = each.facts
    let chosen = selector.select(
        Facts(os: told.os, osVersion: told.os_version, ram: told.ram, soc: told.soc, runtimes: told.runtimes)
    )
    print("\(chosen.variant ?? "-") \(chosen.reason)")
}
