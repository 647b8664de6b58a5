package import LFNN
package import LFTorch

/// A gated short convolution: `W_out(C ⊙ conv(B ⊙ x))` with `(B, C, x) = W_in h`.
package final class ShortConvolution: TokenMixer {
    private let layer: Int
    private let convolution: CausalConvolution
    private let input: Linear
    private let output: Linear

    /// - Parameters:
    ///   - layer: The block's number.
    ///   - taps: How many tokens each output sees.
    package init(_ hidden: Int, taps: Int, bias: Bool, layer: Int, _ weights: WeightScope) throws {
        self.layer = layer
        convolution = try CausalConvolution(hidden, taps: taps, bias: bias, weights / "conv")
        input = try Linear(hidden, 3 * hidden, bias: bias, weights / "in_proj")
        output = try Linear(hidden, hidden, bias: bias, weights / "out_proj", .output)
    }

    package var cache: LayerCache { .state }

    /// B, C and x, both products and what lies between them.
    package var activationsPerToken: Int { 6 * output.inputSize }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor {
        let all = try input(x), width = output.inputSize
        func part(_ index: Int) throws(TorchError) -> Tensor {
            try all.slice(index * width..<(index + 1) * width, dim: 1)
        }
        let mixed = try convolution(part(0) * part(2), pass, layer: layer)
        return try output(pass.read(part(1)) * pass.read(mixed))
    }
}
