import LFConfig
import LFStream
import LFTokenizer

/// Joins processed rows into the blocks that a packed run trains on.
///
/// Upstream packs inside each batch of `preprocessing_batch_size` rows of each worker's share of the rows; the same
/// borders give the same blocks.
struct ExamplePacking: Sendable {
    let form: ExampleProcessor.Form
    let data: DataArguments
    /// Put at the start of each pre-training block where the tokenizer adds one to texts.
    let blockStart: Int32?

    /// The rows that upstream would hand over together, in order.
    static func batches(rowCount: Int, data: DataArguments) -> [Range<Int>] {
        let workers = max(1, min(data.preprocessingNumWorkers ?? 1, rowCount))
        let size = max(1, data.preprocessingBatchSize)
        var batches: [Range<Int>] = []
        for worker in 0..<workers {
            let share = rowCount / workers
            let larger = rowCount % workers
            let start = share * worker + min(worker, larger)
            let end = start + share + (worker < larger ? 1 : 0)
            for first in stride(from: start, to: end, by: size) {
                batches.append(first..<min(first + size, end))
            }
        }
        return batches
    }

    /// Nil where the arguments ask for no packing, or examples are not single sequences.
    init?(_ processor: ExampleProcessor) {
        guard processor.data.packing, processor.form == .pretraining || processor.form == .supervised else {
            return nil
        }
        form = processor.form
        data = processor.data
        blockStart = processor.tokenizer.asksForBOS ? processor.tokenizer.bosID : nil
    }

    /// Packs the rows of one batch.
    ///
    /// - Parameter tooLong: Gets the numbers of rows that no block can hold.
    func examples(
        of processed: ArraySlice<ExampleProcessor.Processed>, tooLong: (Int) -> Void
    ) -> [Example] {
        var sequences: [LabeledSequence] = []
        for i in processed.indices {
            guard case .example(.supervised(let parts), _) = processed[i] else { continue }
            if form == .supervised, parts[0].inputIDs.count > data.cutoffLen {
                tooLong(i)
            } else {
                sequences += parts
            }
        }
        return blocks(sequences)
    }

    /// Packs the sequences of one batch.
    private func blocks(_ sequences: [LabeledSequence]) -> [Example] {
        switch form {
        case .pretraining: textBlocks(sequences)
        case .supervised: knapsacks(sequences)
        case .pairwise, .feedback, .prompted: preconditionFailure("only single sequences are packed")
        }
    }

    /// Texts behind one another, cut into blocks of `cutoff_len`; what is left over is dropped.
    private func textBlocks(_ sequences: [LabeledSequence]) -> [Example] {
        let ids = Array(sequences.map(\.inputIDs).joined())
        return stride(from: 0, to: ids.count - data.cutoffLen + 1, by: data.cutoffLen).map { start in
            var block = Array(ids[start..<start + data.cutoffLen])
            if let blockStart { block[0] = blockStart }
            return .supervised([LabeledSequence(inputIDs: block, labels: block)])
        }
    }

    /// Examples side by side, as many as `cutoff_len` holds; they do not see each other.
    ///
    /// Sequences of one conversation stay together as far as there is room, so that their common beginnings count once.
    private func knapsacks(_ sequences: [LabeledSequence]) -> [Example] {
        var items: [(sequences: [LabeledSequence], size: Int)] = []
        for sequence in sequences {
            let added = sequence.newTokenCount(behind: items.last?.sequences.last)
            if sequence.sharesBeginning, let size = items.last?.size, size + added <= data.cutoffLen {
                items[items.count - 1].sequences.append(sequence)
                items[items.count - 1].size += added
            } else {
                var first = sequence
                first.sharesBeginning = false
                items.append(([first], first.inputIDs.count))
            }
        }
        return greedyKnapsacks(items.map(\.size), capacity: data.cutoffLen).map { knapsack in
            .supervised(knapsack.flatMap { items[$0].sequences })
        }
    }
}
