// Measures the Core ML package in Measured as check.json there says, and writes transcript.json (README.md says where).
import CoreML
import Foundation
import XCTest

struct Tensor: Codable {
    let name: String
    let dtype: String
    let shape: [Int]
    let file: String
}

struct Steps: Codable {
    let name: String
    let warmup: Int
    let runs: Int
    let seconds: Double
    let repeats: Int
    let cooldown: Double
}

struct Check: Codable {
    let format: Int
    let artifact_sha256: String
    let package: String
    let compute_units: String
    let steps: Steps
    let deadline: Double
    let limit: Double
    let inputs: [Tensor]
    let outputs: [Tensor]
}

struct Machine: Codable {
    let machine: String
    let system: String
    let version: String
    let abi: String
    let simulator: Bool
}

struct State: Codable {
    let thermal: String
    let low_power: Bool
}

struct Output: Codable {
    let dtype: String
    let shape: [Int]
    let data: String
}

struct Repeat: Codable {
    var load_ns: UInt64
    var first_ns: UInt64
    var samples_ns: [UInt64]
    var stride: Int
    var base_bytes: Int64?
    var peak_bytes: Int64?
    var resident_bytes: [Int64]
    var outputs: [Output]
}

struct Transcript: Codable {
    let format: Int
    let artifact_sha256: String
    let compute_units: String
    let steps: Steps
    let device: Machine
    let before: State
    let after: State
    let compile_ns: UInt64
    let repeats: [Repeat]
}

struct Stopped: Error, CustomStringConvertible {
    let description: String
}

/// Samples kept at most: then every other one is dropped, and from there on every other one is taken.
let kept = 1 << 18
/// Readings of memory over a repeat.
let points = 64

func now() -> UInt64 {
    return DispatchTime.now().uptimeNanoseconds
}

/// What the system counts against the app's limit now, and the most that it has been in this process.
func footprint() -> (now: Int64, peak: Int64)? {
    var info = task_vm_info_data_t()
    var count = mach_msg_type_number_t(MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<natural_t>.size)
    let answer = withUnsafeMutablePointer(to: &info) { pointer in
        pointer.withMemoryRebound(to: integer_t.self, capacity: Int(count)) { words in
            task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), words, &count)
        }
    }
    if answer != KERN_SUCCESS {
        return nil
    }
    return (now: Int64(info.phys_footprint), peak: Int64(info.ledger_phys_footprint_peak))
}

func machine() -> Machine {
    var names = utsname()
    uname(&names)
    var name = withUnsafeBytes(of: names.machine) { bytes in
        String(decoding: bytes.prefix(while: { $0 != 0 }), as: UTF8.self)
    }
    var simulator = false
    #if targetEnvironment(simulator)
    simulator = true
    name = ProcessInfo.processInfo.environment["SIMULATOR_MODEL_IDENTIFIER"] ?? name
    #endif
    #if os(macOS)
    let system = "macos"
    #else
    let system = name.hasPrefix("iPad") ? "ipados" : "ios"
    #endif
    #if arch(arm64)
    let abi = "arm64"
    #else
    let abi = "x86_64"
    #endif
    let version = ProcessInfo.processInfo.operatingSystemVersion
    let text = "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
    return Machine(machine: name, system: system, version: text, abi: abi, simulator: simulator)
}

func state() -> State {
    let info = ProcessInfo.processInfo
    let thermal: String
    switch info.thermalState {
    case .nominal: thermal = "nominal"
    case .fair: thermal = "fair"
    case .serious: thermal = "serious"
    case .critical: thermal = "critical"
    @unknown default: thermal = "unknown"
    }
    return State(thermal: thermal, low_power: info.isLowPowerModeEnabled)
}

