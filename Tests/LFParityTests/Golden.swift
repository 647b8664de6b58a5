import Foundation
import LFCheckpoint
import LFModels
import LFNN
import LFTorch
import Testing

/// The recorded reference numbers; the folder lies beside `Tests`.
enum Golden {
    static let root =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden"
    static let training = root + "/train"
}

/// Whether a number is within an absolute or a relative distance of another. NaN never is.
func isClose(_ actual: Double, _ expected: Double, absolute: Double = 0, relative: Double = 0) -> Bool {
    abs(actual - expected) <= absolute + relative * abs(expected)
}

/// Fails unless both tensors have one shape and every element is within `bound · (1 + |expected|)`. NaN is never close.
func expectClose(
    _ actual: Tensor, _ expected: Tensor, within bound: Double, _ what: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    try #require(actual.shape == expected.shape, "\(what)", sourceLocation: sourceLocation)
    let pairs = zip(try actual.detached().doubles(), try expected.detached().doubles())
    let far = pairs.enumerated().first { !isClose($1.0, $1.1, absolute: bound, relative: bound) }
    if let (index, (got, wanted)) = far {
        Issue.record("\(what): element \(index) is \(got), not \(wanted)", sourceLocation: sourceLocation)
    }
}

/// The model of a checkpoint folder, all in one type.
func loadModel(_ folder: String, _ dtype: DType = .float32) throws -> LanguageModel {
    try LanguageModel(
        ModelConfig.read(directory: folder),
        weights: CheckpointWeights(WeightStore.open(directory: folder), location: folder), storedDType: dtype,
        computeDType: dtype, on: .cpu)
}
