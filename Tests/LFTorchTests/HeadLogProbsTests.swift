import LFTorch
import Testing

@Suite struct HeadLogProbsTests {
    /// Log-softmax of whole logits, then the chosen entries.
    func writtenOut(
        _ h: Tensor, _ w: Tensor, _ rows: Tensor, _ ids: Tensor, scale: Double = 1, softcap: Double? = nil
    ) throws -> Tensor {
        var logits = try h.matmul(w.transposed()) * scale
        if let softcap { logits = try (logits / softcap).tanh() * softcap }
        return try logits.logSoftmax(dim: 1).selecting(rows).gathered(ids.reshaped([-1, 1]), dim: 1).reshaped(
            [-1])
    }

    let rows: [Int64] = [4, 0, 2, 2, 3]
    let ids: [Int64] = [0, 10, 3, 3, 7]

    @Test(arguments: [(1.0, nil), (0.3, nil), (1.0, 2.5), (0.5, 1.5)] as [(Double, Double?)])
    func isLogSoftmaxOfTheChosenIDs(_ scale: Double, _ softcap: Double?) throws {
        let (rows, ids) = (try Tensor(self.rows), try Tensor(self.ids))
        let (h, w) = try (randomTensor([6, 4], 1), randomTensor([11, 4], 2))
        try expectSameFunction([h, w]) {
            try headLogProbs($0[0], HeadWeights($0[1], scale: scale, softcap: softcap), rows: rows, ids: ids)
        } _: {
            try writtenOut($0[0], $0[1], rows, ids, scale: scale, softcap: softcap)
        }
    }

    @Test(arguments: [(1.0, nil), (0.5, 1.5)] as [(Double, Double?)])
    func aBiasIsPartOfTheLogits(_ scale: Double, _ softcap: Double?) throws {
        let (rows, ids) = (try Tensor(self.rows), try Tensor(self.ids))
        try expectSameFunction([randomTensor([6, 4], 1), randomTensor([11, 4], 2), randomTensor([11], 3)]) {
            let head = HeadWeights($0[1], bias: $0[2], scale: scale, softcap: softcap)
            return try headLogProbs($0[0], head, rows: rows, ids: ids)
        } _: {
            var logits = try ($0[0].matmul($0[1].transposed()) + $0[2]) * scale
            if let softcap { logits = try (logits / softcap).tanh() * softcap }
            return try logits.logSoftmax(dim: 1).selecting(rows).gathered(ids.reshaped([-1, 1]), dim: 1)
                .reshaped([-1])
        }
    }

    /// A trained head that is told what its scores' gradients will be has the same ones, also where it was told wrong.
    @Test(arguments: [(1.0, nil), (0.5, 1.5)] as [(Double, Double?)])
    func gradientsMayBeFormedEarly(_ scale: Double, _ softcap: Double?) throws {
        let (rows, ids) = (try Tensor(self.rows), try Tensor(self.ids))
        let inputs = try [randomTensor([6, 4], 1), randomTensor([11, 4], 2), randomTensor([11], 3)]
        let uses = try Tensor([1, 3, 0, 1, 2] as [Double])
        for (weights, expected) in [(uses, uses), (try uses * -0.3, uses), (try uses + 1, uses)] {
            func loss(_ leaves: [Tensor], _ expected: Tensor?) throws -> Tensor {
                let head = HeadWeights(leaves[1], bias: leaves[2], scale: scale, softcap: softcap)
                let scores = try headScores(leaves[0], head, rows: rows, ids: ids, expected: expected)
                return try (scores.logProbs * weights).sum()
            }
            try expectSameFunction(inputs) {
                try loss($0, expected)
            } _: {
                try loss($0, nil)
            }
        }
    }

    @Test func agreesWithDifferences() throws {
        let (rows, ids) = (try Tensor(self.rows), try Tensor(self.ids))
        try expectGradient(of: [randomTensor([6, 4], 1), randomTensor([11, 4], 2)]) {
            try headLogProbs($0[0], HeadWeights($0[1], scale: 0.5, softcap: 2), rows: rows, ids: ids)
        }
    }

    /// 65536 float64 tokens make chunks of 128 rows; 300 targets make three, above the 128 MiB that are kept for the backward.
    @Test(arguments: [100, 300]) func chunksAddUp(_ count: Int) throws {
        let vocabulary = 1 << 16
        let rows = try Tensor((0..<count).map { Int64($0 * 7 % 50) })
        let ids = try Tensor((0..<count).map { Int64($0 * 7919 % vocabulary) })
        let (h, w) = try (randomTensor([50, 3], 1), randomTensor([vocabulary, 3], 2))
        try expectSameFunction([h, w], within: 1e-11) {
            try headLogProbs($0[0], HeadWeights($0[1]), rows: rows, ids: ids)
        } _: {
            try writtenOut($0[0], $0[1], rows, ids)
        }
    }

