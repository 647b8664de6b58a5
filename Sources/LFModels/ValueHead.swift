public import LFNN
public import LFTorch

/// A score for a hidden state: one linear layer behind dropout, as TRL puts it on a language model.
public final class ValueHead {
    /// `v_head.summary.weight`, `[1, hidden]`.
    public let weight: Parameter
    /// `v_head.summary.bias`, `[1]`.
    public let bias: Parameter
    private let dropout: Double

    /// The names under which files hold the two tensors, and their shapes, in the order in which they are drawn.
    public static func layout(hiddenSize: Int) -> [(name: String, shape: [Int])] {
        [("v_head.summary.weight", [1, hiddenSize]), ("v_head.summary.bias", [1])]
    }

    /// - Parameters:
    ///   - weight: `[1, hidden]`.
    ///   - bias: `[1]`.
    ///   - dropout: Share of the hidden state's elements that training drops (`summary_dropout_prob` of config.json).
    public init(weight: Parameter, bias: Parameter, dropout: Double) {
        self.weight = weight
        self.bias = bias
        self.dropout = dropout
    }

    public var parameters: [Parameter] { [weight, bias] }

    /// Scores of some rows of the hidden states.
    ///
    /// - Parameters:
    ///   - hidden: `[n, hidden]`, converted to the head's own type.
    ///   - generator: What dropout draws from; nil outside training.
    /// - Returns: `[n]`.
    public func callAsFunction(
        _ hidden: Tensor, dropoutFrom generator: Generator? = nil
    ) throws(TorchError) -> Tensor {
        var input = hidden
        if let generator, dropout > 0 { input = try input * input.dropoutMask(dropout, generator) }
        return try linear(input.to(weight.tensor.dtype), weight.tensor, bias: bias.tensor).reshaped([
            hidden.dim(0)
        ])
    }
}