func units(_ name: String) throws -> MLComputeUnits {
    switch name {
    case "all": return .all
    case "cpuOnly": return .cpuOnly
    case "cpuAndGPU": return .cpuAndGPU
    case "cpuAndNeuralEngine": return .cpuAndNeuralEngine
    default: throw Stopped(description: "check.json: compute_units: \(name) is unknown")
    }
}

/// The recorded inputs: raw little-endian numbers in the order of the shape.
func features(_ inputs: [Tensor], in folder: URL) throws -> MLFeatureProvider {
    var found: [String: MLFeatureValue] = [:]
    for input in inputs {
        let data = try Data(contentsOf: folder.appendingPathComponent(input.file))
        let type: MLMultiArrayDataType = input.dtype == "int32" ? .int32 : .float32
        let array = try MLMultiArray(shape: input.shape.map { NSNumber(value: $0) }, dataType: type)
        if data.count != array.count * 4 {
            throw Stopped(description: "\(input.file): \(data.count) bytes where \(array.count * 4) are expected")
        }
        data.copyBytes(to: UnsafeMutableRawBufferPointer(start: array.dataPointer, count: data.count))
        found[input.name] = MLFeatureValue(multiArray: array)
    }
    return try MLDictionaryFeatureProvider(dictionary: found)
}

/// One output as raw little-endian numbers, whatever type and strides Core ML gave it.
func bytes(_ array: MLMultiArray, _ dtype: String) -> Data {
    if dtype == "int32" {
        let numbers = (0..<array.count).map { array[$0].int32Value }
        return numbers.withUnsafeBytes { Data($0) }
    }
    let numbers = (0..<array.count).map { array[$0].floatValue }
    return numbers.withUnsafeBytes { Data($0) }
}

func numbers(_ data: Data, _ dtype: String) -> [Double] {
    return (0..<data.count / 4).map { place -> Double in
        var word: UInt32 = 0
        for byte in 0..<4 {
            word |= UInt32(data[data.startIndex + 4 * place + byte]) << UInt32(8 * byte)
        }
        return dtype == "int32" ? Double(Int32(bitPattern: word)) : Double(Float(bitPattern: word))
    }
}

/// Norm of the difference from the recorded outputs over their norm; nil where the sizes differ.
func difference(_ outputs: [Output], _ check: Check, in folder: URL) throws -> Double? {
    var square = 0.0
    var norm = 0.0
    for (output, tensor) in zip(outputs, check.outputs) {
        let recorded = numbers(try Data(contentsOf: folder.appendingPathComponent(tensor.file)), tensor.dtype)
        let made = numbers(Data(base64Encoded: output.data) ?? Data(), output.dtype)
        if made.count != recorded.count {
            return nil
        }
        for (got, wanted) in zip(made, recorded) {
            square += (got - wanted) * (got - wanted)
            norm += wanted * wanted
        }
    }
    return norm > 0 ? (square / norm).squareRoot() : square.squareRoot()
}

