import LFConfig
import LFDiagnostics
import LFNN
import LFOptimizers
import LFTorch
import Testing

private func isClose(_ actual: [Float], _ expected: [Float], tolerance: Float = 1e-6) -> Bool {
    actual.count == expected.count
        && zip(actual, expected).allSatisfy { abs($0 - $1) <= tolerance * max(1, abs($1)) }
}

private func parameter(_ name: String, _ values: [Float]) throws -> NamedParameter {
    let tensor = try Tensor(values)
    try tensor.setRequiresGrad(true)
    return NamedParameter(name: name, tensor: tensor)
}

@Suite struct OptimizerTests {
    @Test func biasesAndNormsDoNotDecay() {
        let decaying = [
            "model.layers.0.mlp.up_proj.weight", "lm_head.weight", "x.normalizer.weight", "abnorm.w",
        ]
        let others = [
            "model.norm.weight", "norm", "a.q_proj.bias", "self_attn.q_norm.weight",
            "h.input_layernorm.weight",
            "a.LayerNorm.weight", "RMSNorm_1.weight", "final_norm",
        ]
        #expect(decaying.filter(NamedParameter.decays) == decaying)
        #expect(others.filter(NamedParameter.decays).isEmpty)
    }

    /// By hand: at step 1 both bias-corrected moments make the step `lr · sign(g)`, after the decay `θ · (1 - lr · λ)`.
    /// Step 2: torch 2.13, `AdamW(lr=0.1, weight_decay=0.1 and 0, fused=True)`.
    @Test func adamWAgreesWithHandAndTorch() throws {
        let weight = try parameter("w.weight", [1, -2, 3])
        let bias = try parameter("w.bias", [0.5])
        let unused = try parameter("unused", [7])
        let optimizer = try AdamW([weight, bias, unused], weightDecay: 0.1)
        try weight.tensor.setGrad(Tensor([0.1, -0.2, 0.3] as [Float]))
        try bias.tensor.setGrad(Tensor([1] as [Float]))
        try optimizer.step(learningRate: 0.1)
        #expect(isClose(try weight.tensor.floats(), [0.89, -1.88, 2.87]))
        #expect(isClose(try bias.tensor.floats(), [0.4]))
        try weight.tensor.setGrad(Tensor([0.3, 0.2, -0.1] as [Float]))
        try bias.tensor.setGrad(Tensor([-1] as [Float]))
        try optimizer.step(learningRate: 0.1)
        #expect(isClose(try weight.tensor.floats(), [0.7893219, -1.8664632, 2.8012784]))
        #expect(isClose(try bias.tensor.floats(), [0.40526316]))
        #expect(try unused.tensor.floats() == [7])
    }

    /// `θ - lr · (g + λθ)`.
    @Test func sgdAddsDecayToTheGradient() throws {
        let weight = try parameter("w.weight", [1, -2])
        let bias = try parameter("w.bias", [3])
        let optimizer = SGD([weight, bias], weightDecay: 0.5)
        try weight.tensor.setGrad(Tensor([0.5, 1] as [Float]))
        try bias.tensor.setGrad(Tensor([2] as [Float]))
        try optimizer.step(learningRate: 0.1)
        #expect(isClose(try weight.tensor.floats(), [0.9, -2]))
        #expect(isClose(try bias.tensor.floats(), [2.8]))
        #expect(try weight.tensor.grad()?.floats() == [0.5, 1])
        try optimizer.zeroGrad()
        #expect(try weight.tensor.grad() == nil)
    }

