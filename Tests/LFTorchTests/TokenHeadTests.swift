import LFTorch
import Testing

/// The head's further results against logits written out.
@Suite struct TokenHeadTests {
    static func random(_ shape: [Int], _ seed: UInt64, deviation: Double = 1) throws -> Tensor {
        let tensor = try Tensor.zeros(shape, .float64)
        try tensor.fillNormalInPlace(mean: 0, deviation: deviation, Generator(seed: seed))
        return tensor
    }

    @Test func entropyIsThatOfTheLikeliestTokens() throws {
        let h = try Self.random([6, 8], 1)
        let w = try Self.random([50, 8], 2)
        let rows = try Tensor([Int64(0), 3, 5])
        let ids = try Tensor([Int64(7), 0, 49])
        let entropy = try #require(
            try headScores(h, HeadWeights(w), rows: rows, ids: ids, entropyOfTop: 20).entropy
        )
        .doubles()
        let top = try h.selecting(rows).matmul(w.transposed()).top(20, dim: 1).values
        let logShares = try top.logSoftmax(dim: 1)
        let expected = try (-(logShares.exp() * logShares).sum(dim: 1)).doubles()
        for (one, other) in zip(entropy, expected) { #expect(abs(one - other) < 1e-12) }
        // More tokens than there are: the whole distribution.
        let all = try #require(
            try headScores(h, HeadWeights(w), rows: rows, ids: ids, entropyOfTop: 99).entropy)
        #expect(try all.doubles().allSatisfy { $0 > 0 && $0 < 3.913 })
    }

    @Test(arguments: [false, true]) func divergenceAndItsGradientsAreThoseOfTheLogits(
        hasBias: Bool
    ) throws {
        let rows = try Tensor([Int64(1), 1, 4])
        let frozen = (hidden: try Self.random([5, 8], 3), head: try Self.random([40, 8], 4))
        let scale = try Tensor([0.5, -2.0, 1.0])
        let frozenBias = hasBias ? try Self.random([40], 9) : nil
        func inputs() throws -> (h: Tensor, w: Tensor, bias: Tensor) {
            let tensors = try [Self.random([5, 8], 5), Self.random([40, 8], 6), Self.random([40], 7)]
            for tensor in tensors { try tensor.setRequiresGrad(true) }
            return (tensors[0], tensors[1], tensors[2])
        }
        let fused = try inputs()
        let result = try headDivergence(
            fused.h, HeadWeights(fused.w, bias: hasBias ? fused.bias : nil),
            from: (frozen.hidden, HeadWeights(frozen.head, bias: frozenBias)), rows: rows)
        try (result * scale).sum().backward()
        let plain = try inputs()
        func logProbs(_ h: Tensor, _ w: Tensor, _ bias: Tensor?) throws -> Tensor {
            let logits = try h.selecting(rows).matmul(w.transposed())
            return try (bias.map { try logits + $0 } ?? logits).logSoftmax(dim: 1)
        }
        let p = try logProbs(plain.h, plain.w, hasBias ? plain.bias : nil)
        let q = try logProbs(frozen.hidden, frozen.head, frozenBias)
        let expected = try (q.exp() * (q - p)).sum(dim: 1)
        try (expected * scale).sum().backward()
        #expect(try (result - expected).abs().max().item() < 1e-12)
        let biases = hasBias ? [(fused.bias, plain.bias)] : []
        for (one, other) in [(fused.h, plain.h), (fused.w, plain.w)] + biases {
            let difference = try #require(try one.grad()) - #require(try other.grad())
            #expect(try difference.abs().max().item() < 1e-12)
        }
        #expect(try result.doubles().allSatisfy { $0 > 0 })
        let same = try headDivergence(
            plain.h, HeadWeights(plain.w), from: (plain.h, HeadWeights(plain.w)), rows: rows)
        #expect(try same.abs().max().item() == 0)
    }
}