/// Load the compiled model, run it once, warm up, and run it as often and as long as the protocol says.
func measure(_ check: Check, _ compiled: URL, _ input: MLFeatureProvider) throws -> Repeat {
    let steps = check.steps
    var samples = [UInt64](repeating: 0, count: kept)  // before the base is read: an array that grows would look like a leak
    let configuration = MLModelConfiguration()
    configuration.computeUnits = try units(check.compute_units)
    let base = footprint()
    var highest = base?.now ?? 0

    let begun = now()
    let deadline = begun + UInt64(check.deadline * 1e9)
    let model = try MLModel(contentsOf: compiled, configuration: configuration)
    let loading = now() - begun

    var last: MLFeatureProvider?
    func run() throws -> UInt64 {
        if now() > deadline {
            throw Stopped(description: "a repeat takes longer than \(check.deadline) seconds: sdk check --deadline raises that")
        }
        var taken: UInt64 = 0
        try autoreleasepool {
            let start = now()
            let made = try model.prediction(from: input)
            taken = now() - start
            last = made
        }
        highest = max(highest, footprint()?.now ?? 0)
        return taken
    }

    let first = try run()
    for _ in 0..<steps.warmup {
        _ = try run()
    }
    var count = 0
    var held = 0
    var stride = 1
    var resident: [Int64] = []
    let every = max(1, steps.runs / points)
    let until = now() + UInt64(steps.seconds * 1e9)
    while count < steps.runs || now() < until {
        let taken = try run()
        if count % stride == 0 {
            samples[held] = taken
            held += 1
            if held == kept {
                for place in 0..<kept / 2 {
                    samples[place] = samples[2 * place]
                }
                held = kept / 2
                stride *= 2
            }
        }
        count += 1
        if count % every == 0 && count <= steps.runs {
            resident.append(footprint()?.now ?? 0)
        }
    }

    var peak: Int64?
    if let base = base, let end = footprint() {
        // The system's own peak is of the whole process: it counts where it was reached in this repeat.
        peak = max(0, (end.peak > base.peak ? max(end.peak, highest) : highest) - base.now)
    }
    let outputs: [Output] = try check.outputs.map { tensor -> Output in
        guard let array = last?.featureValue(for: tensor.name)?.multiArrayValue else {
            throw Stopped(description: "the model gives no output called \(tensor.name)")
        }
        let data = bytes(array, tensor.dtype).base64EncodedString()
        return Output(dtype: tensor.dtype, shape: array.shape.map { $0.intValue }, data: data)
    }
    return Repeat(
        load_ns: loading, first_ns: first, samples_ns: Array(samples.prefix(held)), stride: stride,
        base_bytes: base?.now, peak_bytes: peak, resident_bytes: resident, outputs: outputs
    )
}

final class CheckTests: XCTestCase {
    func testModel() throws {
        let folder = try measured()
        let check = try JSONDecoder().decode(Check.self, from: Data(contentsOf: folder.appendingPathComponent("check.json")))
        let place = destination()
        try? FileManager.default.removeItem(at: place)

        let before = state()
        let start = now()
        let compiled = try MLModel.compileModel(at: folder.appendingPathComponent(check.package))
        let compiling = now() - start
        defer { try? FileManager.default.removeItem(at: compiled) }
        let input = try features(check.inputs, in: folder)

        var repeats: [Repeat] = []
        for number in 0..<check.steps.repeats {
            if number > 0 {
                Thread.sleep(forTimeInterval: check.steps.cooldown)
            }
            repeats.append(try autoreleasepool { try measure(check, compiled, input) })
        }
        let transcript = Transcript(
            format: check.format, artifact_sha256: check.artifact_sha256, compute_units: check.compute_units,
            steps: check.steps, device: machine(), before: before, after: state(), compile_ns: compiling, repeats: repeats
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let data = try encoder.encode(transcript)
        try data.write(to: place, options: .atomic)
        let attachment = XCTAttachment(data: data, uniformTypeIdentifier: "public.json")
        attachment.name = "transcript.json"
        attachment.lifetime = .keepAlways
        add(attachment)

        for each in repeats {
            let error = try difference(each.outputs, check, in: folder)
            XCTAssertLessThanOrEqual(error ?? .infinity, check.limit, "the outputs are not those that the bundle recorded")
        }
    }

    private func measured() throws -> URL {
        #if SWIFT_PACKAGE
        let bundle = Bundle.module
        #else
        let bundle = Bundle(for: CheckTests.self)
        #endif
        guard let resources = bundle.resourceURL else {
            throw Stopped(description: "the test has no resources")
        }
        return resources.appendingPathComponent("Measured")
    }

    /// Beside Package.swift where this machine's files are in reach, else among the documents of the app.
    private func destination() -> URL {
        #if os(macOS) || targetEnvironment(simulator)
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        return tests.deletingLastPathComponent().appendingPathComponent("transcript.json")
        #else
        let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
        return documents.appendingPathComponent("transcript.json")
        #endif
    }
}
