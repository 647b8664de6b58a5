public import LFCheckpoint
public import LFNN
public import LFTorch

/// Weights of the right shapes that take no memory, so that a model's structure can be asked before it is loaded.
public final class OutlineWeights: WeightProvider {
    private let checkpoint: CheckpointWeights?
    private let rows: Int

    /// - Parameters:
    ///   - store: The checkpoint whose tensors must be there and have the shapes that the model asks for; nil for a model that is
    ///     drawn.
    ///   - location: Where to point in messages: the checkpoint's folder.
    ///   - rows: The tokens that the checkpoint has rows for; the model may ask for more.
    public init(_ store: WeightStore?, location: String, rows: Int) {
        checkpoint = store.map { CheckpointWeights($0, location: location) }
        self.rows = rows
    }

    public func contains(_ name: String) -> Bool { checkpoint?.contains(name) ?? true }

    public func tensor(_ name: String, shape: [Int], role: WeightRole) throws -> Tensor {
        var stored = shape
        if ["model.embed_tokens.weight", "lm_head.weight"].contains(name) { stored[0] = rows }
        _ = try checkpoint?.tensor(name, shape: stored, role: role)
        return try Tensor.zeros(shape.map { _ in 1 }).expanded(shape)
    }
}
