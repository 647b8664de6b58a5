public import LFNN
public import LFTorch

/// Scales all gradients down so that their norm together is at most `maxNorm` (`torch.nn.utils.clip_grad_norm_`).
///
/// Nothing here waits for the device.
///
/// - Parameter maxNorm: 0 leaves the gradients as they are.
/// - Returns: The norm before clipping, `[]` float32; 0 without gradients.
@discardableResult
public func clipGradients(_ parameters: [NamedParameter], maxNorm: Double) throws(TorchError) -> Tensor {
    var gradients: [Tensor] = []
    gradients.reserveCapacity(parameters.count)
    for parameter in parameters {
        if let gradient = try parameter.tensor.grad() { gradients.append(gradient) }
    }
    let norm = try totalNorm(gradients)
    guard maxNorm > 0, !gradients.isEmpty else { return norm }
    let one = try Tensor.scalar(1, on: norm.device)
    let factor = try (one / (norm + 1e-6) * maxNorm).clamped(max: 1)
    try scaleInPlace(gradients, by: factor)
    return norm
}
