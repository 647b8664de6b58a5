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

extension LabeledSequence {
    /// The tokens before the first one that is learned: what a model is to continue.
    public var promptIDs: ArraySlice<Int32> {
        inputIDs[..<(labels.firstIndex { $0 != ignoreIndex } ?? inputIDs.count)]
    }
    /// The learned tokens.
    public var answerIDs: [Int32] { labels.filter { $0 != ignoreIndex } }
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
}
