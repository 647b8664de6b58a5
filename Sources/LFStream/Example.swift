public import LFDiagnostics

/// The label of a token that is not learned (upstream `IGNORE_INDEX`).
public let ignoreIndex: Int32 = -100

/// One tokenized sequence with the tokens that are learned; both arrays have the same length.
public struct LabeledSequence: Sendable, Equatable {
    public var inputIDs: [Int32]
    /// `inputIDs` where the token is learned, else `ignoreIndex`.
    public var labels: [Int32]
    /// Whether it is from the same conversation as the sequence before it in the example. Packing keeps both together, for what
    /// they begin with is computed once within a batch.
    public var sharesBeginning: Bool

    public init(inputIDs: [Int32], labels: [Int32], sharesBeginning: Bool = false) {
        self.inputIDs = inputIDs
        self.labels = labels
        self.sharesBeginning = sharesBeginning
    }
}

/// One row of a processed dataset.
public enum Example: Sendable, Equatable {
    /// pt and sft: one sequence, or several that do not see each other: packed ones, or the answers of one conversation, each
    /// behind its own prompt.
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

extension LabeledSequence {
    /// Whether a token is learned; the first has nothing to be predicted from.
    package var learnsToken: Bool { labels.dropFirst().contains { $0 != ignoreIndex } }
}

extension Example {
    /// Whether a token is learned; the first of a sequence has nothing to be predicted from.
    public var learnsToken: Bool { sequences.contains(where: \.learnsToken) }

    /// How many tokens a model reads behind one another, at most: the longest sequence, or the prompt.
    package var longestSequence: Int {
        switch self {
        case .supervised(let sequences): sequences.map(\.inputIDs.count).max() ?? 0
        case .pairwise(let chosen, let rejected): max(chosen.inputIDs.count, rejected.inputIDs.count)
        case .feedback(let answer, let unrelated, _): max(answer.inputIDs.count, unrelated.inputIDs.count)
        case .prompted(let prompt, _): prompt.count
        }
    }

    /// Checks that a model knows every token.
    ///
    /// - Parameter vocabSize: How many tokens the model has an embedding for.
    /// - Throws: A `UserError` with the first token that it does not know.
    public func checkTokens(vocabSize: Int) throws(UserError) {
        for sequence in sequences {
            guard let id = sequence.inputIDs.first(where: { $0 < 0 || $0 >= vocabSize }) else { continue }
            throw UserError(
                .failedRun, "The data holds the token \(id), but the model knows only \(vocabSize) tokens.",
                remedy:
                    "Choose a template whose special tokens the model knows, or a model made for this template, or set resize_vocab: true to train new ones."
            )
        }
    }
}
