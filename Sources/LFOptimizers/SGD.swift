import LFDiagnostics
public import LFNN
public import LFTorch

/// Gradient descent without momentum; weight decay is added to the gradient, as `torch.optim.SGD` does it.
public final class SGD: Optimizer {
    public let parameters: [NamedParameter]
    private let weightDecay: Double

    public init(_ parameters: [NamedParameter], weightDecay: Double = 0) {
        self.parameters = parameters
        self.weightDecay = weightDecay
    }

    public func step(learningRate: Double) throws(TorchError) {
        for parameter in parameters {
            guard var gradient = try parameter.tensor.grad() else { continue }
            if parameter.decays, weightDecay != 0 {
                gradient = try gradient.cloned()
                try gradient.addInPlace(parameter.tensor, scale: weightDecay)
            }
            try parameter.tensor.addInPlace(gradient, scale: -learningRate * parameter.learningRateScale)
        }
    }

    /// Empty: nothing is carried from step to step.
    public func state() -> [(name: String, tensor: Tensor)] { [] }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        guard let name = state.first?.name else { return }
        throw UserError(
            .failedRun, "the checkpoint holds the state of another optimizer (\"\(name)\"); sgd has none.",
            remedy:
                "Resume with the optimizer of the run that wrote the checkpoint, or start from the beginning."
        )
    }
}
