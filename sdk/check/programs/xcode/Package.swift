// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Check",
    platforms: [.iOS(.v16), .macOS(.v13)],
    targets: [.testTarget(name: "CheckTests", path: "Tests", resources: [.copy("Measured")])]
)
