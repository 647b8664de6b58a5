package import LFModelConfig
package import LFNN
package import LFTorch

/// Linear attention by the gated delta rule (Yang et al. 2024, arXiv 2412.06464) behind a short convolution, its heads
/// normalised and gated.
package final class GatedDeltaNet: TokenMixer {
    /// The sizes of the layer; each key head serves `valueHeads / keyHeads` consecutive value heads.
    package struct Shape: Sendable {
        package var hidden: Int
        package var keyHeads: Int
        package var valueHeads: Int
        package var keyDim: Int
        package var valueDim: Int
        /// How many tokens the convolution sees.
        package var taps: Int

        package init(
            hidden: Int, keyHeads: Int, valueHeads: Int, keyDim: Int, valueDim: Int, taps: Int
        ) {
            (self.hidden, self.keyHeads, self.valueHeads) = (hidden, keyHeads, valueHeads)
            (self.keyDim, self.valueDim, self.taps) = (keyDim, valueDim, taps)
        }

        var keyWidth: Int { keyHeads * keyDim }
        var valueWidth: Int { valueHeads * valueDim }
        /// Value heads of a key head.
        var group: Int { valueHeads / keyHeads }
    }

    private let shape: Shape
    private let layer: Int
    private let activation: Activation
    /// `[valueHeads]`
    private let decayBias: Parameter
    /// `[valueHeads]`: the logarithm of how fast a head forgets.
    private let decayLog: Parameter
    private let convolution: CausalConvolution
    private let inputs: Linear
    private let controls: Linear
    private let norm: RMSNorm
    private let output: Linear

    /// - Parameters:
    ///   - layer: The block's number.
    ///   - activation: Behind the convolution.
    package init(
        _ shape: Shape, layer: Int, _ activation: Activation, epsilon: Double, _ weights: WeightScope
    ) throws {
        self.shape = shape
        self.layer = layer
        self.activation = activation
        decayBias = try weights.parameter("dt_bias", [shape.valueHeads], .other, start: .ones)
        decayLog = try weights.parameter(
            "A_log", [shape.valueHeads], .other, start: .logUniform(0, 16))
        convolution = try CausalConvolution(
            2 * shape.keyWidth + shape.valueWidth, taps: shape.taps, weights / "conv1d")
        inputs = try Linear(
            shape.hidden, 2 * shape.keyWidth + 2 * shape.valueWidth, weights / "in_proj_qkvz")
        controls = try Linear(shape.hidden, 2 * shape.valueHeads, weights / "in_proj_ba")
        norm = try RMSNorm(shape.valueDim, epsilon: epsilon, weights / "norm")
        output = try Linear(shape.valueWidth, shape.hidden, weights / "out_proj", .output)
    }

    package var cache: LayerCache { .state }

    /// What the projection gives, the convolution's input and output, what the rule reads, and the heads before and after their
    /// gate.
    package var activationsPerToken: Int { 8 * shape.keyWidth + 8 * shape.valueWidth }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor {
        let tokens = x.dim(0), values = shape.group * shape.valueDim
        let all = try inputs(x).reshaped([tokens, shape.keyHeads, 2 * shape.keyDim + 2 * values])
        func part(_ start: Int, _ width: Int) throws(TorchError) -> Tensor {
            try all.slice(start..<start + width, dim: 2).reshaped([tokens, shape.keyHeads * width])
        }
        let joint = try Tensor.concatenated(
            [
                part(0, shape.keyDim), part(shape.keyDim, shape.keyDim), part(2 * shape.keyDim, values),
            ], dim: 1)
        let open = try pass.read(part(2 * shape.keyDim + values, values))
        let gate = try open.reshaped([open.dim(0), shape.valueHeads, shape.valueDim])
        let mixed = try activation(convolution(joint, pass, layer: layer))
        let heads = try pass.read(recurrence(deltaInputs(mixed, x), pass))
        let wide = x.dtype == .float64 ? x.dtype : .float32
        let gated = try (norm(heads).to(wide) * gate.to(wide).silu()).to(x.dtype)
        return try output(gated.reshaped([gated.dim(0), shape.valueWidth]))
    }

    /// - Parameters:
    ///   - mixed: Queries, keys and values behind the convolution.
    ///   - x: The layer's input; decays and rates are computed from it.
    private func deltaInputs(_ mixed: Tensor, _ x: Tensor) throws(TorchError) -> DeltaInputs {
        let tokens = x.dim(0), key = shape.keyWidth, wide: DType = x.dtype == .float64 ? x.dtype : .float32
        func heads(_ range: Range<Int>, _ count: Int) throws(TorchError) -> Tensor {
            try mixed.slice(range, dim: 1).reshaped([tokens, count, range.count / count])
        }
        let both = try controls(x).to(wide).reshaped([tokens, shape.keyHeads, 2 * shape.group])
        func control(_ range: Range<Int>) throws(TorchError) -> Tensor {
            try both.slice(range, dim: 2).reshaped([tokens, shape.valueHeads])
        }
        let step = try softplus(control(shape.group..<2 * shape.group) + decayBias.tensor.to(wide))
        return DeltaInputs(
            queries: try heads(0..<key, shape.keyHeads), keys: try heads(key..<2 * key, shape.keyHeads),
            values: try heads(2 * key..<2 * key + shape.valueWidth, shape.valueHeads),
            decay: try -decayLog.tensor.to(wide).exp() * step,
            rate: try control(0..<shape.group).sigmoid())
    }

    /// What sequences go on from, `[sequences, valueHeads, keyDim, valueDim]`.
    ///
    /// - Parameter fills: Whether one more follows that begins with nothing: what fills the stream up.
    private func initialStates(
        _ states: [LayerStates], _ inputs: DeltaInputs, andNothing fills: Bool = false
    ) throws(TorchError) -> Tensor {
        let nothing = try Tensor.zeros(
            [1, shape.valueHeads, shape.keyDim, shape.valueDim], inputs.decay.dtype, on: inputs.values.device)
        let held = states.map { $0[layer].count > 1 ? $0[layer][1] : nothing }
        return try .concatenated(held + (fills ? [nothing] : []))
    }

    /// The rule itself; its state is the second of the layer's states.
    private func recurrence(_ inputs: DeltaInputs, _ pass: Pass) throws(TorchError) -> Tensor {
        guard let cached = pass.cached else { return try gatedDeltaRule(inputs, pass.stream.segments) }
        let result: (output: Tensor, states: Tensor)
        if cached.visible == nil {
            let isFilledUp = inputs.values.dim(0) > pass.stream.tokenCount
            result = try gatedDeltaStates(
                inputs, pass.stream.segments,
                from: initialStates(cached.states, inputs, andNothing: isFilledUp))
        } else {
            result = try gatedDeltaStep(
                inputs.rows(cached.states.count), initialStates(cached.states, inputs))
        }
        for (index, state) in cached.states.enumerated() {
            // A slice alone would share, and keep, the states of all sequences of the pass.
            state.set(try result.states.slice(index..<index + 1).cloned(), at: 1, of: layer)
        }
        return try result.output.followedByZeros(inputs.values.dim(0))
    }
}

/// `log(1 + eˣ)`, which is x where that is large.
private func softplus(_ x: Tensor) throws(TorchError) -> Tensor {
    let limit = 20.0
    return try .choose(x .> limit, x, x.clamped(max: limit).exp().log1p())
}

extension DeltaInputs {
    /// The first rows of all.
    fileprivate func rows(_ count: Int) throws(TorchError) -> DeltaInputs {
        guard values.dim(0) > count else { return self }
        return DeltaInputs(
            queries: try queries.slice(0..<count), keys: try keys.slice(0..<count),
            values: try values.slice(0..<count), decay: try decay.slice(0..<count),
            rate: try rate.slice(0..<count))
    }
}
