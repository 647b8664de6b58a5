import LFTorch
import Testing

@Suite struct GatedActivationTests {
    /// Widths that fill no, some and all of a vector.
    @Test(arguments: [[4, 5], [3, 16], [2, 3, 37]]) func itIsItsFormula(_ shape: [Int]) throws {
        try expectSameFunction([randomTensor(shape, 1), randomTensor(shape, 2)]) {
            try siluMul($0[0], $0[1])
        } _: {
            try $0[0] * $0[0].sigmoid() * $0[1]
        }
    }

    /// Gate and values of one matrix: rows lie apart.
    @Test func halvesOfAMatrix() throws {
        for dtype in [DType.float64, .float32, .bfloat16] {
            try expectSameFunction([randomTensor([5, 44], 1, dtype)]) {
                try siluMul($0[0].slice(0..<22, dim: 1), $0[0].slice(22..<44, dim: 1))
            } _: {
                try siluMul(
                    $0[0].slice(0..<22, dim: 1).contiguous(), $0[0].slice(22..<44, dim: 1).contiguous())
            }
        }
    }

    /// A layer behind it that does not keep its input.
    @Test func layersFormTheirInputAgain() throws {
        let inputs = try [
            randomTensor([5, 7], 1), randomTensor([5, 7], 2), randomTensor([3, 7], 3), randomTensor([3], 4),
            randomTensor([2, 7], 5), randomTensor([3, 2], 6),
        ]
        try expectSameFunction(inputs) {
            try gatedLinear($0[0], $0[1], LinearOperands($0[2], bias: $0[3], adapter: ($0[4], $0[5], 0.7)))
        } _: {
            try loraLinear(siluMul($0[0], $0[1]), $0[2], bias: $0[3], a: $0[4], b: $0[5], scale: 0.7)
        }
        try expectSameFunction(Array(inputs.prefix(3))) {
            try gatedLinear($0[0], $0[1], LinearOperands($0[2], bias: nil))
        } _: {
            try linear(siluMul($0[0], $0[1]), $0[2])
        }
        // Halves of a matrix, of whose rows the first ones learn.
        try expectSameFunction(
            [randomTensor([6, 14], 7, .float32), randomTensor([3, 7], 8, .float32)], within: 1e-5
        ) { leaves in
            try learningFirst([(6, 4)]) { () throws(TorchError) in
                try gatedLinear(
                    leaves[0].slice(0..<7, dim: 1), leaves[0].slice(7..<14, dim: 1),
                    LinearOperands(leaves[1], bias: nil))
            }.slice(0..<4)
        } _: {
            try linear(siluMul($0[0].slice(0..<7, dim: 1), $0[0].slice(7..<14, dim: 1)), $0[1]).slice(0..<4)
        }
    }

    private func results(
        _ gate: Tensor, _ up: Tensor, _ body: (Tensor, Tensor) throws -> Tensor
    ) throws -> [Tensor] {
        let leaves = try [gate.cloned(), up.cloned()]
        for leaf in leaves { try leaf.setRequiresGrad(true) }
        let y = try body(leaves[0], leaves[1])
        try y.backward(grad: randomTensor(y.shape, 9).to(gate.dtype))
        return [try y.detached()] + (try leaves.map { try #require(try $0.grad()) })
    }

    /// Gates so large that the exponential overflows, and so small that it vanishes.
    @Test func float32IsAccurateEverywhere() throws {
        let gates: [Float] = [
            -1e30, -200, -88, -87, -30, -5, -1, -1e-3, 0, 1e-20, 0.5, 3, 20, 87, 89, 1e4, 1e30,
        ]
        let gate = try Tensor(gates), up = try randomTensor([gates.count], 2, .float32)
        let exact = try results(gate.to(.float64), up.to(.float64), siluMul)
        for (result, wanted) in try zip(results(gate, up, siluMul), exact) {
            try expectClose(result.to(.float64), wanted, within: 1e-6)
        }
    }

    /// What is in bfloat16 is rounded where separate operations round it.
    @Test func bfloat16RoundsAsAChainOfOperations() throws {
        let gate = try randomTensor([9, 77], 1, .bfloat16), up = try randomTensor([9, 77], 2, .bfloat16)
        let chain = try results(gate, up) { try $0.silu() * $1 }
        for (result, wanted) in try zip(results(gate, up, siluMul), chain) {
            let apart = try (result.to(.float64) - wanted.to(.float64)).abs()
            // At most a unit in the last place, and that seldom.
            #expect(try (apart / (wanted.to(.float64).abs() + 1e-30)).max().item() <= 1 / 128)
            #expect(try apart.doubles().filter { $0 != 0 }.count <= 7)
        }
    }

    @Test func otherTypesAndNothing() throws {
        let gate = try randomTensor([4, 6], 1), up = try randomTensor([4, 6], 2)
        let half = try siluMul(gate.to(.float16), up.to(.float16))
        try expectClose(half.to(.float64), siluMul(gate, up), within: 4e-3)
        #expect(try siluMul(.zeros([0, 4]), .zeros([0, 4])).shape == [0, 4])
    }
}
