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

/// Scores of `ids [N]` under `softmax(logitScale · h[rows]·wᵀ)`; `[T, vocab]` never exists.
///
/// - Parameters:
///   - h: `[T, hidden]`; `w` `[vocab, hidden]`; `rows` and `ids` int64 `[N]`.
///   - accuracy: Whether to say which ids have the greatest logit.
///   - entropyOfTop: Over how many of the likeliest tokens to take the entropy.
public func headScores(
    _ h: Tensor, _ w: Tensor, rows: Tensor, ids: Tensor, logitScale: Double = 1, softcap: Double? = nil,
    accuracy: Bool = false, entropyOfTop: Int? = nil
) throws(TorchError) -> TokenScores {
    var correct: lf_tensor_t?
    var entropy: lf_tensor_t?
    let logProbs = try Tensor.make("log-probability head") { out in
        withUnsafeMutablePointer(to: &correct) { correct in
            withUnsafeMutablePointer(to: &entropy) { entropy in
                lf_head_log_probs(
                    h.handle, w.handle, rows.handle, ids.handle, logitScale, softcap ?? 0, out,
                    accuracy ? correct : nil, Int64(entropyOfTop ?? 0), entropyOfTop == nil ? nil : entropy)
            }
        }
    }
    return TokenScores(
        logProbs: logProbs, correct: correct.map { Tensor(adopting: $0) },
        entropy: entropy.map { Tensor(adopting: $0) })
}

/// The log-probabilities alone, `[N]`.
public func headLogProbs(
    _ h: Tensor, _ w: Tensor, rows: Tensor, ids: Tensor, logitScale: Double = 1, softcap: Double? = nil
) throws(TorchError) -> Tensor {
    try headScores(h, w, rows: rows, ids: ids, logitScale: logitScale, softcap: softcap).logProbs
}

/// The log-probabilities, and whether each id has the greatest logit: bool `[N]`.
public func headLogProbsAndAccuracy(
    _ h: Tensor, _ w: Tensor, rows: Tensor, ids: Tensor, logitScale: Double = 1, softcap: Double? = nil
) throws(TorchError) -> (logProbs: Tensor, correct: Tensor) {
    let scores = try headScores(
        h, w, rows: rows, ids: ids, logitScale: logitScale, softcap: softcap, accuracy: true)
    guard let correct = scores.correct else { preconditionFailure("the head gives what it is asked for") }
    return (scores.logProbs, correct)
}

/// How far a model's distributions lie from a frozen one's: `KL(q ‖ p)` in nats for each of `rows`, int64 `[N]`.
///
/// - Parameters:
///   - h: The model's hidden states `[T, hidden]` and head `w [vocab, hidden]`, p; with gradient.
///   - reference: The frozen model's, q; without.
/// - Returns: `[N]`, float32 (float64 for float64 input).
public func headDivergence(
    _ h: Tensor, _ w: Tensor, from reference: (hidden: Tensor, head: Tensor), rows: Tensor,
    logitScale: Double = 1,
    softcap: Double? = nil
) throws(TorchError) -> Tensor {
    try Tensor.make("divergence of two heads") {
        lf_head_divergence(
            h.handle, w.handle, reference.hidden.handle, reference.head.handle, rows.handle, logitScale,
            softcap ?? 0,
            $0)
    }
}
