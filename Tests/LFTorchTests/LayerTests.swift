import Foundation
import LFTorch
import Testing

@Suite struct LayerTests {
    func writtenOutNorm(_ x: Tensor, _ w: Tensor, _ eps: Double) throws -> Tensor {
        try x * (x.squared().mean(dim: -1, keepDim: true) + eps).rsqrt() * w
    }

    @Test(arguments: [[1, 1], [3, 7], [600, 33]]) func rmsNormIsItsFormula(_ shape: [Int]) throws {
        let (x, w) = try (randomTensor(shape, 1), randomTensor([shape[1]], 2))
        try expectSameFunction([x, w]) {
            try rmsNorm($0[0], $0[1], eps: 1e-5)
        } _: {
            try writtenOutNorm($0[0], $0[1], 1e-5)
        }
    }

    @Test func rmsNormOfHeads() throws {
        let (x, w) = try (randomTensor([5, 3, 8], 1), randomTensor([8], 2))
        try expectSameFunction([x, w]) {
            try rmsNorm($0[0], $0[1], eps: 1e-6)
        } _: {
            try writtenOutNorm($0[0], $0[1], 1e-6)
        }
        try expectGradient(of: [randomTensor([2, 3], 1), randomTensor([3], 2)]) {
            try rmsNorm($0[0], $0[1], eps: 1e-2)
        }
    }

    /// Weights around 0 with 1 added, before anything is rounded.
    @Test func rmsNormWithAnOffset() throws {
        try expectSameFunction([randomTensor([5, 7], 1), randomTensor([7], 2)]) {
            try rmsNorm($0[0], $0[1], offset: 1, eps: 1e-6)
        } _: {
            try writtenOutNorm($0[0], $0[1] + 1, 1e-6)
        }
        let x = try randomTensor([40, 64], 1, .bfloat16), w = try randomTensor([64], 2, .bfloat16) * 0.01
        try expectSameFunction([x.to(.float64), w.to(.float64)]) {
            try rmsNorm($0[0], $0[1], offset: 1, eps: 1e-6)
        } _: {
            try writtenOutNorm($0[0], $0[1] + 1, 1e-6)
        }
        let narrow = try rmsNorm(x, w, offset: 1, eps: 1e-6)
        let exact = try rmsNorm(x.to(.float64), w.to(.float64), offset: 1, eps: 1e-6)
        #expect(narrow.dtype == .bfloat16)
        // One rounding of the result.
        try expectClose(narrow.to(.float64), exact, within: 4e-3)
    }

    @Test(arguments: [(true, true), (true, false), (false, false)])
    func layerNormIsItsFormula(hasWeight: Bool, hasBias: Bool) throws {
        let inputs = try [randomTensor([3, 7], 1), randomTensor([7], 2), randomTensor([7], 3)]
        try expectSameFunction(Array(inputs.prefix(hasBias ? 3 : hasWeight ? 2 : 1))) {
            try layerNorm($0[0], hasWeight ? $0[1] : nil, bias: hasBias ? $0[2] : nil, eps: 1e-5)
        } _: {
            let centred = try $0[0] - $0[0].mean(dim: -1, keepDim: true)
            var y = try centred * (centred.squared().mean(dim: -1, keepDim: true) + 1e-5).rsqrt()
            if hasWeight { y = try y * $0[1] }
            return hasBias ? try y + $0[2] : y
        }
    }

    @Test func rmsNormOfZerosAndOfNarrowTypes() throws {
        #expect(try rmsNorm(.zeros([2, 4]), .full([4], 3), eps: 1e-6).floats().allSatisfy { $0 == 0 })
        #expect(try rmsNorm(.zeros([0, 4]), .full([4], 3), eps: 1e-6).shape == [0, 4])
        let x = try randomTensor([40, 64], 1, .float32)
        let w = try randomTensor([64], 2, .float32)
        try expectClose(
            rmsNorm(x, w, eps: 1e-6).to(.float64), writtenOutNorm(x.to(.float64), w.to(.float64), 1e-6),
            within: 1.3e-6)
        let narrow = try rmsNorm(x.to(.bfloat16), w, eps: 1e-6)
        #expect(narrow.dtype == .bfloat16)
        try expectClose(
            narrow.to(.float64),
            writtenOutNorm(x.to(.bfloat16).to(.float64), w.to(.bfloat16).to(.float64), 1e-6),
            within: 1.6e-2)
        // The general path, for types without a kernel of their own.
        let half = try rmsNorm(x.to(.float16), w.to(.float16), eps: 1e-6)
        try expectClose(
            half.to(.float64), writtenOutNorm(x.to(.float16).to(.float64), w.to(.float16).to(.float64), 1e-6),
            within: 4e-3)
    }

