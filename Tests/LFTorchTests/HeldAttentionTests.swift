import LFTorch
import Testing

/// Attention onto tokens that the cache holds, against all tokens in one stream.
@Suite struct HeldAttentionTests {
    /// The first `held` segments lie in the cache.
    struct Case: Sendable {
        var shape: SegmentShape
        var held: Int
    }

    static let cases = [
        Case(shape: SegmentShape(name: "one", lengths: [40, 7], prefixes: [nil, 0]), held: 1),
        Case(
            shape: SegmentShape(
                name: "two continue one", lengths: [70, 3, 1, 5], prefixes: [nil, 0, nil, 0]),
            held: 1),
        Case(
            shape: SegmentShape(name: "two", lengths: [5, 130, 66, 2, 9], prefixes: [nil, nil, 1, 0, nil]),
            held: 2),
    ]

    @Test(arguments: cases, [DType.float64, .float32, .bfloat16])
    func heldTokensAreSeenAsOthers(_ example: Case, _ dtype: DType) throws {
        let shape = example.shape
        let held = shape.lengths[..<example.held].reduce(0, +)
        let q = try randomTensor([shape.tokens, 4, 8], 1).to(dtype)
        let k = try randomTensor([shape.tokens, 2, 8], 2).to(dtype)
        let v = try randomTensor([shape.tokens, 2, 6], 3).to(dtype)
        let store = try KeyValueStore(layers: 1)
        try store.reserve(held / KeyValueStore.blockSize + 1)
        // Backwards: slots have nothing to do with the order of tokens.
        let slots = (0..<held).map { Int64(held - 1 - $0) }
        try store.write(layer: 0, k.slice(0..<held), v.slice(0..<held), slots: slots)
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes, held: example.held)
        let options = [
            AttentionOptions(scale: 0.4), AttentionOptions(scale: 0.4, window: 9),
            AttentionOptions(
                scale: 0.4, softcap: 1.5, sinks: try randomTensor([4], 4),
                slopes: try Tensor([0.5, 0.25, 0.1, 0.01] as [Double])),
        ]
        for option in options {
            let got = try store.attention(
                layer: 0, q.slice(held..<shape.tokens), k.slice(held..<shape.tokens),
                v.slice(held..<shape.tokens), onto: slots, map, option)
            let wide = try [q, k, v].map { try $0.to(.float64) }
            let exact = try denseAttention(wide[0], wide[1], wide[2], shape, option)
                .slice(held..<shape.tokens)
            let bound = dtype == .float64 ? 1e-11 : dtype == .float32 ? 2e-6 : 3e-2
            try expectClose(got.to(.float64), exact, within: bound, "output")
        }
        #expect(throws: TorchError.self) {
            try store.attention(
                layer: 0, q.slice(held..<shape.tokens), k.slice(held..<shape.tokens),
                v.slice(held..<shape.tokens), onto: Array(slots.dropLast()), map, options[0])
        }
    }
}
