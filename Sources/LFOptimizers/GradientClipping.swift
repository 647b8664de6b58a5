public import LFNN
public import LFTorch

/// What `torch.nn.utils.clip_grad_norm_` finds: how long all gradients together are, and what brings them to the longest allowed.
public struct GradientClipping {
    /// `[]` float32; 0 without gradients.
    public let norm: Tensor
    /// What gradients are to be multiplied by, at most 1, `[]` float32; nil where they stay as they are.
    public let scale: Tensor?

    /// Nothing here waits for the device.
    ///
    /// - Parameter maxNorm: 0 leaves the gradients as they are.
    public init(_ parameters: [NamedParameter], maxNorm: Double) throws(TorchError) {
        var gradients: [Tensor] = []
        gradients.reserveCapacity(parameters.count)
        for parameter in parameters {
            if let gradient = try parameter.tensor.grad() { gradients.append(gradient) }
        }
        try self.init(norm: totalNorm(gradients), maxNorm: gradients.isEmpty ? 0 : maxNorm)
    }

    /// - Parameter norm: Of all gradients, `[]` float32 or float64.
    public init(norm: Tensor, maxNorm: Double) throws(TorchError) {
        self.norm = try norm.to(.float32)
        guard maxNorm > 0 else {
            scale = nil
            return
        }
        let one = try Tensor.scalar(1, norm.dtype, on: norm.device)
        scale = try (one / (norm + 1e-6) * maxNorm).clamped(max: 1).to(.float32)
    }
}
