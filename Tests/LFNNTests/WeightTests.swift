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
                _ = try weights.tensor(name, shape: shape, role: .matrix)
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

    @Test func freshWeightsFollowTheirRole() throws {
        let fresh = try FreshWeights(Generator(seed: 1), deviation: 0.02)
        #expect(try fresh.tensor("b", shape: [3], role: .bias).floats() == [0, 0, 0])
        #expect(try fresh.tensor("n", shape: [2], role: .normScale).floats() == [1, 1])
        let matrix = try fresh.tensor("m", shape: [100, 100], role: .matrix)
        let deviation = try matrix.squared().mean().item().squareRoot()
        #expect(abs(deviation - 0.02) < 0.001)
        #expect(try !matrix.isIdentical(to: fresh.tensor("m", shape: [100, 100], role: .matrix)))
    }
}
