import Foundation
import LFConfig
import LFJSON
import LFReport
import LFTemplate
import LFTorch
import Testing

/// A training run of the original, recorded in `train/runs`.
struct RecordedRun: Sendable, CustomTestStringConvertible {
    let name: String
    var testDescription: String { name }

    /// The day of the recording, which some prompts name.
    static let day = PromptDate(year: 2026, month: 11, day: 20)

    var folder: String { Golden.training + "/runs/" + name }

    /// What the original logged, in order.
    func log() throws -> [LogEntry] { try TrainerState.load(from: folder).logHistory }

    /// The arguments of the run with this machine's paths, its results going to `output`.
    ///
    /// - Parameter changes: Further `name=value`, which win.
    func config(output: String, _ changes: [String] = []) throws -> ResolvedConfig {
        var arguments = [
            folder + "/config.yaml", "dataset_dir=\(Golden.training)/data", "output_dir=\(output)",
            "disable_tqdm=true",
        ]
        let recorded = try resolveConfig(arguments: [folder + "/config.yaml"])
        arguments.append("model_name_or_path=\(Golden.training)/\(recorded.model.modelNameOrPath)")
        if let adapter = recorded.model.adapterNameOrPath.first {
            arguments.append("adapter_name_or_path=\(Golden.training)/\(adapter)")
        }
        if let reference = recorded.finetuning.preference.refModel {
            arguments.append("ref_model=\(Golden.training)/\(reference)")
        }
        if let reward = recorded.finetuning.policyOptimization.rewardModel {
            arguments.append("reward_model=\(Golden.training)/\(reward)")
        }
        return try resolveConfig(arguments: arguments + changes)
    }

    /// Values of one tensor at a few places of its flat image.
    struct Sample {
        var name: String
        var shape: [Int]
        var l2: Double
        var places: [(index: Int, value: Double)]

        /// Fails unless the tensor has the recorded shape and values.
        func expectMatch(
            _ tensor: Tensor, within bound: Double, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            try #require(tensor.shape == shape, "\(name)", sourceLocation: sourceLocation)
            let values = try tensor.detached().doubles()
            for (index, value) in places where !isClose(values[index], value, absolute: bound) {
                Issue.record(
                    "\(name)[\(index)] is \(values[index]), not \(value)", sourceLocation: sourceLocation)
            }
            let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            // Every element may be off by the bound.
            #expect(
                isClose(norm, l2, absolute: bound * Double(values.count).squareRoot() + 1e-6 * l2),
                "norm of \(name): \(norm), not \(l2)", sourceLocation: sourceLocation)
        }
    }

    /// The trained tensors after the last step, by the names that files use.
    func finalSamples() throws -> [Sample] { try samples("final_trainable") }
    /// A new adapter before the first step.
    func initialSamples() throws -> [Sample] { try samples("initial_trainable") }

    private func samples(_ key: String) throws -> [Sample] {
        let json = try JSONValue.read(path: folder + "/final.json")
        return try #require(json[key]?.object).map { name, value in
            let indices = try #require(value["index"]?.array).compactMap(\.int)
            let values = try #require(value["value"]?.array).compactMap(\.double)
            return Sample(
                name: name.replacingOccurrences(of: ".default.", with: ".")
                    .replacingOccurrences(of: "_A.default", with: "_A")
                    .replacingOccurrences(of: "_B.default", with: "_B")
                    .replacingOccurrences(of: "pretrained_model.", with: "")
                    .replacingOccurrences(of: "lora_magnitude_vector.weight", with: "lora_magnitude_vector"),
                shape: try #require(value["shape"]?.array).compactMap(\.int),
                l2: try #require(value["l2"]?.double),
                places: Array(zip(indices, values)))
        }
    }
}

/// A folder that goes away with the test.
final class ScratchFolder {
    let path = NSTemporaryDirectory() + "lf-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}
