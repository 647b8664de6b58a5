import LFTorch
import Testing

/// Layers of one input in one step are the layers one by one.
@Suite struct LinearGroupTests {
    /// Three layers: a plain one, one with a bias and an adapter, one with an adapter of another rank.
    private func inputs(
        _ tokens: Int, _ width: Int, _ outputs: [Int], _ dtype: DType = .float64
    ) throws -> [Tensor] {
        let shapes = [
            [tokens, width], [outputs[0], width], [outputs[1], width], [outputs[1]], [4, width],
            [outputs[1], 4],
            [outputs[2], width], [3, width], [outputs[2], 3],
        ]
        return try shapes.enumerated().map { try randomTensor($1, UInt64($0 + 1), dtype) }
    }

    private func together(_ t: [Tensor]) throws -> [Tensor] {
        try linears(
            t[0],
            [
                LinearOperands(t[1], bias: nil),
                LinearOperands(t[2], bias: t[3], adapter: (t[4], t[5], 0.7)),
                LinearOperands(t[6], bias: nil, adapter: (t[7], t[8], 2)),
            ])
    }

    private func oneByOne(_ t: [Tensor]) throws -> [Tensor] {
        [
            try linear(t[0], t[1]), try loraLinear(t[0], t[2], bias: t[3], a: t[4], b: t[5], scale: 0.7),
            try loraLinear(t[0], t[6], bias: nil, a: t[7], b: t[8], scale: 2),
        ]
    }

    @Test func aGroupIsItsLayers() throws {
        try expectSameFunction(inputs(5, 4, [3, 6, 2])) {
            try .concatenated(together($0), dim: 1)
        } _: {
            try .concatenated(oneByOne($0), dim: 1)
        }
    }

    /// An output that nothing depends on hands nothing back.
    @Test func unusedOutputsHaveNoGradient() throws {
        for used in 0..<3 {
            func gradients(_ body: ([Tensor]) throws -> [Tensor]) throws -> [Tensor?] {
                let leaves = try inputs(5, 4, [3, 6, 2]).map { try $0.cloned() }
                for leaf in leaves { try leaf.setRequiresGrad(true) }
                try body(leaves)[used].sum().backward()
                return try leaves.map { try $0.grad() }
            }
            for (index, (grad, wanted)) in try zip(gradients(together), gradients(oneByOne)).enumerated() {
                #expect((grad == nil) == (wanted == nil), "output \(used), input \(index)")
                if let grad, let wanted { try expectClose(grad, wanted, within: 1e-12) }
            }
        }
    }

    /// As large as products that libraries take, in the types that are trained in.
    @Test(arguments: [(DType.float32, 2e-6), (.bfloat16, 2e-2)])
    func narrowTypesAgreeWithFloat64(_ dtype: DType, _ bound: Double) throws {
        func run(_ tensors: [Tensor]) throws -> [Tensor] {
            let leaves = try tensors.map { try $0.cloned() }
            for leaf in leaves { try leaf.setRequiresGrad(true) }
            let y = try Tensor.concatenated(together(leaves), dim: 1)
            try y.backward(grad: randomTensor(y.shape, 9).to(dtype).to(y.dtype))
            return [try y.detached()] + (try leaves.map { try #require(try $0.grad()) })
        }
        let narrow = try inputs(70, 96, [80, 64, 48], dtype)
        let exact = try run(narrow.map { try $0.to(.float64) })
        for (index, (result, wanted)) in try zip(run(narrow), exact).enumerated() {
            #expect(result.dtype == dtype)
            let error = try (result.to(.float64) - wanted).abs().max().item() / wanted.abs().max().item()
            #expect(error <= bound, "\(index): \(error)")
        }
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let t = try inputs(5, 4, [3, 6, 2])
        #expect(throws: TorchError.self) {
            try linears(t[0], [LinearOperands(.zeros([3, 5], .float64), bias: nil)])
        }
        #expect(throws: TorchError.self) {
            try linears(t[0], [LinearOperands(t[1], bias: nil, adapter: (t[4], t[5], 1))])
        }
        #expect(try linears(.zeros([0, 4], .float64), [LinearOperands(t[1], bias: nil)])[0].shape == [0, 3])
    }
}
