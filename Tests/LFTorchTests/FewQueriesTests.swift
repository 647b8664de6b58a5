import LFTorch
import Testing

/// Attention whose queries come from some rows, against the same rows of attention from all.
@Suite struct FewQueriesTests {
    /// Runs of rows within segments: from one row to whole segments, and none at all in some.
    static func runs(_ shape: SegmentShape, seed: Int) -> [Range<Int>] {
        var draws = BlockAttentionTests.Draws(state: UInt64(seed) &* 77 &+ 5)
        var runs: [Range<Int>] = []
        for range in shape.ranges {
            var row = range.lowerBound + draws.below(range.count + 1)
            while row < range.upperBound {
                let end = min(range.upperBound, row + 1 + draws.below(90))
                runs.append(row..<end)
                row = end + 1 + draws.below(90)
            }
        }
        let last = shape.ranges[shape.ranges.count - 1]
        return runs.isEmpty ? [last.upperBound - 1..<last.upperBound] : runs
    }

    /// Output at the rows, and gradients of queries, keys, values and sinks.
    func results(
        _ problem: BlockAttentionTests.Problem, _ runs: [Range<Int>], _ dtype: DType, asksFew: Bool
    ) throws -> [Tensor] {
        let shape = problem.shape
        let rows = try Tensor(runs.flatMap { $0.map { Int64($0) } })
        var leaves = try [
            randomTensor([shape.tokens, problem.heads, problem.widths.0], 1),
            randomTensor([shape.tokens, problem.kvHeads, problem.widths.0], 2),
            randomTensor([shape.tokens, problem.kvHeads, problem.widths.1], 3),
        ]
        if problem.hasSinks { leaves.append(try randomTensor([problem.heads], 4)) }
        leaves = try leaves.map { try $0.to(dtype) }
        for leaf in leaves { try leaf.setRequiresGrad(true) }
        let slopes = try Tensor((0..<problem.heads).map { 0.05 * Double($0 + 1) })
        let options = AttentionOptions(
            scale: problem.scale, window: problem.window, softcap: problem.softcap,
            sinks: problem.hasSinks ? leaves[3] : nil, slopes: problem.hasSlopes ? slopes : nil)
        let result: Tensor
        if asksFew {
            let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes, queries: runs)
            result = try segmentAttention(leaves[0].selecting(rows), leaves[1], leaves[2], map, options)
        } else {
            result = try segmentAttention(leaves[0], leaves[1], leaves[2], shape.map(), options)
                .selecting(rows)
        }
        let cotangent = try randomTensor(
            [rows.count, problem.heads, problem.widths.1], 5
        ).to(dtype)
        try result.backward(grad: cotangent)
        return try [result.detached()] + leaves.map { try #require(try $0.grad()) }
    }

    @Test(arguments: [DType.float64, .float32, .bfloat16]) func someRowsAreThoseOfAll(_ dtype: DType) throws {
        // Tiles are cut otherwise: sums differ in their order.
        let bound = dtype == .float64 ? 1e-11 : dtype == .float32 ? 1e-5 : 3e-2
        for seed in 0..<12 {
            let problem = BlockAttentionTests.Problem(seed: seed)
            let runs = Self.runs(problem.shape, seed: seed)
            let few = try results(problem, runs, dtype, asksFew: true)
            let all = try results(problem, runs, dtype, asksFew: false)
            for (index, (one, other)) in zip(few, all).enumerated() {
                let furthest = try
                    ((one.to(.float64) - other.to(.float64)).abs()
                    / (other.to(.float64).abs() + 1)).max().item()
                #expect(furthest <= bound, "\(problem), result \(index), \(runs)")
            }
        }
    }

    /// Onto tokens that the cache holds.
    @Test(arguments: HeldAttentionTests.cases, [DType.float64, .float32])
    func heldTokensAreSeen(_ example: HeldAttentionTests.Case, _ dtype: DType) throws {
        let shape = example.shape, held = shape.lengths[..<example.held].reduce(0, +)
        let x = try (1...3).map { try randomTensor([shape.tokens, 2, 8], $0).to(dtype) }
        let store = try KeyValueStore(layers: 1)
        try store.reserve(held / KeyValueStore.blockSize + 1)
        let slots = (0..<Int64(held)).map { $0 }
        try store.write(layer: 0, x[1].slice(0..<held), x[2].slice(0..<held), slots: slots)
        let new = try x.map { try $0.slice(held..<shape.tokens) }
        func attention(_ queries: [Range<Int>]?) throws -> Tensor {
            let rows = queries.map { $0.flatMap { $0.map { Int64($0 - held) } } }
            return try store.attention(
                layer: 0, rows.map { try new[0].selecting(Tensor($0)) } ?? new[0], new[1], new[2],
                onto: slots,
                SegmentMap(
                    ranges: shape.ranges, prefixes: shape.prefixes, held: example.held, queries: queries),
                AttentionOptions(scale: 0.4))
        }
        let lasts = shape.ranges[example.held...].map { $0.upperBound - 1..<$0.upperBound }
        let rows = try Tensor(lasts.map { Int64($0.lowerBound - held) })
        try expectClose(
            attention(lasts).to(.float64), attention(nil).selecting(rows).to(.float64), within: 1e-6)
    }

    @Test func malformedRunsAreRefused() {
        for queries in [[2..<6], [6..<8, 0..<1], [0..<2, 1..<3], [3..<3], [8..<11], [-1..<2]] {
            #expect(throws: TorchError.self, "\(queries)") {
                try SegmentMap(ranges: [0..<5, 5..<10], prefixes: [nil, nil], queries: queries)
            }
        }
    }
}
