import LFTorch
import Testing

@Suite struct LinearTests {
    /// The greatest error of a float32 result against float64, relative to the greatest value.
    func relativeError(_ actual: Tensor, _ exact: Tensor) throws -> Double {
        let difference = try (actual.to(.float64) - exact).abs().max().item()
        return try difference / exact.abs().max().item()
    }

    @Test(arguments: [
        [1, 1, 1], [1, 64, 7], [3, 17, 5], [33, 257, 65], [128, 64, 192], [200, 640, 96], [2, 4096, 16],
    ])
    func float32ProductsAreAccurate(_ sizes: [Int]) throws {
        let (tokens, inputs, outputs) = (sizes[0], sizes[1], sizes[2])
        let x = try randomTensor([tokens, inputs], 1, .float32)
        let w = try randomTensor([outputs, inputs], 2, .float32)
        let dy = try randomTensor([tokens, outputs], 3, .float32)
        for tensor in [x, w] { try tensor.setRequiresGrad(true) }
        let y = try linear(x, w)
        try y.backward(grad: dy)
        let (wideX, wideW, wideDY) = try (
            x.detached().to(.float64), w.detached().to(.float64), dy.to(.float64)
        )
        let (dx, dw) = try (#require(try x.grad()), #require(try w.grad()))
        for (result, exact) in try [
            (y.detached(), wideX.matmul(wideW.transposed())), (dx, wideDY.matmul(wideW)),
            (dw, wideDY.transposed().matmul(wideX)),
        ] {
            // Sums of up to 4096 products; observed at most 5e-7 on oneDNN and on MKL.
            let error = try relativeError(result, exact)
            #expect(error <= 2e-6, "\(result.shape): \(error)")
        }
    }

    @Test func linearIsItsFormula() throws {
        let (x, w, bias) = try (randomTensor([5, 4], 1), randomTensor([3, 4], 2), randomTensor([3], 3))
        try expectSameFunction([x, w, bias]) {
            try linear($0[0], $0[1], bias: $0[2])
        } _: {
            try $0[0].matmul($0[1].transposed()) + $0[2]
        }
        try expectSameFunction([x, w]) {
            try linear($0[0], $0[1])
        } _: {
            try $0[0].matmul($0[1].transposed())
        }
    }

    @Test func anAdaptedLayerIsItsFormula() throws {
        let inputs = try [
            randomTensor([5, 4], 1), randomTensor([3, 4], 2), randomTensor([2, 4], 3),
            randomTensor([3, 2], 4),
            randomTensor([3], 5),
        ]
        func plain(_ x: [Tensor]) throws -> Tensor {
            try x[0].matmul(x[1].transposed()) + x[0].matmul(x[2].transposed()).matmul(x[3].transposed())
                * 0.7
        }
        try expectSameFunction(inputs, "with bias") {
            try loraLinear($0[0], $0[1], bias: $0[4], a: $0[2], b: $0[3], scale: 0.7)
        } _: {
            try plain($0) + $0[4]
        }
        try expectSameFunction(Array(inputs.dropLast()), "without bias") {
            try loraLinear($0[0], $0[1], bias: nil, a: $0[2], b: $0[3], scale: 0.7)
        } _: {
            try plain($0)
        }
    }

    @Test func float32AdaptersTakeTheSamePathAsLargeOnes() throws {
        // Large enough that oneDNN's fused addition runs, checked against float64.
        let inputs = try [
            randomTensor([70, 96], 1, .float32), randomTensor([80, 96], 2, .float32),
            randomTensor([8, 96], 3, .float32), randomTensor([80, 8], 4, .float32),
            randomTensor([80], 5, .float32),
        ]
        func run(_ inputs: [Tensor]) throws -> [Tensor] {
            let leaves = try inputs.map { try $0.cloned() }
            for leaf in leaves { try leaf.setRequiresGrad(true) }
            let y = try loraLinear(
                leaves[0], leaves[1], bias: leaves[4], a: leaves[2], b: leaves[3], scale: 2)
            try y.backward(grad: randomTensor([70, 80], 9).to(y.dtype))
            return [try y.detached()] + (try leaves.map { try #require(try $0.grad()) })
        }
        let narrow = try run(inputs)
        let wide = try run(inputs.map { try $0.to(.float64) })
        for (index, (result, exact)) in zip(narrow, wide).enumerated() {
            let error = try relativeError(result, exact)
            #expect(error <= 2e-6, "\(index): \(error)")
        }
    }

    @Test func aWeightOfAnotherTypeIsConverted() throws {
        let x = try randomTensor([4, 8], 1, .bfloat16)
        let w = try randomTensor([6, 8], 2, .float32)
        for tensor in [x, w] { try tensor.setRequiresGrad(true) }
        let y = try linear(x, w)
        #expect(y.dtype == .bfloat16)
        try y.sum().backward()
        #expect(try x.grad()?.dtype == .bfloat16)
        #expect(try w.grad()?.dtype == .float32)
        try expectClose(
            y.to(.float64), x.to(.float64).matmul(w.to(.bfloat16).to(.float64).transposed()), within: 1.6e-2)
    }

    @Test func emptyInputs() throws {
        #expect(try linear(.zeros([0, 4]), .zeros([3, 4])).shape == [0, 3])
        let x = try Tensor.zeros([0, 4])
        let y = try loraLinear(
            x, .zeros([3, 4]), bias: .zeros([3]), a: .zeros([2, 4]), b: .zeros([3, 2]), scale: 1)
        #expect(y.shape == [0, 3])
    }
}
