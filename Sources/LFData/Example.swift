/// The label of a token that is not learned (upstream `IGNORE_INDEX`).
public let ignoreIndex: Int32 = -100

/// One tokenized sequence with the tokens that are learned; both arrays have the same length.
public struct LabeledSequence: Sendable, Equatable {
    public var inputIDs: [Int32]
    /// `inputIDs` where the token is learned, else `ignoreIndex`.
    public var labels: [Int32]

    public init(inputIDs: [Int32], labels: [Int32]) {
        self.inputIDs = inputIDs
        self.labels = labels
    }
}

/// One row of a processed dataset.
public enum Example: Sendable, Equatable {
    /// pt and sft: one sequence, or several packed ones that do not see each other.
    case supervised([LabeledSequence])
    /// dpo and rm: two answers to the same prompt.
    case pairwise(chosen: LabeledSequence, rejected: LabeledSequence)
    /// kto: one answer with a verdict on it, and another row's answer to the same prompt, from which the distance to the
    /// reference policy is estimated.
    case feedback(answer: LabeledSequence, unrelated: LabeledSequence, isDesirable: Bool)
    /// ppo and prediction: a prompt that the model answers, and the answer that the data has (upstream's `labels`); each
    /// cut on its own.
    case prompted(prompt: [Int32], answer: [Int32])
}