    /// transformers 5.5.4, `Adafactor(lr=0.1, scale_parameter=False, relative_step=False)`: two experts' matrices in one weight.
    @Test func adafactorFactorsTheLastTwoDimensions() throws {
        let tensor = try Tensor((1...12).map { Float($0) / 4 }, [2, 2, 3])
        try tensor.setRequiresGrad(true)
        let optimizer = try Adafactor([NamedParameter(name: "experts", tensor: tensor)])
        let steps: [(gradient: [Float], weight: [Float])] = [
            (
                [0.1, -0.2, 0.3, 0.4, 0.05, -0.6, 1, 2, -3, 0.5, 0.25, -0.125],
                [
                    0.209425, 0.662299, 0.675184, 0.915989, 1.228997, 1.577455, 1.680413, 1.9228, 2.327733,
                    2.27273,
                    2.686967, 3.021156,
                ]
            ),
            (
                [-0.3, 0.2, 0.1, 0.4, -0.5, 0.6, 0.1, -0.2, 0.3, 0.5, 2.5, 1.25],
                [
                    0.364195, 0.550717, 0.637468, 0.82128, 1.357024, 1.473597, 1.664206, 1.934377, 2.309388,
                    2.181549,
                    2.524139, 2.93515,
                ]
            ),
        ]
        for step in steps {
            try tensor.setGrad(Tensor(step.gradient, [2, 2, 3]))
            try optimizer.step(learningRate: 0.1)
            #expect(isClose(try tensor.floats(), step.weight))
        }
        #expect(optimizer.state().map(\.tensor.shape) == [[2, 2], [2, 3], []])
    }