    @Test func noTargetsAndOneTarget() throws {
        let none = try Tensor([] as [Int64])
        let (h, w) = try (randomTensor([3, 4], 1), randomTensor([5, 4], 2))
        for tensor in [h, w] { try tensor.setRequiresGrad(true) }
        let empty = try headScores(h, HeadWeights(w), rows: none, ids: none, accuracy: true)
        #expect(empty.logProbs.shape == [0] && empty.correct?.shape == [0])
        try empty.logProbs.sum().backward()
        #expect(try h.grad()?.abs().max().item() == 0)
        #expect(try w.grad()?.abs().max().item() == 0)
        let (row, id) = try (Tensor([0 as Int64]), Tensor([4 as Int64]))
        try expectSameFunction([randomTensor([1, 4], 1), randomTensor([5, 4], 2)]) {
            try headLogProbs($0[0], HeadWeights($0[1]), rows: row, ids: id)
        } _: {
            try writtenOut($0[0], $0[1], row, id)
        }
    }

    @Test(arguments: [DType.float32, .float64, .bfloat16]) func theFirstOfEqualLogitsLeads(
        _ dtype: DType
    ) throws {
        // With an identity for a head the logits are the hidden states.
        let h = try Tensor([1, 3, 3, 0, 2, 2, 2, 2, -1, -2, -3, 5] as [Float], [3, 4]).to(dtype)
        let w = try Tensor((0..<16).map { $0 % 5 == 0 ? 1 : 0 } as [Float], [4, 4]).to(dtype)
        let rows = try Tensor([0, 0, 0, 1, 1, 2, 2] as [Int64])
        let ids = try Tensor([1, 2, 0, 0, 3, 3, 0] as [Int64])
        let scores = try headScores(h, HeadWeights(w), rows: rows, ids: ids, accuracy: true)
        let (logProbs, correct) = (scores.logProbs, try #require(scores.correct))
        #expect(try correct.bools() == [true, false, false, true, false, true, false])
        #expect(try logProbs.isIdentical(to: headLogProbs(h, HeadWeights(w), rows: rows, ids: ids)))
        #expect(!correct.requiresGrad)
    }

    @Test func float32AndBFloat16() throws {
        let (h, w) = try (randomTensor([40, 16], 1, .float32), randomTensor([500, 16], 2, .float32))
        let rows = try Tensor((0..<40).map { Int64($0) })
        let ids = try Tensor((0..<40).map { Int64($0 * 12) })
        let cotangent = try randomTensor([40], 3, .float32)
        for dtype in [DType.float32, .bfloat16] {
            let (narrowH, narrowW) = try (h.to(dtype).cloned(), w.to(dtype).cloned())
            let (wideH, wideW) = try (narrowH.to(.float64), narrowW.to(.float64))
            for trains in [[true, false], [false, true], [true, true]] {
                for (tensor, isTrained) in zip([narrowH, narrowW, wideH, wideW], trains + trains) {
                    try tensor.setGrad(nil)
                    try tensor.setRequiresGrad(isTrained)
                }
                let result = try headLogProbs(narrowH, HeadWeights(narrowW), rows: rows, ids: ids)
                #expect(result.dtype == .float32)
                try result.backward(grad: cotangent)
                let exact = try writtenOut(wideH, wideW, rows, ids)
                try exact.backward(grad: cotangent.to(.float64))
                let bound = dtype == .float32 ? 1e-5 : 3e-2
                try expectClose(result.to(.float64), exact, within: bound, "\(dtype)")
                for (a, b) in [(narrowH, wideH), (narrowW, wideW)] where b.requiresGrad {
                    try expectClose(
                        #require(try a.grad()).to(.float64), #require(try b.grad()), within: bound,
                        "\(dtype) \(trains)")
                }
            }
        }
    }

    @Test func certaintyAndImpossibilityStayFinite() throws {
        let h = try Tensor([1000, 0] as [Float], [1, 2])
        let w = try Tensor([1, 0, 0, 1] as [Float], [2, 2])
        let rows = try Tensor([0, 0] as [Int64])
        let values = try headLogProbs(h, HeadWeights(w), rows: rows, ids: Tensor([0, 1] as [Int64])).floats()
        #expect(values == [0, -1000])
    }

    @Test func nanLogitsGiveNaN() throws {
        let h = try Tensor([Float.nan, 0], [1, 2])
        let w = try Tensor([1, 0, 0, 1] as [Float], [2, 2])
        let value = try headLogProbs(h, HeadWeights(w), rows: Tensor([0 as Int64]), ids: Tensor([1 as Int64]))
            .item()
        #expect(value.isNaN)
    }

    @Test func targetsOutsideAreRefused() throws {
        let (h, w) = try (Tensor.zeros([3, 4]), Tensor.zeros([5, 4]))
        func isRefused(_ rows: [Int64], _ ids: [Int64]) throws -> Bool {
            let (rows, ids) = (try Tensor(rows), try Tensor(ids))
            do {
                _ = try headLogProbs(h, HeadWeights(w), rows: rows, ids: ids)
                return false
            } catch { return error.kind == .invalidArgument }
        }
        #expect(try isRefused([0], [5]))
        #expect(try isRefused([0], [-1]))
        #expect(try isRefused([3], [0]))
        #expect(try isRefused([-1], [0]))
        #expect(try isRefused([0, 1], [0]))
        #expect(throws: TorchError.self) {
            try headLogProbs(
                h, HeadWeights(.zeros([5, 3])), rows: .zeros([1], .int64), ids: .zeros([1], .int64))
        }
    }
}
