internal import CTorch

/// What the language-model head says about chosen tokens.
public struct TokenScores {
    /// `[N]` in nats, float32 (float64 for float64 input), with gradient.
    public var logProbs: Tensor
    /// Whether each token has the greatest logit, bool `[N]`; nil unless asked for.
    public var correct: Tensor?
    /// Entropy of the likeliest tokens' probabilities, normalised among themselves, in nats, `[N]` without gradient; nil
    /// unless asked for.
    public var entropy: Tensor?
}

/// The weights of a language-model head: logits are `cap(scale · (h·wᵀ + bias))`.
public struct HeadWeights {
    /// `[vocab, hidden]`
    public var weight: Tensor
    /// `[vocab]`
    public var bias: Tensor?
    public var scale: Double
    /// With it, logits become `softcap·tanh(logit / softcap)`.
    public var softcap: Double?
    /// Whether what the product gives becomes float32 before anything else.
    public var widens: Bool

    public init(
        _ weight: Tensor, bias: Tensor? = nil, scale: Double = 1, softcap: Double? = nil, widens: Bool = false
    ) {
        self.widens = widens
        self.weight = weight
        self.bias = bias
        self.scale = scale
        self.softcap = softcap
    }
}

/// Scores of `ids [N]` under the softmax of the logits of `h[rows]`; `[T, vocab]` never exists.
///
/// - Parameters:
///   - h: `[T, hidden]`; `rows` and `ids` int64 `[N]`.
///   - accuracy: Whether to say which ids have the greatest logit.
///   - entropyOfTop: Over how many of the likeliest tokens to take the entropy.
///   - learned: How many results, the first ones, pass gradients on; nil for all.
///   - expected: What the results' gradients will be up to a factor, `[N]`: a trained head forms its own at once then. nil where nobody knows.
public func headScores(
    _ h: Tensor, _ head: HeadWeights, rows: Tensor, ids: Tensor, accuracy: Bool = false,
    entropyOfTop: Int? = nil, learned: Int? = nil, expected: Tensor? = nil
) throws(TorchError) -> TokenScores {
    var correct: lf_tensor_t?
    var entropy: lf_tensor_t?
    let logProbs = try Tensor.make("log-probability head") { out in
        withUnsafeMutablePointer(to: &correct) { correct in
            withUnsafeMutablePointer(to: &entropy) { entropy in
                lf_head_log_probs(
                    h.handle, head.weight.handle, head.bias?.handle, rows.handle, ids.handle, head.scale,
                    head.softcap ?? 0, head.widens, Int64(learned ?? -1), expected?.handle, out,
                    accuracy ? correct : nil,
                    Int64(entropyOfTop ?? 0),
                    entropyOfTop == nil ? nil : entropy)
            }
        }
    }
    return TokenScores(
        logProbs: logProbs, correct: correct.map { Tensor(adopting: $0) },
        entropy: entropy.map { Tensor(adopting: $0) })
}

/// The log-probabilities alone, `[N]`.
public func headLogProbs(
    _ h: Tensor, _ head: HeadWeights, rows: Tensor, ids: Tensor, learned: Int? = nil
) throws(TorchError) -> Tensor {
    try headScores(h, head, rows: rows, ids: ids, learned: learned).logProbs
}

/// How far a model's distributions lie from a frozen one's: `KL(q ‖ p)` in nats for each of `rows`, int64 `[N]`.
///
/// - Parameters:
///   - h: The model's hidden states `[T, hidden]`, and its head: p, with gradient.
///   - reference: The frozen model's, q, without; its head has the model's scale and cap.
/// - Returns: `[N]`, float32 (float64 for float64 input).
public func headDivergence(
    _ h: Tensor, _ head: HeadWeights, from reference: (hidden: Tensor, head: HeadWeights), rows: Tensor
) throws(TorchError) -> Tensor {
    try Tensor.make("divergence of two heads") {
        lf_head_divergence(
            h.handle, head.weight.handle, head.bias?.handle, reference.hidden.handle,
            reference.head.weight.handle, reference.head.bias?.handle, rows.handle, head.scale,
            head.softcap ?? 0, head.widens, $0)
    }
}
