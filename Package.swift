// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// libtorch's folder, holding `include` and `lib`: `LIBTORCH`, else what `make setup` laid down.
let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
let libtorch = ProcessInfo.processInfo.environment["LIBTORCH"] ?? packageRoot + "/.deps/libtorch"

/// Arrow's folder out of the pyarrow wheel, as libtorch's.
let arrow = packageRoot + "/.deps/arrow"

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

let package = Package(
    name: "LlamaFactory",
    products: [
        .executable(name: "llamafactory-cli", targets: ["llamafactory-cli"])
    ],
    dependencies: [
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.20.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
    ],
    targets: [
        .executableTarget(
            name: "llamafactory-cli", dependencies: ["LFCommands"],
            swiftSettings: swiftSettings),
        module(
            "LFCommands",
            [
                "LFServer", "LFWorkflows", "LFLauncher", "LFModels", "LFTemplate", "LFTokenizer", "LFConfig",
                "LFJSON", "LFTorch",
                "LFDiagnostics",
            ]),
        module(
            "LFServer",
            [
                hummingbird, nio, nioPosix, lifecycle, unixSignals, httpTypes, logging, "LFWorkflows",
                "LFTrainer",
                "LFGeneration", "LFModels", "LFGrammar", "LFTemplate", "LFTokenizer", "LFConfig", "LFJSON",
                "LFTorch",
                "LFDiagnostics",
            ]),
        module(
            "LFWorkflows",
            [
                "LFTrainer", "LFGeneration", "LFTextMetrics", "LFAdapters", "LFModels", "LFModelConfig",
                "LFCheckpoint",
                "LFObjectives", "LFOptimizers",
                "LFData", "LFStream", "LFHub", "LFHTTP", "LFGGUF",
                "LFTemplate", "LFTokenizer", "LFConfig", "LFReport", "LFNN", "LFTorch", "LFJSON",
                "LFDiagnostics",
            ]),
        module(
            "LFTrainer",
            [
                "LFGeneration", "LFObjectives", "LFOptimizers", "LFCheckpoint", "LFAdapters", "LFModels",
                "LFNN", "LFTorch",
                "LFData", "LFStream",
                "LFConfig", "LFReport", "LFJSON", "LFDiagnostics", logging,
            ]),
        module(
            "LFGeneration",
            [
                "LFModels", "LFNN", "LFTorch", "LFStream", "LFGrammar", "LFTokenizer", "LFConfig",
                "LFDiagnostics",
            ]),
        module("LFObjectives", ["LFTorch"]),
        module("LFOptimizers", ["LFNN", "LFTorch", "LFConfig", "LFDiagnostics"]),
        module(
            "LFAdapters",
            ["LFModels", "LFCheckpoint", "LFNN", "LFTorch", "LFConfig", "LFJSON", "LFDiagnostics"]),
        module(
            "LFModels",
            ["LFModelConfig", "LFNN", "LFStream", "LFTorch", "LFCheckpoint", "LFJSON", "LFDiagnostics"]),
        module("LFNN", ["LFModelConfig", "LFTorch", "LFCheckpoint", "LFStream", "LFDiagnostics"]),
        module("LFCheckpoint", ["LFTorch", "LFGGUF", "LFJSON", "LFDiagnostics", crypto]),
        module("LFTorch", ["CTorch", "LFDiagnostics"]),
        .target(
            name: "CTorch",
            cxxSettings: [
                .headerSearchPath("gloo-declarations"),
                // clang forgets to emit (and to inline) constructors that it would call by an alias from
                // `target_clones` functions: conversions to bfloat16 would not link.
                .unsafeFlags([
                    "-I\(libtorch)/include", "-I\(libtorch)/include/torch/csrc/api/include", "-O3", "-fPIC",
                    "-w", "-Xclang", "-mno-constructor-aliases",
                ]),
            ],
            linkerSettings: [
                .unsafeFlags([
                    "-L\(libtorch)/lib", "-Xlinker", "-rpath", "-Xlinker", "\(libtorch)/lib",
                    "-Xlinker", "--no-as-needed",
                ]),
                .linkedLibrary("torch"), .linkedLibrary("torch_cpu"), .linkedLibrary("c10"),
                .linkedLibrary("stdc++"),
            ]),
        // No-torch line: nothing below needs libtorch to build.
        module("LFReport", ["CCairo", "LFConfig", "LFHTTP", "LFJSON", "LFDiagnostics", logging]),
        module("LFLauncher", ["LFConfig", "LFDiagnostics", logging]),
        module("LFTextMetrics", ["LFDiagnostics"]),
        module(
            "LFData",
            [
                "CArrow", "CCompression", "LFStream", "LFHub", "LFTemplate", "LFTokenizer", "LFConfig",
                "LFJSON",
                "LFDiagnostics",
            ]),
        module("LFGGUF", ["CGGUF", "LFModelConfig", "LFTokenizer", "LFJSON", "LFDiagnostics", crypto]),
        .target(
            name: "CGGUF",
            cSettings: [
                // Blocks are the same bytes everywhere: no two operations are fused into one.
                .unsafeFlags(["-O3", "-ffp-contract=off"])
            ], linkerSettings: [.linkedLibrary("m")]),
        module("LFModelConfig", ["LFJSON", "LFDiagnostics"]),
        module("LFStream", ["LFDiagnostics"]),
        module("LFHub", ["LFHTTP", "LFJSON", "LFDiagnostics", crypto, logging, yams]),
        module("LFHTTP", ["CCurl", "LFDiagnostics"]),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("dl")]),
        module("LFTemplate", ["LFJinja", "LFTokenizer", "LFConfig", "LFJSON", "LFDiagnostics"]),
        module("LFGrammar", ["LFJSON", "LFDiagnostics"]),
        module("LFTokenizer", ["COnig", "LFJSON", "LFDiagnostics"]),
        module("LFJinja", ["LFJSON", "LFDiagnostics"]),
        module("LFConfig", ["LFJSON", "LFDiagnostics", yams]),
        module("LFJSON", ["CSimdJSON", "LFDiagnostics"]),
        module("LFDiagnostics", [logging]),
        .target(
            name: "CSimdJSON", cxxSettings: [.unsafeFlags(["-O3"])],
            linkerSettings: [.linkedLibrary("simdjson"), .linkedLibrary("stdc++")]),
        .target(
            name: "CArrow",
            cxxSettings: [.unsafeFlags(["-I\(arrow)/include", "-std=c++20", "-O2", "-w"])],
            linkerSettings: [
                .unsafeFlags(["-L\(arrow)/lib", "-Xlinker", "-rpath", "-Xlinker", "\(arrow)/lib"]),
                .linkedLibrary("arrow"), .linkedLibrary("parquet"), .linkedLibrary("stdc++"),
            ]),
        .systemLibrary(
            name: "CCompression", pkgConfig: "libzstd", providers: [.apt(["zlib1g-dev", "libzstd-dev"])]),
        .systemLibrary(name: "COnig", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
        .systemLibrary(name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"])]),
        .target(
            name: "LFTestSupport", dependencies: ["LFJSON", crypto], path: "Tests/LFTestSupport",
            swiftSettings: swiftSettings),
        // A device of libtorch's that is not the CPU, for tests alone.
        .target(
            name: "CStandIn", path: "Tests/CStandIn",
            cxxSettings: [
                .headerSearchPath("../../Sources/CTorch/include"),
                .unsafeFlags([
                    "-I\(libtorch)/include", "-I\(libtorch)/include/torch/csrc/api/include", "-O2", "-fPIC",
                    "-w",
                ]),
            ]),
        tests("LFDiagnosticsTests", ["LFDiagnostics", logging]),
        tests("LFJSONTests", ["LFJSON", "LFDiagnostics"]),
        tests("LFConfigTests", ["LFConfig", "LFDiagnostics"]),
        tests("LFLauncherTests", ["LFLauncher", "LFConfig", "LFDiagnostics"]),
        tests("LFTokenizerTests", ["LFTokenizer", "LFJSON", "LFDiagnostics"]),
        tests("LFGrammarTests", ["LFGrammar", "LFJSON", "LFDiagnostics"]),
        tests("LFJinjaTests", ["LFJinja", "LFJSON", "LFDiagnostics"]),
        tests(
            "LFTemplateTests",
            ["LFTemplate", "LFJinja", "LFConfig", "LFTokenizer", "LFJSON", "LFDiagnostics"]),
        tests(
            "LFDataTests",
            [
                "CCompression", "LFData", "LFStream", "LFTemplate", "LFTokenizer", "LFConfig", "LFJSON",
                "LFDiagnostics",
            ]),
        tests("LFHubTests", ["LFTestSupport", "LFHub", "LFHTTP", "LFDiagnostics", crypto]),
        tests("LFGGUFTests", ["LFGGUF", "LFTokenizer", "LFJSON", "LFDiagnostics", crypto]),
        tests("LFTextMetricsTests", ["LFTextMetrics", "LFJSON", "LFDiagnostics"]),
        tests("LFReportTests", ["LFTestSupport", "LFReport", "LFConfig", "LFJSON", "LFDiagnostics"]),
        tests("LFTorchTests", ["CStandIn", "LFTorch", "LFLauncher", "LFDiagnostics"]),
        tests(
            "LFNNTests", ["LFNN", "LFModelConfig", "LFTorch", "LFStream", "LFCheckpoint", "LFDiagnostics"]),
        tests("LFCheckpointTests", ["LFCheckpoint", "LFTorch", "LFJSON", "LFDiagnostics"]),
        tests(
            "LFOptimizersTests", ["LFOptimizers", "LFNN", "LFTorch", "LFConfig", "LFJSON", "LFDiagnostics"]),
        tests(
            "LFAdaptersTests",
            [
                "LFAdapters", "LFModels", "LFCheckpoint", "LFNN", "LFTorch", "LFConfig", "LFStream", "LFJSON",
                "LFDiagnostics",
            ]),
        tests(
            "LFGenerationTests",
            [
                "LFGeneration", "LFGrammar", "LFAdapters", "LFModels", "LFCheckpoint", "LFNN", "LFTorch",
                "LFTokenizer",
                "LFStream", "LFJSON", "LFDiagnostics",
            ]),
        tests("LFObjectivesTests", ["LFObjectives", "LFTorch"]),
        tests(
            "LFServerTests",
            [
                "LFServer", "LFWorkflows", "LFTrainer", "LFGeneration", "LFTemplate", "LFTokenizer",
                "LFConfig", "LFJSON",
                "LFTorch", "LFDiagnostics",
            ]),
        tests(
            "LFParityTests",
            [
                "CStandIn", "LFWorkflows", "LFLauncher", "LFTrainer", "LFGeneration", "LFModels",
                "LFModelConfig",
                "LFCheckpoint",
                "LFTorch",
                "LFData", "LFStream",
                "LFConfig", "LFJSON", "LFNN", "LFAdapters", "LFReport", "LFObjectives", "LFTemplate",
                "LFTokenizer",
                "LFDiagnostics",
            ]),
        tests("LFEndToEndTests", ["LFTestSupport", "LFLauncher", "LFJSON", "LFDiagnostics"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx20
)

// LF_WITHOUT_TORCH=1 keeps only the targets below the no-torch line, which build in seconds (`make test-light`).
if Context.environment["LF_WITHOUT_TORCH"] != nil {
    func needs(_ target: Target, _ names: Set<String>) -> Bool {
        target.dependencies.contains {
            if case .byNameItem(let name, _) = $0 { names.contains(name) } else { false }
        }
    }
    var above: Set = ["CTorch", "CStandIn"]
    while let next = package.targets.first(where: { !above.contains($0.name) && needs($0, above) }) {
        above.insert(next.name)
    }
    package.targets.removeAll { above.contains($0.name) || $0.name == "LFEndToEndTests" }
    package.products = []
    let ofServer: Set = ["hummingbird", "swift-nio", "swift-http-types", "swift-service-lifecycle"]
    package.dependencies.removeAll {
        if case .sourceControl(_, let location, _) = $0.kind {
            location.split(separator: "/").last.map { ofServer.contains(String($0)) } ?? false
        } else {
            false
        }
    }
}