    func tables(_ tokens: Int, _ half: Int) throws -> (Tensor, Tensor) {
        let angles = (0..<tokens * half).map { Float($0 / half) * powf(100, -Float($0 % half) / Float(half)) }
        return (
            try Tensor(angles.map { cosf($0) }, [tokens, half]),
            try Tensor(angles.map { sinf($0) }, [tokens, half])
        )
    }

    /// Pairs `(i, i + d/2)` turned by the token's angle; what lies beyond the rotated dimensions stays.
    @Test(arguments: [8, 6]) func ropeTurnsHalvesAgainstEachOther(_ rotated: Int) throws {
        let (cos, sin) = try tables(5, rotated / 2)
        try expectSameFunction([randomTensor([5, 3, 8], 1)]) {
            try rope($0[0], cos: cos, sin: sin)
        } _: {
            let x = $0[0]
            let (c, s) = try (cos.to(.float64).reshaped([5, 1, -1]), sin.to(.float64).reshaped([5, 1, -1]))
            let half = rotated / 2
            let (a, b) = try (x.slice(0..<half, dim: 2), x.slice(half..<rotated, dim: 2))
            return try Tensor.concatenated(
                [a * c - b * s, b * c + a * s, x.slice(rotated..<8, dim: 2)], dim: 2)
        }
    }

    /// Pairs `(2i, 2i + 1)`.
    @Test(arguments: [8, 6]) func interleavedRopeTurnsNeighbours(_ rotated: Int) throws {
        let (cos, sin) = try tables(5, rotated / 2)
        try expectSameFunction([randomTensor([5, 3, 8], 1)]) {
            try rope($0[0], cos: cos, sin: sin, interleaved: true)
        } _: {
            let x = $0[0]
            let (c, s) = try (cos.to(.float64).reshaped([5, 1, -1]), sin.to(.float64).reshaped([5, 1, -1]))
            let pairs = try x.slice(0..<rotated, dim: 2).reshaped([5, 3, rotated / 2, 2])
            let a = try pairs.slice(0..<1, dim: 3).reshaped([5, 3, -1])
            let b = try pairs.slice(1..<2, dim: 3).reshaped([5, 3, -1])
            let turned = try Tensor.stacked([a * c - b * s, b * c + a * s], dim: 3).reshaped([5, 3, rotated])
            return try Tensor.concatenated([turned, x.slice(rotated..<8, dim: 2)], dim: 2)
        }
        let x = try randomTensor([5, 3, 8], 1, .float32)
        let exact = try rope(x.to(.float64), cos: cos, sin: sin, interleaved: true)
        for (dtype, bound) in [(DType.float32, 1e-6), (.bfloat16, 2e-2), (.float16, 4e-3)] {
            let narrow = try rope(x.to(dtype), cos: cos, sin: sin, interleaved: true)
            try expectClose(narrow.to(.float64), exact, within: bound)
        }
    }

    @Test func ropeByHandAndInNarrowTypes() throws {
        let quarter = try rope(
            Tensor([1, 2, 3, 4] as [Float], [1, 1, 4]), cos: Tensor([0, 1] as [Float], [1, 2]),
            sin: Tensor([1, 0] as [Float], [1, 2]))
        #expect(try quarter.floats() == [-3, 2, 1, 4])
        let (cos, sin) = try tables(9, 4)
        let x = try randomTensor([9, 2, 8], 1, .float32)
        let exact = try rope(x.to(.float64), cos: cos, sin: sin)
        try expectClose(rope(x, cos: cos, sin: sin).to(.float64), exact, within: 1e-6)
        try expectClose(rope(x.to(.bfloat16), cos: cos, sin: sin).to(.float64), exact, within: 2e-2)
        try expectClose(rope(x.to(.float16), cos: cos, sin: sin).to(.float64), exact, within: 4e-3)
    }
}
