import Foundation
import LFCheckpoint
import LFDiagnostics
import LFNN
import LFTorch
import Testing

@Suite struct WeightTests {
    func weights() throws -> (CheckpointWeights, String) {
        let folder = NSTemporaryDirectory() + "lf-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try writeSafetensors(
            [
                ("a.weight", Tensor.zeros([2, 3])), ("b.weight", Tensor.zeros([2, 3], .int8)),
                ("c.weight", Tensor.zeros([1])),
            ], to: folder + "/model.safetensors")
        return (CheckpointWeights(try WeightStore.open(directory: folder), location: folder), folder)
    }

    @Test func whatDoesNotFitIsNamed() throws {
        let (weights, folder) = try weights()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func message(_ name: String, _ shape: [Int]) -> String? {
            do {
                _ = try weights.tensor(name, shape: shape, start: .normal)
                return nil
            } catch { return "\(error)" }
        }
        #expect(message("a.weight", [2, 3]) == nil)
        #expect(
            message("z.weight", [2])?.hasPrefix(#"\#(folder): The checkpoint has no tensor "z.weight"."#)
                == true)
        #expect(
            message("a.weight", [3, 2])?.hasPrefix(
                #"\#(folder): The tensor "a.weight" has shape [2, 3], but config.json asks for [3, 2]."#)
                == true)
        #expect(message("b.weight", [2, 3])?.contains("has type int8") == true)
        #expect(weights.unusedNames == ["b.weight", "c.weight"])
    }

    /// What is put together from a file's tensors falls into the same ones again.
    @Test func layoutsGoBothWays() throws {
        let experts = WeightLayout.stacked(
            (0..<2).map { .concatenated([.tensor("\($0).gate"), .transposed(.tensor("\($0).up"))], dim: 0) })
        var files: [String: Tensor] = [:]
        let whole = try experts.assemble([2, 6, 4]) { key, shape in
            #expect(shape == (key.hasSuffix("up") ? [4, 3] : [3, 4]))
            let start = Double(files.count * 12)
            let tensor = try Tensor((0..<12).map { start + Double($0) }, shape)
            files[key] = tensor
            return tensor
        }
        #expect(experts.keys == ["0.gate", "0.up", "1.gate", "1.up"])
        #expect(try whole.doubles().prefix(4) == [0, 1, 2, 3])
        // The second part's first row is its file's first column.
        #expect(try whole.doubles()[12..<16] == [12, 15, 18, 21])
        let parts = experts.fileParts([2, 6, 4])
        #expect(parts.map(\.name) == experts.keys)
        for part in parts {
            #expect(try part.extract(whole).isIdentical(to: #require(files[part.name])), "\(part.name)")
        }
    }

    /// A file of a bare decoder has its tensors' names without the first part.
    @Test func aMissingPrefixIsNoFault() throws {
        let (weights, folder) = try weights()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(weights.contains("model.a.weight") && !weights.contains("model.z.weight"))
        #expect(try weights.tensor("model.a.weight", shape: [2, 3], start: .normal).shape == [2, 3])
        #expect(weights.unusedNames == ["b.weight", "c.weight"])
    }

    /// A weight knows its block and its place there, and the key that files have for it.
    @Test func placesAndOtherNames() throws {
        let fresh = try FreshWeights(Generator(seed: 1), deviation: 0.02)
        let registry = WeightScope.Registry(fresh, dtype: nil, device: .cpu)
        let root = WeightScope(registry)
        _ = try (root / "model" / "layers").blocks(2) { _, layer in
            try RMSNorm(4, epsilon: 1e-6, (layer / "mlp").storedAs("moe") / "norm")
        }
        _ = try RMSNorm(4, epsilon: 1e-6, root / "norm")
        let second = registry.parameters[1]
        #expect(second.name == "model.layers.1.mlp.norm.weight" && second.role == .norm)
        #expect(second.place == Parameter.Place(block: 1, path: "mlp.norm.weight"))
        #expect(second.layout == .tensor("model.layers.1.moe.norm.weight"))
        #expect(registry.parameters[2].place == nil)
    }

    @Test func freshWeightsFollowTheirRole() throws {
        let fresh = try FreshWeights(Generator(seed: 1), deviation: 0.02)
        #expect(try fresh.tensor("b", shape: [3], start: .zeros).floats() == [0, 0, 0])
        #expect(try fresh.tensor("n", shape: [2], start: .ones).floats() == [1, 1])
        let matrix = try fresh.tensor("m", shape: [100, 100], start: .normal)
        let deviation = try matrix.squared().mean().item().squareRoot()
        #expect(abs(deviation - 0.02) < 0.001)
        #expect(try !matrix.isIdentical(to: fresh.tensor("m", shape: [100, 100], start: .normal)))
    }
}
