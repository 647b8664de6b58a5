public import LFTorch

/// Rows of a table by number: token embeddings, learned positions. It has a slot for an adapter.
public final class Embedding {
    /// `[count, size]`
    public let weight: Parameter
    public var adapter: LoRAAdapter?

    public init(
        _ count: Int, _ size: Int, _ weights: WeightScope, _ role: ParameterRole = .embedding
    ) throws {
        weight = try weights.parameter("weight", [count, size], role)
    }

    /// - Parameter ids: int64 `[tokens]`; returns `[tokens, size]`.
    public func callAsFunction(_ ids: Tensor) throws(TorchError) -> Tensor {
        guard let adapter, adapter.control.isEnabled else { return try weight.tensor.embedding(ids) }
        return try adapter.rows(ids, of: weight.tensor)
    }
}
