import LFTorch
import Testing

/// Rows in groups, each with a matrix of its own.
@Suite struct GroupedLinearTests {
    /// The same by one product per group.
    private func writtenOut(_ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ counts: [Int]) throws -> Tensor {
        var row = 0
        var parts: [Tensor] = []
        for (group, count) in counts.enumerated() {
            let matrix = try w.slice(group..<group + 1).reshaped([w.dim(1), w.dim(2)])
            var part = try x.slice(row..<row + count).matmul(matrix.transposed())
            if let bias { part = try part + bias.slice(group..<group + 1) }
            parts.append(part)
            row += count
        }
        return try .concatenated(parts)
    }

    /// Groups of no row, of one and of many.
    @Test(arguments: [[3, 0, 1, 20], [0, 0, 0, 5], [7, 0, 0, 0]], [true, false])
    func isAProductPerGroup(_ counts: [Int], _ hasBias: Bool) throws {
        let rows = counts.reduce(0, +)
        var inputs = [try randomTensor([rows, 5], 1), try randomTensor([4, 6, 5], 2)]
        if hasBias { inputs.append(try randomTensor([4, 6], 3)) }
        try expectSameFunction(inputs) {
            try groupedLinear($0[0], $0[1], bias: hasBias ? $0[2] : nil, counts: counts)
        } _: {
            try writtenOut($0[0], $0[1], hasBias ? $0[2] : nil, counts)
        }
    }

    @Test func byHandAndWithoutRows() throws {
        let x = try Tensor([1, 2, 3, 4] as [Float], [2, 2])
        let w = try Tensor([1, 0, 0, 1, 2, 0, 0, 3] as [Float], [2, 2, 2])
        #expect(try groupedLinear(x, w, counts: [1, 1]).floats() == [1, 2, 6, 12])
        #expect(try groupedLinear(x, w, counts: [0, 2]).floats() == [2, 6, 6, 12])
        #expect(try groupedLinear(.zeros([0, 2]), w, counts: [0, 0]).shape == [0, 2])
    }

    /// Weights of another type than the stream's give gradients in their own; frozen ones take none.
    @Test(arguments: [DType.float32, .bfloat16]) func weightsOfAnotherType(_ dtype: DType) throws {
        let counts = [9, 0, 20]
        let x = try randomTensor([29, 8], 1, .bfloat16)
        let w = try randomTensor([3, 4, 8], 2).to(dtype)
        let exact = try writtenOut(x.to(.float64), w.to(.float64), nil, counts)
        #expect(
            try withoutGrad { () throws(TorchError) in try groupedLinear(x, w, counts: counts) }.dtype
                == .bfloat16)
        try x.setRequiresGrad(true)
        try w.setRequiresGrad(true)
        let y = try groupedLinear(x, w, counts: counts)
        try expectClose(y.detached().to(.float64), exact, within: 3e-2)
        try y.backward(grad: randomTensor([29, 4], 3, .bfloat16))
        #expect(try w.grad()?.dtype == dtype && x.grad()?.dtype == .bfloat16)
        let grad = try #require(try w.grad())
        #expect(try grad.slice(1..<2).doubles().allSatisfy { $0 == 0 })
    }

    /// float32 goes through micro-kernels in blocks; sizes at and around their borders.
    @Test(arguments: [[1, 15, 0, 16, 17], [64, 65], [191, 192, 193], [3]], [(70, 530), (64, 16), (5, 1)])
    func blocksHaveNoSeams(_ counts: [Int], _ sizes: (out: Int, in: Int)) throws {
        let rows = counts.reduce(0, +)
        let x = try randomTensor([rows, sizes.in], 1),
            w = try randomTensor([counts.count, sizes.out, sizes.in], 2)
        let bias = try randomTensor([counts.count, sizes.out], 3),
            dy = try randomTensor([rows, sizes.out], 4)
        func run(_ dtype: DType, _ recorded: Bool = true) throws -> [Tensor] {
            let inputs = try [x, w, bias].map { try $0.to(dtype).cloned() }
            for input in inputs { try input.setRequiresGrad(recorded) }
            let y = try groupedLinear(inputs[0], inputs[1], bias: inputs[2], counts: counts)
            guard recorded else { return [y] }
            try y.backward(grad: dy.to(dtype))
            return try [y.detached()] + inputs.map { try #require(try $0.grad()) }
        }
        let exact = try run(.float64), narrow = try run(.float32)
        for (one, other) in zip(narrow, exact) {
            #expect(one.shape == other.shape)
            let scale = try other.abs().max().item() + 1
            try expectClose(one.to(.float64) / scale, other / scale, within: 2e-6)
        }
        let plain = try run(.float32, false)[0].to(.float64), scale = try exact[0].abs().max().item() + 1
        try expectClose(plain / scale, exact[0] / scale, within: 2e-6)
    }

    /// A few rows without gradients, as in decoding, go another way to the same numbers.
    @Test(arguments: [DType.float32, .bfloat16]) func fewRowsAreTheSame(_ dtype: DType) throws {
        let x = try randomTensor([10, 64], 1, dtype), w = try randomTensor([4, 33, 64], 2, dtype)
        let counts = [1, 3, 0, 6]
        let few = try withoutGrad { () throws(TorchError) in try groupedLinear(x, w, counts: counts) }
        let exact = try writtenOut(x.to(.float64), w.to(.float64), nil, counts)
        try expectClose(few.to(.float64), exact, within: dtype == .float32 ? 1e-4 : 0.2)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let x = try Tensor.zeros([3, 2]), w = try Tensor.zeros([2, 4, 2])
        #expect(throws: TorchError.self) { try groupedLinear(x, w, counts: [1, 1]) }
        #expect(throws: TorchError.self) { try groupedLinear(x, w, counts: [3]) }
        #expect(throws: TorchError.self) { try groupedLinear(x, .zeros([2, 4, 3]), counts: [1, 2]) }
        #expect(throws: TorchError.self) { try groupedLinear(x, w, bias: .zeros([2, 3]), counts: [1, 2]) }
    }
}
