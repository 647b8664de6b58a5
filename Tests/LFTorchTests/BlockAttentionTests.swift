import LFTorch
import Testing

/// Attention in tiles, which float32 and bfloat16 take on the CPU, against scores written out in float64.
@Suite struct BlockAttentionTests {
    /// Small numbers from a seed.
    struct Draws {
        var state: UInt64

        mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        mutating func one<T>(of values: [T]) -> T { values[below(values.count)] }
    }

    /// A tree of segments, sizes and options, all drawn.
    struct Problem {
        var shape: SegmentShape
        var heads: Int
        var kvHeads: Int
        var widths: (Int, Int)
        var window: Int?
        var softcap: Double?
        var hasSinks: Bool
        var hasSlopes: Bool
        var scale: Double

        init(seed: Int) {
            var draws = Draws(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
            let lengths = (0..<1 + draws.below(5)).map { _ in
                // On both sides of a tile's border, and anywhere.
                draws.one(of: [1, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 1 + draws.below(300), 700])
            }
            let prefixes: [Int?] = lengths.indices.map { index in
                let place = draws.below(index + 1)
                return place == index || draws.below(3) == 0 ? nil : place
            }
            shape = SegmentShape(name: "drawn \(seed)", lengths: lengths, prefixes: prefixes)
            kvHeads = draws.one(of: [1, 2, 3])
            heads = kvHeads * draws.one(of: [1, 2, 3, 9])
            let d = draws.one(of: [16, 64, 40, 2, 80, 96, 128, 256, 66, 18])
            widths = (d, draws.one(of: [d, d, 64, 18]))
            window = draws.one(of: [nil, nil, 1, 20, 64, 150])
            softcap = draws.one(of: [nil, nil, 1, 15])
            (hasSinks, hasSlopes) = (draws.below(2) == 0, draws.below(3) == 0)
            scale = draws.one(of: [1 / Double(d).squareRoot(), 1 / Double(d).squareRoot(), -0.1])
        }

        /// Output and gradients of queries, keys, values and sinks.
        func results(_ dtype: DType, from narrow: DType) throws -> [Tensor] {
            var leaves = try [
                randomTensor([shape.tokens, heads, widths.0], 1),
                randomTensor([shape.tokens, kvHeads, widths.0], 2),
                randomTensor([shape.tokens, kvHeads, widths.1], 3),
            ]
            if hasSinks { leaves.append(try randomTensor([heads], 4)) }
            leaves = try leaves.map { try $0.to(narrow).to(dtype) }
            for leaf in leaves { try leaf.setRequiresGrad(true) }
            let slopes = try Tensor((0..<heads).map { 0.05 * Double($0 + 1) })
            let result = try segmentAttention(
                leaves[0], leaves[1], leaves[2], shape.map(),
                AttentionOptions(
                    scale: scale, window: window, softcap: softcap, sinks: hasSinks ? leaves[3] : nil,
                    slopes: hasSlopes ? slopes : nil))
            #expect(result.dtype == dtype)
            let cotangent = try randomTensor([shape.tokens, heads, widths.1], 5).to(narrow).to(dtype)
            try result.backward(grad: cotangent)
            return try [result.detached()] + leaves.map { try #require(try $0.grad()) }
        }
    }

    @Test(arguments: [DType.float32, .bfloat16]) func drawnTreesAgreeWithFloat64(_ dtype: DType) throws {
        // Rounding is all that may differ: of the result in bfloat16, of the weights too.
        let bound = dtype == .float32 ? 1e-5 : 3e-2
        let norm = dtype == .float32 ? 1.5e-6 : 6e-3
        for seed in 0..<16 {
            let problem = Problem(seed: seed)
            let pairs = try zip(
                problem.results(dtype, from: dtype), problem.results(.float64, from: dtype))
            for (index, (narrow, exact)) in pairs.enumerated() {
                let difference = try (narrow.to(.float64) - exact).abs()
                let furthest = try (difference / (exact.abs() + 1)).max().item()
                #expect(furthest <= bound, "\(problem), result \(index)")
                // The few numbers of the sinks' gradients are differences of large ones.
                guard index < 4 else { continue }
                func size(_ x: Tensor) throws -> Double {
                    try (x.squared().sum() / Double(x.count)).sqrt().item()
                }
                #expect(try size(difference) <= norm * (size(exact) + 1), "\(problem), result \(index)")
            }
        }
    }

    @Test(arguments: AttentionOptionsTests.cases) func agreesWithDenseScores(
        _ item: AttentionOptionsTests.Case
    ) throws {
        for dtype in [DType.float32, .bfloat16] {
            for shape in SegmentAttentionTests.shapes where shape.tokens < 100 {
                let inputs = try [
                    randomTensor([shape.tokens, 4, 6], 1), randomTensor([shape.tokens, 2, 6], 2),
                    randomTensor([shape.tokens, 2, 8], 3), randomTensor([4], 4),
                ].map { try $0.to(dtype) }
                let cotangent = try randomTensor([shape.tokens, 4, 8], 5).to(dtype)
                func run(_ leaves: [Tensor], _ body: (AttentionOptions) throws -> Tensor) throws -> [Tensor] {
                    for leaf in leaves { try leaf.setRequiresGrad(true) }
                    let result = try body(item.options(sinks: leaves[3], heads: 4))
                    try result.backward(grad: cotangent.to(result.dtype))
                    return try [result.detached()] + leaves.prefix(3).map { try #require(try $0.grad()) }
                        + (item.hasSinks ? [#require(try leaves[3].grad())] : [])
                }
                let narrow = try inputs.map { try $0.cloned() }
                let wide = try inputs.map { try $0.to(.float64) }
                let ours = try run(narrow) {
                    try segmentAttention(narrow[0], narrow[1], narrow[2], shape.map(), $0)
                }
                let exact = try run(wide) { try denseAttention(wide[0], wide[1], wide[2], shape, $0) }
                for (one, other) in zip(ours, exact) {
                    try expectClose(
                        one.to(.float64), other, within: dtype == .float32 ? 2e-6 : 3e-2, shape.name)
                }
            }
        }
    }

    /// Exact resume rests on this.
    @Test(arguments: [DType.float32, .bfloat16]) func theSameInputsGiveTheSameBits(_ dtype: DType) throws {
        let problem = Problem(seed: 3)
        let (first, second) = try (
            problem.results(dtype, from: dtype), problem.results(dtype, from: dtype)
        )
        for (one, other) in zip(first, second) { #expect(try one.isIdentical(to: other)) }
    }

    /// Packed sequences do not touch each other, not even where one overflows.
    @Test func sequencesAreApart() throws {
        let shape = SegmentShape(name: "", lengths: [70, 33], prefixes: [nil, nil])
        let alone = SegmentShape(name: "", lengths: [33], prefixes: [nil])
        let x = try (1...3).map { try randomTensor([103, 4, 16], $0).to(.float32) }
        try x[1].slice(0..<70).fillInPlace(.infinity)
        let packed = try segmentAttention(x[0], x[1], x[2], shape.map(), scale: 0.25).slice(70..<103)
        let last = try x.map { try $0.slice(70..<103) }
        let single = try segmentAttention(last[0], last[1], last[2], alone.map(), scale: 0.25)
        #expect(try packed.contiguous().isIdentical(to: single))
    }

    /// Weights too small for float32 vanish; scores that are all far below zero count like any others.
    @Test func greatAndSmallScores() throws {
        let shape = SegmentShape(name: "", lengths: [65], prefixes: [nil])
        let (q, k, v) = try (
            Tensor.full([65, 1, 2], 300, .float32), randomTensor([65, 1, 2], 1).to(.float32),
            randomTensor([65, 1, 2], 2).to(.float32)
        )
        let below = try k.abs() * -1
        for keys in [k, below] {
            let exact = try segmentAttention(
                q.to(.float64), keys.to(.float64), v.to(.float64), shape.map(), scale: 1)
            try expectClose(
                segmentAttention(q, keys, v, shape.map(), scale: 1).to(.float64), exact, within: 1e-3)
        }
    }
}
