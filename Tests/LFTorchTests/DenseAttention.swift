import LFTorch
import Testing

/// Segments of a stream and which of them continue which.
struct SegmentShape: Sendable, CustomTestStringConvertible {
    var name: String
    var lengths: [Int]
    var prefixes: [Int?]
    var testDescription: String { name }

    var tokens: Int { lengths.reduce(0, +) }
    var ranges: [Range<Int>] {
        var start = 0
        return lengths.map { length in
            defer { start += length }
            return start..<start + length
        }
    }
    /// For every token the tokens before it in its sequence, itself last.
    var histories: [[Int]] {
        var chains: [[Int]] = []
        var result: [[Int]] = []
        for (index, range) in ranges.enumerated() {
            var chain = prefixes[index].map { chains[$0] } ?? []
            for token in range {
                chain.append(token)
                result.append(chain)
            }
            chains.append(chain)
        }
        return result
    }
}

extension SegmentShape {
    func map() throws -> SegmentMap { try SegmentMap(ranges: ranges, prefixes: prefixes) }
}

/// Attention written out in the simplest way: all scores at once, those of tokens outside a history masked.
func denseAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ shape: SegmentShape, _ options: AttentionOptions
) throws -> Tensor {
    let (heads, kvHeads, tokens) = (q.dim(1), k.dim(1), shape.tokens)
    let head = try Tensor((0..<heads).map { Int64($0 * kvHeads / heads) })
    let (keys, values) = try (k.selecting(head, dim: 1), v.selecting(head, dim: 1))
    var hidden = [Double](repeating: -.infinity, count: tokens * tokens)
    var distance = [Double](repeating: 0, count: tokens * tokens)
    for (token, history) in shape.histories.enumerated() {
        for (back, seen) in history.reversed().prefix(options.window ?? history.count).enumerated() {
            hidden[token * tokens + seen] = 0
            distance[token * tokens + seen] = -Double(back)
        }
    }
    var scores = try q.transposed().matmul(keys.transposed().transposed(1, 2)) * options.scale
    if let cap = options.softcap { scores = try (scores / cap).tanh() * cap }
    if let slopes = options.slopes {
        scores = try scores + slopes.reshaped([heads, 1, 1]) * Tensor(distance, [tokens, tokens])
    }
    scores = try scores + Tensor(hidden, [tokens, tokens])
    if let sinks = options.sinks {
        scores = try Tensor.concatenated(
            [scores, sinks.reshaped([heads, 1, 1]).expanded([heads, tokens, 1])], dim: 2)
    }
    return try scores.softmax(dim: 2).slice(0..<tokens, dim: 2).matmul(values.transposed())
        .transposed()
}
