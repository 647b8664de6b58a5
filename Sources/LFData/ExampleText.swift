import LFStream
import LFTokenizer

extension Example {
    /// The example as upstream prints the first one of a dataset: ids, text, labels and the text that is learned.
    ///
    /// - Parameter showsLabels: Off for pre-training, where every token is learned.
    func textLines(tokenizer: Tokenizer, showsLabels: Bool) -> [String] {
        switch self {
        case .supervised(let sequences):
            let joined = LabeledSequence(
                inputIDs: Array(sequences.map(\.inputIDs).joined()),
                labels: Array(sequences.map(\.labels).joined()))
            return joined.textLines("", tokenizer, showsLabels)
        case .pairwise(let chosen, let rejected):
            return chosen.textLines("chosen_", tokenizer, showsLabels)
                + rejected.textLines("rejected_", tokenizer, showsLabels)
        case .feedback(let answer, _, _):
            return answer.textLines("", tokenizer, showsLabels)
        case .prompted(let prompt, let answer):
            return LabeledSequence(inputIDs: prompt, labels: answer).textLines("", tokenizer, showsLabels)
        }
    }
}

extension LabeledSequence {
    fileprivate func textLines(_ prefix: String, _ tokenizer: Tokenizer, _ showsLabels: Bool) -> [String] {
        var lines = [
            "\(prefix)input_ids:", "\(inputIDs)", "\(prefix)inputs:",
            tokenizer.decode(inputIDs, skipSpecialTokens: false),
        ]
        if showsLabels {
            lines += [
                "\(prefix)label_ids:", "\(labels)", "\(prefix)labels:",
                tokenizer.decode(labels.filter { $0 != ignoreIndex }, skipSpecialTokens: false),
            ]
        }
        return lines
    }
}
