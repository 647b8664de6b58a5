import LFTorch
import Testing

@Suite struct AttentionOptionsTests {
    /// One combination of what attention can do.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var window: Int?
        var softcap: Double?
        var hasSinks = false
        var hasSlopes = false
        var testDescription: String { name }

        func options(sinks: Tensor?, heads: Int) throws -> AttentionOptions {
            let slopes = (0..<heads).map { 0.5 / Double($0 + 1) }
            return try AttentionOptions(
                scale: 0.4, window: window, softcap: softcap, sinks: hasSinks ? sinks : nil,
                slopes: hasSlopes ? Tensor(slopes) : nil)
        }
    }

    static let cases = [
        Case(name: "plain"),
        Case(name: "window", window: 3),
        Case(name: "cap", softcap: 1.5),
        Case(name: "sinks", hasSinks: true),
        Case(name: "slopes", hasSlopes: true),
        Case(name: "sinks in a window", window: 4, hasSinks: true),
        Case(name: "slopes in a window", window: 2, hasSlopes: true),
        Case(name: "everything", window: 5, softcap: 2, hasSinks: true, hasSlopes: true),
    ]

    /// Widths of keys and of values.
    static let widths = [(4, 4), (6, 3), (3, 8), (1, 5)]

    @Test(arguments: cases) func segmentsAgreeWithDenseScores(_ item: Case) throws {
        for shape in SegmentAttentionTests.shapes where shape.tokens < 100 {
            for (kvHeads, (d, e)) in zip([4, 2, 1, 2], Self.widths) {
                let inputs = try [
                    randomTensor([shape.tokens, 4, d], 1), randomTensor([shape.tokens, kvHeads, d], 2),
                    randomTensor([shape.tokens, kvHeads, e], 3),
                ]
                let sinks = try item.hasSinks ? [randomTensor([4], 4)] : []
                let map = try shape.map()
                try expectSameFunction(inputs + sinks, within: 1e-11, "\(shape.name), \(kvHeads), \(d), \(e)")
                {
                    try segmentAttention(
                        $0[0], $0[1], $0[2], map, item.options(sinks: $0.dropFirst(3).first, heads: 4))
                } _: {
                    try denseAttention(
                        $0[0], $0[1], $0[2], shape, item.options(sinks: $0.dropFirst(3).first, heads: 4))
                }
            }
        }
    }

    @Test func gradientsAgreeWithDifferences() throws {
        let shape = SegmentShape(name: "", lengths: [2, 2, 3], prefixes: [nil, 0, 0])
        let map = try shape.map()
        let inputs = try [
            randomTensor([7, 2, 3], 1), randomTensor([7, 1, 3], 2), randomTensor([7, 1, 2], 3),
            randomTensor([2], 4),
        ]
        for item in Self.cases where item.hasSinks {
            try expectGradient(of: inputs, within: 1e-7) {
                try segmentAttention($0[0], $0[1], $0[2], map, item.options(sinks: $0[3], heads: 2))
            }
        }
    }

    /// A sink whose logit is far above all scores takes everything; far below it takes nothing.
    @Test func sinksTakeTheirShare() throws {
        let shape = SegmentAttentionTests.shapes[4]
        let (q, k, v) = try (
            randomTensor([shape.tokens, 2, 4], 1), randomTensor([shape.tokens, 2, 4], 2),
            randomTensor([shape.tokens, 2, 4], 3)
        )
        func attended(_ sinks: Tensor?) throws -> Tensor {
            try segmentAttention(q, k, v, shape.map(), AttentionOptions(scale: 0.5, sinks: sinks))
        }
        let plain = try attended(nil)
        try expectClose(attended(Tensor([-100, -100] as [Double])), plain, within: 1e-12, "none")
        try expectClose(attended(Tensor([100, 100] as [Double])), plain * 0, within: 1e-12, "all")
    }

    @Test(arguments: cases) func cachedTokensAgreeWithDenseScores(_ item: Case) throws {
        // The rows of a step see chains of these lengths, in blocks that lie anywhere in the store.
        let lengths = [1, 5, 32, 33, 64, 95]
        for (dtype, bound) in [(DType.float64, 1e-11), (.float32, 3e-6), (.bfloat16, 1e-2)] {
            for (kvHeads, (d, e)) in zip([4, 2, 1, 2], Self.widths) {
                let sinks = try randomTensor([4], 9)
                let store = try KeyValueStore(layers: 2)
                try store.reserve(20)
                var visible = VisibleTokens()
                var queries: [Tensor] = []
                var expected: [Tensor] = []
                for (row, length) in lengths.enumerated() {
                    let seed = UInt64(10 * row)
                    let (q, k, v) = try (
                        randomTensor([length, 4, d], seed).to(dtype),
                        randomTensor([length, kvHeads, d], seed + 1).to(dtype),
                        randomTensor([length, kvHeads, e], seed + 2).to(dtype)
                    )
                    let size = KeyValueStore.blockSize
                    let blocks = (0..<(length + size - 1) / size).map { Int32((7 * ($0 + 3 * row)) % 20) }
                    let slots = (0..<length).map { Int64(blocks[$0 / size]) * Int64(size) + Int64($0 % size) }
                    try store.write(layer: 1, k, v, slots: slots)
                    visible.lengths.append(Int64(length))
                    visible.starts.append(Int64(visible.blocks.count))
                    visible.blocks += blocks
                    queries.append(try q.slice(length - 1..<length))
                    let shape = SegmentShape(name: "", lengths: [length], prefixes: [nil])
                    let dense = try denseAttention(
                        q.to(.float64), k.to(.float64), v.to(.float64), shape,
                        item.options(sinks: sinks, heads: 4))
                    expected.append(try dense.slice(length - 1..<length))
                }
                let result = try store.attention(
                    layer: 1, .concatenated(queries), visible, item.options(sinks: sinks, heads: 4))
                #expect(result.dtype == dtype)
                try expectClose(
                    result.to(.float64), .concatenated(expected), within: bound,
                    "\(dtype), \(kvHeads), \(d), \(e)")
            }
        }
    }

    @Test func optionsOfAnotherHeadCountAreRefused() throws {
        let shape = SegmentAttentionTests.shapes[1]
        let x = try Tensor.zeros([shape.tokens, 4, 2])
        for options in try [
            AttentionOptions(scale: 1, sinks: .zeros([3])),
            AttentionOptions(scale: 1, slopes: .zeros([4, 1])),
        ] {
            #expect(throws: TorchError.self) { try segmentAttention(x, x, x, shape.map(), options) }
        }
        // Values of other heads or tokens than the keys.
        for values in try [Tensor.zeros([shape.tokens, 2, 2]), .zeros([shape.tokens + 1, 4, 2])] {
            #expect(throws: TorchError.self) {
                try segmentAttention(x, x, values, shape.map(), AttentionOptions(scale: 1))
            }
        }
    }
}
