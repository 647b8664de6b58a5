import LFTorch
import Testing

/// What stays in float32 where the rest is bfloat16.
@Suite struct WideningTests {
    private func rounded(_ shape: [Int], _ seed: UInt64) throws -> Tensor {
        try randomTensor(shape, seed, .float32).to(.bfloat16)
    }

    /// A wide weight is applied before the one rounding, forward and backward.
    @Test func normsWithWideWeightsRoundOnce() throws {
        let x = try rounded([5, 8], 1)
        let w = try randomTensor([8], 2, .float32), b = try randomTensor([8], 3, .float32)
        let wide = try x.to(.float32)
        let rms = try rmsNorm(wide, w, eps: 1e-5).to(.bfloat16)
        #expect(try rmsNorm(x, w, eps: 1e-5).isIdentical(to: rms))
        let layer = try layerNorm(wide, w, bias: b, eps: 1e-5).to(.bfloat16)
        #expect(try layerNorm(x, w, bias: b, eps: 1e-5).isIdentical(to: layer))
        // A rounded weight gives something else.
        #expect(try !rmsNorm(x, w.to(.bfloat16), eps: 1e-5).isIdentical(to: rms))

        for norm in [
            { (x: Tensor, w: Tensor) throws in try rmsNorm(x, w, eps: 1e-5) },
            { (x: Tensor, w: Tensor) throws in try layerNorm(x, w, bias: nil, eps: 1e-5) },
        ] {
            func gradients(_ x: Tensor) throws -> [Tensor] {
                let leaves = try [x.cloned(), w.cloned()]
                for leaf in leaves { try leaf.setRequiresGrad(true) }
                let value = try norm(leaves[0], leaves[1])
                try value.backward(grad: randomTensor(value.shape, 9, .float32).to(.bfloat16).to(value.dtype))
                return try leaves.map { try #require(try $0.grad()) }
            }
            let (narrow, full) = try (gradients(x), gradients(wide))
            #expect(narrow[0].dtype == .bfloat16 && narrow[1].dtype == .float32)
            try expectClose(narrow[0].to(.float32), full[0], within: 1e-2)
            try expectClose(narrow[1], full[1], within: 1e-6)
        }
    }

    /// Logits of a wide head are the rounded product, and nothing behind it is rounded.
    @Test(arguments: [(1.0, nil), (0.3, nil), (0.7, 2.5)] as [(Double, Double?)])
    func wideLogitsRoundTheProductOnly(_ scale: Double, _ softcap: Double?) throws {
        let h = try rounded([6, 16], 1), w = try rounded([11, 16], 2), bias = try rounded([11], 3)
        let rows = try Tensor([4, 0, 2, 2, 3] as [Int64]), ids = try Tensor([0, 10, 3, 3, 7] as [Int64])
        var logits = try (linear(h, w) + bias).to(.float32) * scale
        if let softcap { logits = try (logits / softcap).tanh() * softcap }
        let expected = try logits.logSoftmax(dim: 1).selecting(rows)
            .gathered(ids.reshaped([-1, 1]), dim: 1).reshaped([-1])
        func head(_ w: Tensor, _ bias: Tensor) -> HeadWeights {
            HeadWeights(w, bias: bias, scale: scale, softcap: softcap, widens: true)
        }
        try expectClose(headLogProbs(h, head(w, bias), rows: rows, ids: ids), expected, within: 1e-6)

        // Gradients of input, weight and bias, those of the same in float32 but for bfloat16's own rounding.
        for trained in [[0], [0, 1], [0, 1, 2]] {
            func gradients(_ dtype: DType) throws -> [Tensor] {
                let leaves = try [h, w, bias].map { try $0.to(dtype).cloned() }
                for index in trained { try leaves[index].setRequiresGrad(true) }
                try headLogProbs(leaves[0], head(leaves[1], leaves[2]), rows: rows, ids: ids).sum().backward()
                return try trained.map { try #require(try leaves[$0].grad()).to(.float32) }
            }
            for (narrow, full) in try zip(gradients(.bfloat16), gradients(.float32)) {
                try expectClose(narrow, full, within: 2e-2)
            }
        }
        let other = (hidden: try rounded([6, 16], 7), head: head(w, bias))
        let wide = try headDivergence(
            h.to(.float32), head(w.to(.float32), bias.to(.float32)),
            from: (other.hidden.to(.float32), head(w.to(.float32), bias.to(.float32))), rows: rows)
        try expectClose(headDivergence(h, head(w, bias), from: other, rows: rows), wide, within: 2e-2)
    }
}
