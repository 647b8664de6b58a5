package import LFConfig

/// The order in which several datasets are mixed, as positions in their concatenation (`interleave_datasets` of
/// Hugging Face's datasets).
///
/// - Parameters:
///   - lengths: Rows of each dataset, each above 0.
///   - probabilities: How likely each dataset is drawn from; empty for taking turns.
///   - seed: Of the draws.
package func mixedOrder(
    lengths: [Int], strategy: DataArguments.MixStrategy, probabilities: [Double], seed: Int
) -> [Int] {
    let offsets = lengths.indices.map { lengths[..<$0].reduce(0, +) }
    guard lengths.count > 1, strategy != .concat, let shortest = lengths.min(), let longest = lengths.max()
    else {
        return Array(0..<lengths.reduce(0, +))
    }
    if probabilities.isEmpty {
        let rounds = strategy == .interleaveUnder ? shortest : longest
        var order: [Int] = []
        for round in 0..<rounds {
            for (offset, length) in zip(offsets, lengths) where strategy == .interleaveOver || round < length
            {
                order.append(offset + round % length)
            }
        }
        return order
    }
    var generator = NumPyGenerator(seed: seed)
    var positions = Array(repeating: 0, count: lengths.count)
    var isExhausted = Array(repeating: false, count: lengths.count)
    var order: [Int] = []
    while true {
        for source in generator.choices(1000, probabilities: probabilities) {
            let isDone =
                strategy == .interleaveUnder ? isExhausted.contains(true) : !isExhausted.contains(false)
            if isDone { return order }
            if strategy == .interleaveOnce, isExhausted[source] { continue }
            order.append(offsets[source] + positions[source])
            positions[source] += 1
            if positions[source] == lengths[source] {
                isExhausted[source] = true
                positions[source] = 0
            }
        }
    }
}

/// Which rows are trained on and which are kept back, as `train_test_split` of Hugging Face's datasets chooses them.
///
/// - Parameter validationCount: Rows kept back, fewer than `rowCount`.
package func splitOrder(
    rowCount: Int, validationCount: Int, seed: Int
) -> (train: [Int], validation: [Int]) {
    var generator = NumPyGenerator(seed: seed)
    let order = generator.permutation(rowCount)
    return (Array(order[validationCount...]), Array(order[..<validationCount]))
}
