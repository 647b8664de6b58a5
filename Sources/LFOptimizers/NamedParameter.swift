public import LFTorch

/// A trained tensor with its name in the model.
public struct NamedParameter {
    public let name: String
    public let tensor: Tensor
    /// Whether weight decay applies to it.
    public let decays: Bool
    /// Its learning rate is the step's times this.
    public let learningRateScale: Double

    /// - Parameter decays: Unless given, decided by the name: all but biases and normalisation weights decay.
    public init(name: String, tensor: Tensor, decays: Bool? = nil, learningRateScale: Double = 1) {
        self.learningRateScale = learningRateScale
        self.name = name
        self.tensor = tensor
        self.decays = decays ?? Self.decays(name)
    }

    /// transformers' rule by name: no decay where the lower-case name contains "bias", "layernorm" or "rmsnorm", or has a
    /// part that is "norm" or ends in "_norm".
    public static func decays(_ name: String) -> Bool {
        let name = name.lowercased()
        if ["bias", "layernorm", "rmsnorm"].contains(where: name.contains) { return false }
        return !name.split(separator: ".").contains { $0 == "norm" || $0.hasSuffix("_norm") }
    }
}

/// Scales all gradients down so that their norm together is at most `maxNorm` (`torch.nn.utils.clip_grad_norm_`).
///
/// Nothing here waits for the device.
///
/// - Parameter maxNorm: 0 leaves the gradients as they are.
/// - Returns: The norm before, `[]` float32; 0 when there is no gradient.
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
