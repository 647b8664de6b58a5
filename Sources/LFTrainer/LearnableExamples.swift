public import LFConfig
public import LFStream

/// Which examples a stage can learn from.
///
/// All others, such as rows whose answer lies behind `cutoff_len`, are not computed and count in no mean.
public enum LearnableExamples: Sendable {
    /// At least one learned token, in any of the example's sequences.
    case withToken
    /// At least one learned token in each of a pair's answers: a probability of no tokens is not one.
    case withTokenInEachAnswer
    /// At least one learned token in the judged answer; the unrelated one only helps to measure a distance.
    case withTokenInJudgedAnswer

    /// The rule of a stage. A reward model reads a score even behind an empty answer, but not off two equal ones.
    public init(_ stage: FinetuningArguments.Stage) {
        self =
            switch stage {
            case .pt, .sft, .rm, .ppo: .withToken
            case .dpo: .withTokenInEachAnswer
            case .kto: .withTokenInJudgedAnswer
            }
    }

    /// Whether an example can be learned from. Prompts always can: the model itself writes their answers.
    public func contains(_ example: Example) -> Bool {
        if case .prompted = example { return true }
        return switch self {
        case .withToken: example.learnsToken
        case .withTokenInEachAnswer: example.sequences.allSatisfy(\.learnsToken)
        case .withTokenInJudgedAnswer: example.sequences.first?.learnsToken ?? false
        }
    }
}
