package import LFNN
import LFStream
package import LFTorch

/// A short causal convolution of each channel over the tokens of its sequence.
///
/// Its state is the inputs that the next tokens still see.
package final class CausalConvolution {
    /// `[channels, 1, taps]`, the token's own tap last.
    private let weight: Parameter
    /// `[channels]`
    private let bias: Parameter?
    private let taps: Int

    /// - Parameter taps: How many tokens each output sees.
    package init(_ channels: Int, taps: Int, bias: Bool = false, _ weights: WeightScope) throws {
        weight = try weights.parameter("weight", [channels, 1, taps], .other)
        self.bias = bias ? try weights.parameter("bias", [channels], .bias) : nil
        self.taps = taps
    }

    /// - Parameters:
    ///   - x: `[T, channels]`.
    ///   - layer: The block's number; the state is the first of its states.
    /// - Returns: `[T, channels]`.
    package func callAsFunction(_ x: Tensor, _ pass: Pass, layer: Int) throws(TorchError) -> Tensor {
        var mixed: Tensor
        if let cached = pass.cached {
            mixed =
                if cached.visible != nil {
                    try step(x, cached.states, layer)
                } else {
                    try continued(x, pass, cached.states, layer)
                }
        } else {
            mixed = try segmentConvolution(x, weight.tensor, pass.stream.segments)
        }
        if let bias { mixed = try mixed + bias.tensor.to(x.dtype) }
        return mixed
    }

    /// Sequences that begin here, or go on from their states: what these hold stands in front of each.
    private func continued(
        _ x: Tensor, _ pass: Pass, _ states: [LayerStates], _ layer: Int
    ) throws(TorchError) -> Tensor {
        let held = taps - 1
        var parts: [Tensor] = [], ranges: [Range<Int>] = []
        var end = 0
        for (segment, state) in zip(pass.stream.host.segments, states) {
            let nothing = try Tensor.zeros([held, x.dim(1)], x.dtype, on: x.device)
            let rows = try Tensor.concatenated([state[layer].first ?? nothing, x.slice(segment.range)])
            let count = rows.dim(0)
            state.set(try rows.slice(count - held..<count).cloned(), at: 0, of: layer)
            parts.append(rows)
            ranges.append(end..<end + count)
            end += count
        }
        let mixed = try segmentConvolution(
            .concatenated(parts), weight.tensor, pass.segments(lengthenedBy: held))
        var results: [Tensor] = []
        for range in ranges { results.append(try mixed.slice(range.lowerBound + held..<range.upperBound)) }
        return try Tensor.concatenated(results).followedByZeros(x.dim(0))
    }

    /// One token of each sequence.
    private func step(_ x: Tensor, _ states: [LayerStates], _ layer: Int) throws(TorchError) -> Tensor {
        let count = states.count, channels = x.dim(1)
        let nothing = try Tensor.zeros([taps - 1, channels], x.dtype, on: x.device)
        let before = try Tensor.stacked(states.map { $0[layer].first ?? nothing })
        let seen = try Tensor.concatenated(
            [before, x.slice(0..<count).reshaped([count, 1, channels])], dim: 1)
        for (index, state) in states.enumerated() {
            let window = try seen.slice(index..<index + 1).reshaped([taps, channels])
            state.set(try window.slice(1..<taps).cloned(), at: 0, of: layer)
        }
        let wide = x.dtype == .float64 ? x.dtype : .float32
        let weights = try weight.tensor.detached().to(wide).reshaped([channels, taps]).transposed()
        let mixed = try (seen.to(wide) * weights).sum(dim: 1).to(x.dtype)
        return try mixed.followedByZeros(x.dim(0))
    }
}

extension LayerStates {
    /// Puts one of a layer's states in its place.
    func set(_ state: Tensor, at index: Int, of layer: Int) {
        var states = self[layer]
        if index < states.count { states[index] = state } else { states.append(state) }
        self[layer] = states
    }
}

extension Tensor {
    /// The rows of a step, filled up to the rows of its stream.
    func followedByZeros(_ rows: Int) throws(TorchError) -> Tensor {
        guard rows > dim(0) else { return self }
        return try .concatenated([self, .zeros([rows - dim(0)] + shape.dropFirst(), dtype, on: device)])
    }
}
