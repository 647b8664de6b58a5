import LFTorch
import Testing

/// Rows whose gradient is known to be zero are left out of backward passes, which give the same without them.
@Suite struct LearnedRowsTests {
    private let rows = 12, learned = 8

    /// The first rows of what `body` gives, as a function of its inputs: the gradient of the others is zero.
    private func expectSame(
        _ inputs: [Tensor], within bound: Double = 1e-12, _ body: ([Tensor]) throws(TorchError) -> Tensor
    ) throws {
        try expectSameFunction(inputs, within: bound) { leaves in
            try learningFirst([(rows, learned)]) { () throws(TorchError) in try body(leaves) }
                .slice(0..<learned)
        } _: {
            try body($0).slice(0..<learned)
        }
    }

    @Test func linearLayers() throws {
        let (x, w, bias) = try (randomTensor([rows, 4], 1), randomTensor([6, 4], 2), randomTensor([6], 3))
        try expectSame([x, w, bias]) { (t) throws(TorchError) in try linear(t[0], t[1], bias: t[2]) }
        let (a, b) = try (randomTensor([2, 4], 4), randomTensor([6, 2], 5))
        try expectSame([x, w, a, b]) { (t) throws(TorchError) in
            try loraLinear(t[0], t[1], bias: nil, a: t[2], b: t[3], scale: 0.7)
        }
        try expectSame([x, w, a, b]) { (t) throws(TorchError) in
            let both = [
                LinearOperands(t[1], bias: nil), LinearOperands(t[1], bias: nil, adapter: (t[2], t[3], 2)),
            ]
            return try .concatenated(linears(t[0], both), dim: 1)
        }
    }

    /// A sequence of 8 tokens, and one of 4 that continues its first segment, which nothing is learned from.
    @Test func attention() throws {
        let segments = try SegmentMap(ranges: [0..<5, 5..<8, 8..<12], prefixes: [nil, 0, 0])
        let inputs = try [
            randomTensor([rows, 4, 16], 1, .float32), randomTensor([rows, 2, 16], 2, .float32),
            randomTensor([rows, 2, 16], 3, .float32),
        ]
        try expectSame(inputs, within: 1e-5) { (t) throws(TorchError) in
            try segmentAttention(t[0], t[1], t[2], segments, AttentionOptions(scale: 0.25))
        }
    }

    /// The first scores of a head pass gradients on, the others none.
    @Test func headsScoreWhatIsNotLearned() throws {
        let rows = try Tensor([4, 0, 2, 2, 3] as [Int64]), ids = try Tensor([0, 10, 3, 5, 7] as [Int64])
        try expectSameFunction([randomTensor([6, 4], 1), randomTensor([11, 4], 2)]) {
            try headLogProbs($0[0], HeadWeights($0[1], softcap: 2), rows: rows, ids: ids, learned: 2)
        } _: {
            let scores = try headLogProbs($0[0], HeadWeights($0[1], softcap: 2), rows: rows, ids: ids)
            return try .concatenated([scores.slice(0..<2), scores.slice(2..<5).detached()])
        }
    }

    /// What is told ends with its scope, and the inner one counts.
    @Test func scopesNest() throws {
        let w = try randomTensor([3, 4], 2)
        func gradient(_ scopes: [Int]) throws -> [Double] {
            let x = try randomTensor([rows, 4], 1)
            try x.setRequiresGrad(true)
            func inside(_ scopes: ArraySlice<Int>) throws(TorchError) -> Tensor {
                guard let first = scopes.first else { return try linear(x, w) }
                return try learningFirst([(rows, first)]) { () throws(TorchError) in
                    try inside(scopes.dropFirst())
                }
            }
            try inside(scopes[...]).sum().backward()
            return try #require(try x.grad()).doubles().enumerated().filter { $0.offset % 4 == 0 }.map(
                \.element)
        }
        #expect(try gradient([]).count { $0 != 0 } == rows)
        #expect(try gradient([8, 5]).count { $0 != 0 } == 5)
        #expect(try gradient([8]).count { $0 != 0 } == 8)
    }
}
