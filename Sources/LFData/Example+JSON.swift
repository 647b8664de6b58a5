public import LFJSON
public import LFStream

extension Example {
    /// The example with upstream's names of its columns.
    ///
    /// - Parameters:
    ///   - showsLabels: Off for pre-training, where the labels are the ids.
    ///   - fillsUpTo: For packed blocks: the length to which upstream fills them, and its padding token. Runs fill up
    ///     nothing; this is for comparing.
    public func json(showsLabels: Bool, fillsUpTo filling: (length: Int, padID: Int32)? = nil) -> JSONValue {
        var columns: JSONObject = [:]
        func add(_ prefix: String, _ sequence: LabeledSequence) {
            columns[prefix + "input_ids"] = list(sequence.inputIDs)
            columns[prefix + "attention_mask"] = list(Array(repeating: 1, count: sequence.inputIDs.count))
            if showsLabels { columns[prefix + "labels"] = list(sequence.labels) }
        }
        switch self {
        case .supervised(let sequences):
            guard let filling else {
                // Several where a chat template writes earlier turns otherwise than when they were answered.
                add(
                    "",
                    LabeledSequence(
                        inputIDs: Array(sequences.map(\.inputIDs).joined()),
                        labels: Array(sequences.map(\.labels).joined())))
                guard sequences.count > 1 else { break }
                columns["attention_mask"] = list(
                    sequences.enumerated().flatMap {
                        Array(repeating: Int32($0.offset + 1), count: $0.element.inputIDs.count)
                    })
                columns["position_ids"] = list(sequences.flatMap { Array(0..<Int32($0.inputIDs.count)) })
                break
            }
            let ids = Array(sequences.map(\.inputIDs).joined())
            let missing = max(0, filling.length - ids.count)
            func filled(_ values: [Int32], with value: Int32) -> JSONValue {
                list(values + Array(repeating: value, count: missing))
            }
            columns["input_ids"] = filled(ids, with: filling.padID)
            columns["attention_mask"] = filled(
                sequences.enumerated().flatMap {
                    Array(repeating: Int32($0.offset + 1), count: $0.element.inputIDs.count)
                }, with: 0)
            columns["position_ids"] = filled(
                sequences.flatMap { Array(0..<Int32($0.inputIDs.count)) }, with: 0)
            columns["labels"] = filled(Array(sequences.map(\.labels).joined()), with: ignoreIndex)
        case .pairwise(let chosen, let rejected):
            add("chosen_", chosen)
            add("rejected_", rejected)
        case .feedback(let answer, let unrelated, let isDesirable):
            add("", answer)
            add("kl_", unrelated)
            columns["kto_tags"] = .bool(isDesirable)
        case .prompted(let prompt, let answer):
            add("", LabeledSequence(inputIDs: prompt, labels: answer))
        }
        return .object(columns)
    }

    private func list(_ ids: [Int32]) -> JSONValue { .array(ids.map { .int(Int64($0)) }) }
}