    @Test func theConfigurationChoosesTheOptimizer() throws {
        var arguments = TrainingArguments()
        arguments.weightDecay = 0.5
        arguments.optim = .sgd
        let sgd = try parameter("w", [2])
        let sgdOptimizer = try makeOptimizer([sgd], arguments)
        try sgd.tensor.setGrad(Tensor([0] as [Float]))
        try sgdOptimizer.step(learningRate: 0.1)
        #expect(isClose(try sgd.tensor.floats(), [1.9]))
        arguments.optim = .adamwTorch
        // With β₁ = 0.5 and a second gradient of 0: m̂ = 0.25 / 0.75, v̂ = 0.1875 / 0.4375 at β₂ = 0.75.
        (arguments.adamBeta1, arguments.adamBeta2, arguments.weightDecay) = (0.5, 0.75, 0)
        let adam = try parameter("w", [0])
        let adamOptimizer = try makeOptimizer([adam], arguments)
        try adam.tensor.setGrad(Tensor([1] as [Float]))
        try adamOptimizer.step(learningRate: 1)
        try adam.tensor.setGrad(Tensor([0] as [Float]))
        try adamOptimizer.step(learningRate: 1)
        #expect(
            isClose(try adam.tensor.floats(), [-1 - (0.25 / 0.75) / (0.1875 / 0.4375 as Float).squareRoot()]))
    }

    @Test func clippingScalesToTheNorm() throws {
        let a = try parameter("a", [0, 0]), b = try parameter("b", [0]), c = try parameter("c", [0])
        try a.tensor.setGrad(Tensor([3, 0] as [Float]))
        try b.tensor.setGrad(Tensor([4] as [Float]))
        for (maxNorm, scale) in [(10.0, 1.0), (0, nil), (1, 1 / 5.000001)] as [(Double, Double?)] {
            let clipping = try GradientClipping([a, b, c], maxNorm: maxNorm)
            #expect(try clipping.norm.item() == 5)
            let found = try clipping.scale?.item()
            #expect((found == nil) == (scale == nil))
            if let found, let scale { #expect(abs(found - scale) < 1e-7) }
        }
        #expect(try GradientClipping([c], maxNorm: 1).norm.item() == 0)
        #expect(try GradientClipping([c], maxNorm: 1).scale == nil)
        // An optimizer that cannot do it while it reads scales in place.
        let sgd = SGD([a, b, c], weightDecay: 0)
        try sgd.step(learningRate: 1, gradientScale: Tensor.scalar(0.5))
        #expect(try a.tensor.floats() == [-1.5, 0])
        #expect(try b.tensor.floats() == [-2])
    }

    /// Lengths that fill no, some and all of a vector, and more than one piece of a loop; float64 takes libtorch's own step.
    @Test(arguments: [(DType.float32, 1e-6), (.bfloat16, 1e-2)])
    func scalingWithinAStepIsScalingBeforeIt(_ dtype: DType, _ bound: Double) throws {
        let counts = [1, 15, 16, 40, 9000]
        /// Numbers that all types have.
        func numbers(_ count: Int, _ seed: Int, _ dtype: DType) throws -> Tensor {
            let tensor = try Tensor.zeros([count])
            try tensor.fillNormalInPlace(mean: 0, deviation: 1, Generator(seed: UInt64(seed)))
            return try tensor.to(.bfloat16).to(dtype)
        }
        func run(_ dtype: DType, within: Bool) throws -> [[Double]] {
            let parameters = try counts.enumerated().map { index, count in
                let tensor = try numbers(count, index, dtype)
                try tensor.setRequiresGrad(true)
                return NamedParameter(name: "w\(index).weight", tensor: tensor)
            }
            let optimizer = try AdamW(parameters, weightDecay: 0.1)
            for step in 0..<3 {
                for (index, parameter) in parameters.enumerated() where step != 1 || index != 2 {
                    let gradient = try numbers(counts[index], 100 + 10 * step + index, dtype)
                    if !within { try gradient.multiplyInPlace(0.25) }
                    try parameter.tensor.setGrad(gradient)
                }
                try optimizer.step(learningRate: 0.01, gradientScale: within ? Tensor.scalar(0.25) : nil)
                try optimizer.zeroGrad()
            }
            return try (parameters.map(\.tensor) + optimizer.state().map(\.tensor)).map { try $0.doubles() }
        }
        let within = try run(dtype, within: true)
        for other in try [run(dtype, within: false), run(.float64, within: false)] {
            for (result, wanted) in zip(within, other) {
                #expect(zip(result, wanted).allSatisfy { abs($0 - $1) <= bound * (1 + abs($1)) })
            }
        }
    }

    @Test func aRestoredStateContinuesBitForBit() throws {
        func gradient(_ step: Int) throws -> Tensor { try Tensor([Float(step) * 0.3, -1 / Float(step + 1)]) }
        func run(_ optimizer: AdamW, _ steps: Range<Int>) throws {
            for step in steps {
                try optimizer.parameters[0].tensor.setGrad(gradient(step))
                try optimizer.step(learningRate: 0.01)
            }
        }
        let whole = try parameter("w", [1, 2])
        try run(AdamW([whole], weightDecay: 0.1), 0..<6)

        let first = try parameter("w", [1, 2])
        let interrupted = try AdamW([first], weightDecay: 0.1)
        try run(interrupted, 0..<3)
        #expect(interrupted.state().map(\.name) == ["w.exp_avg", "w.exp_avg_sq", "w.step"])
        let resumed = try parameter("w", try first.tensor.floats())
        let other = try AdamW([resumed], weightDecay: 0.1)
        try other.load(interrupted.state())
        try run(interrupted, 3..<4)  // The copy must not follow the original.
        try run(other, 3..<6)
        #expect(try resumed.tensor.isIdentical(to: whole.tensor))
    }

    @Test func aStateThatDoesNotFitIsRefusedWhole() throws {
        let optimizer = try AdamW([parameter("w", [1, 2])])
        func problem(_ change: (inout [(name: String, tensor: Tensor)]) throws -> Void) throws -> String {
            var state = optimizer.state().map { (name: $0.name, tensor: $0.tensor) }
            try change(&state)
            return try #require(throws: UserError.self) { try optimizer.load(state) }.problem
        }
        let start = "the optimizer state does not match the trained parameters: "
        #expect(try problem { $0.removeFirst() } == start + #""w.exp_avg" is missing."#)
        #expect(
            try problem { $0.append(("v.step", try Tensor.zeros([]))) }
                == start + #""v.step" belongs to no trained parameter."#)
        #expect(
            try problem {
                $0[0].tensor = try Tensor.full([2], 9)
                $0[1].tensor = try Tensor.zeros([3])
            } == start + #""w.exp_avg_sq" is float32 [3], but float32 [2] is needed."#)
        #expect(try optimizer.state()[0].tensor.floats() == [0, 0])
        #expect(throws: UserError.self) { try SGD([]).load(optimizer.state()) }
    }
}
