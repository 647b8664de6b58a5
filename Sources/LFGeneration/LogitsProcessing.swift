public import LFTorch

/// What is done to next-token scores before a token is chosen: pure functions on `[batch, n]` scores, with the results of the
/// processors of the same name in transformers.
public enum LogitsProcessing {
    /// Makes tokens that are in the text already less likely: positive scores are divided by `penalty`, others multiplied
    /// (Keskar et al. 2019, arXiv 1909.05858, section 4.1).
    ///
    /// - Parameters:
    ///   - scores: `[batch, vocab]`
    ///   - seen: For each row the ids that occur, each once; rows that are shorter repeat an id.
    public static func repetitionPenalty(
        _ scores: Tensor, seen: [[Int64]], penalty: Double
    ) throws(TorchError) -> Tensor {
        let width = seen.map(\.count).max() ?? 0
        guard width > 0 else { return scores }
        var ids: [Int64] = []
        ids.reserveCapacity(seen.count * width)
        for row in seen {
            guard let first = row.first else {
                throw TorchError(
                    kind: .invalidArgument, operation: "repetition penalty", message: "a row has no tokens")
            }
            ids += row
            ids += Array(repeating: first, count: width - row.count)
        }
        let index = try Tensor(ids, [seen.count, width]).to(scores.device)
        let found = try scores.gathered(index, dim: 1)
        let changed = try Tensor.choose(found .< 0, found * penalty, found / penalty)
        return try scores.scattered(index, dim: 1, from: changed)
    }

    /// Keeps the tokens that a mask has.
    ///
    /// - Parameter masks: For each row a bit per token, in words of 64; tokens beyond its end are removed.
    package static func keeping(_ scores: Tensor, _ masks: [[UInt64]]) throws(TorchError) -> Tensor {
        let width = scores.dim(1)
        var offsets = [Float](repeating: -.infinity, count: masks.count * width)
        for (row, mask) in masks.enumerated() {
            for (index, word) in mask.enumerated() {
                var bits = word
                while bits != 0 {
                    let token = index * 64 + bits.trailingZeroBitCount
                    if token < width { offsets[row * width + token] = 0 }
                    bits &= bits - 1
                }
            }
        }
        return try scores + Tensor(offsets, [masks.count, width]).to(scores.device)
    }

    /// Divides scores. A temperature below 1e-30 counts as 1e-30: quotients stay within float32, and their softmax is the same, as two float32
    /// scores that differ do so by far more.
    public static func temperature(_ scores: Tensor, _ temperature: Double) throws(TorchError) -> Tensor {
        try scores / max(temperature, 1e-30)
    }

    /// Keeps scores that are not below the k-th greatest.
    public static func topK(_ scores: Tensor, _ k: Int) throws(TorchError) -> Tensor {
        let count = min(k, scores.dim(1))
        let least = try scores.top(count, dim: 1).values.slice(count - 1..<count, dim: 1)
        return try removing(scores, where: scores .< least.expanded([scores.dim(0), scores.dim(1)]))
    }

    /// Keeps the fewest likeliest tokens that have probability `p` together (Holtzman et al. 2019, arXiv 1904.09751).
    public static func topP(
        _ scores: Tensor, _ p: Double, keeping least: Int = 1
    ) throws(TorchError) -> Tensor {
        let count = scores.dim(1)
        let (sorted, order) = try scores.sorted(dim: 1, descending: false)
        let cumulative = try sorted.softmax(dim: 1).cumulativeSum(dim: 1)
        let kept = min(least, count)
        let far = try Tensor.choose(
            cumulative .>= (1 - p).nextUp, Tensor.zeros([1], on: scores.device),
            Tensor.full([1], 1, on: scores.device))
        let safe = try Tensor.zeros([scores.dim(0), kept], on: scores.device)
        let removed = try Tensor.concatenated([far.slice(0..<count - kept, dim: 1), safe], dim: 1)
        let inPlace = try removed.scattered(order, dim: 1, from: removed)
        return try removing(scores, where: inPlace .> 0)
    }

    /// Keeps tokens with at least `p` times the likeliest one's probability (Nguyen et al. 2024, arXiv 2407.01082).
    public static func minP(
        _ scores: Tensor, _ p: Double, keeping least: Int = 1
    ) throws(TorchError) -> Tensor {
        let probabilities = try scores.softmax(dim: 1)
        let bound = try probabilities.max(dim: 1, keepDim: true) * p
        let unlikely = try probabilities .< bound.expanded([scores.dim(0), scores.dim(1)])
        let count = min(least, scores.dim(1))
        let best = try probabilities.top(count, dim: 1).indices
        let flags = try Tensor.choose(
            unlikely, Tensor.full([1], 1, on: scores.device), Tensor.zeros([1], on: scores.device))
        let safe = try Tensor.zeros([scores.dim(0), count], on: scores.device)
        return try removing(scores, where: flags.scattered(best, dim: 1, from: safe) .> 0)
    }

    private static func removing(_ scores: Tensor, where condition: Tensor) throws(TorchError) -> Tensor {
        try Tensor.choose(condition, Tensor.full([1], -.infinity, on: scores.device), scores)
    }
}
