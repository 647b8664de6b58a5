import Foundation
import LFTorch
import Testing

@Suite struct SegmentAttentionTests {
    typealias Shape = SegmentShape

    static let shapes = [
        Shape(name: "one token", lengths: [1], prefixes: [nil]),
        Shape(name: "one sequence", lengths: [9], prefixes: [nil]),
        Shape(name: "longer than a kernel block", lengths: [70, 600], prefixes: [nil, 0]),
        Shape(name: "packed", lengths: [3, 1, 5], prefixes: [nil, nil, nil]),
        Shape(name: "a pair", lengths: [4, 3, 5], prefixes: [nil, 0, 0]),
        Shape(name: "two pairs", lengths: [4, 3, 5, 2, 1, 6], prefixes: [nil, 0, 0, nil, 3, 3]),
        Shape(name: "a chain and a branch", lengths: [2, 3, 4, 1, 5], prefixes: [nil, 0, 1, 2, 1]),
    ]

    func inputs(_ shape: Shape, heads: Int, kvHeads: Int) throws -> [Tensor] {
        try [
            randomTensor([shape.tokens, heads, 4], 1), randomTensor([shape.tokens, kvHeads, 4], 2),
            randomTensor([shape.tokens, kvHeads, 4], 3),
        ]
    }

    @Test(arguments: shapes) func everyTokenSeesItsHistory(_ shape: Shape) throws {
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes)
        for kvHeads in [4, 2, 1] {
            try expectSameFunction(
                inputs(shape, heads: 4, kvHeads: kvHeads), within: 1e-11, "\(kvHeads) heads"
            ) {
                try segmentAttention($0[0], $0[1], $0[2], map, scale: 0.5)
            } _: {
                try denseAttention($0[0], $0[1], $0[2], shape, AttentionOptions(scale: 0.5))
            }
        }
    }

    @Test(arguments: shapes) func windowsAndCaps(_ shape: Shape) throws {
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes)
        for (window, softcap) in [(3, nil), (1, nil), (nil, 2.0), (4, 1.5), (10_000, nil)]
            as [(Int?, Double?)]
        {
            try expectSameFunction(
                inputs(shape, heads: 4, kvHeads: 2), within: 1e-11, "\(window ?? 0), \(softcap ?? 0)"
            ) {
                try segmentAttention($0[0], $0[1], $0[2], map, scale: 0.5, window: window, softcap: softcap)
            } _: {
                try denseAttention(
                    $0[0], $0[1], $0[2], shape, AttentionOptions(scale: 0.5, window: window, softcap: softcap)
                )
            }
        }
    }

    @Test(arguments: [DType.float32, .bfloat16]) func narrowTypes(_ dtype: DType) throws {
        let shape = Self.shapes[5]
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes)
        let narrow = try inputs(shape, heads: 4, kvHeads: 2).map { try $0.to(dtype) }
        let wide = try narrow.map { try $0.to(.float64) }
        for leaf in narrow + wide { try leaf.setRequiresGrad(true) }
        let cotangent = try randomTensor([shape.tokens, 4, 4], 8).to(dtype)
        let result = try segmentAttention(narrow[0], narrow[1], narrow[2], map, scale: 0.5)
        #expect(result.dtype == dtype)
        try result.backward(grad: cotangent)
        let exact = try segmentAttention(wide[0], wide[1], wide[2], map, scale: 0.5)
        try exact.backward(grad: cotangent.to(.float64))
        // bfloat16: three significant digits, and the joined parts are rounded once each.
        let bound = dtype == .float32 ? 2e-6 : 3e-2
        try expectClose(result.to(.float64), exact, within: bound, "output")
        for (a, b) in zip(narrow, wide) {
            try expectClose(
                #require(try a.grad()).to(.float64), #require(try b.grad()), within: bound, "gradient")
        }
    }

    @Test func greatScoresDoNotOverflow() throws {
        let shape = Self.shapes[4]
        let map = try SegmentMap(ranges: shape.ranges, prefixes: shape.prefixes)
        let x = try inputs(shape, heads: 2, kvHeads: 2).map { try $0.to(.float32) }
        let result = try segmentAttention(x[0] * 1000, x[1], x[2], map, scale: 1)
        #expect(try result.isFinite().bools().allSatisfy { $0 })
    }

    @Test func anEmptyStreamIsEmpty() throws {
        let map = try SegmentMap(ranges: [], prefixes: [])
        let none = try Tensor.zeros([0, 2, 4])
        #expect(try segmentAttention(none, none, none, map, scale: 1).shape == [0, 2, 4])
        #expect(try segmentAttention(none, none, none, map, scale: 1, softcap: 3).shape == [0, 2, 4])
    }

    @Test func malformedSegmentsAreRefused() throws {
        func isRefused(_ ranges: [Range<Int>], _ prefixes: [Int?]) -> Bool {
            do {
                _ = try SegmentMap(ranges: ranges, prefixes: prefixes)
                return false
            } catch { return error.kind == .invalidArgument }
        }
        #expect(isRefused([1..<3], [nil]))
        #expect(isRefused([0..<2, 3..<4], [nil, nil]))
        #expect(isRefused([0..<2, 2..<2], [nil, nil]))
        #expect(isRefused([0..<2, 2..<3], [nil, 1]))
        #expect(isRefused([0..<2, 2..<3], [nil, -3]))
        #expect(isRefused([0..<2, 2..<3], [nil]))
        let map = try SegmentMap(ranges: [0..<3], prefixes: [nil])
        let (q, k) = try (Tensor.zeros([3, 4, 2]), Tensor.zeros([3, 3, 2]))
        #expect(throws: TorchError.self) { try segmentAttention(q, k, k, map, scale: 1) }
        #expect(throws: TorchError.self) {
            try segmentAttention(q, .zeros([3, 0, 2]), .zeros([3, 0, 2]), map, scale: 1)
        }
        let short = try Tensor.zeros([2, 4, 2])
        #expect(throws: TorchError.self) { try segmentAttention(short, short, short, map, scale: 1) }
    }
}
