public import LFCheckpoint
public import LFNN
public import LFTorch

/// Weights of the right shapes that take no memory, so that a model's structure can be asked before it is loaded.
public final class OutlineWeights: WeightProvider {
    private let checkpoint: CheckpointWeights?
    /// What the checkpoint says of itself; the model may ask for more tokens.
    private let config: ModelConfig

    /// - Parameters:
    ///   - store: The checkpoint whose tensors must be there and have the shapes that the model asks for; nil for a model that is
    ///     drawn.
    ///   - location: Where to point in messages: the checkpoint's folder.
    ///   - config: The checkpoint's own configuration.
    public init(_ store: WeightStore?, location: String, of config: ModelConfig) {
        checkpoint = store.map { CheckpointWeights($0, location: location) }
        self.config = config
    }

    public var isOutline: Bool { true }

    public func contains(_ name: String) -> Bool { checkpoint?.contains(name) ?? true }

    public func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        var stored = shape
        if [config.embeddingName, config.headName, config.headBiasName].contains(name) {
            stored[0] = config.vocabSize
        }
        try checkpoint?.check(name, shape: stored)
        return try Tensor.zeros(shape.map { _ in 1 }).expanded(shape)
    }
}
