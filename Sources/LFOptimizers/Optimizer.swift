public import LFConfig
public import LFNN
public import LFTorch

/// Changes parameters by their gradients.
public protocol Optimizer: AnyObject {
    var parameters: [NamedParameter] { get }

    /// One step; parameters without a gradient stay as they are.
    func step(learningRate: Double) throws(TorchError)

    /// One step with gradients times `gradientScale`, `[]` float32; what they hold afterwards is undefined.
    func step(learningRate: Double, gradientScale: Tensor?) throws(TorchError)

    /// What the next steps depend on besides parameters and gradients; the tensors are the optimizer's own, not copies.
    func state() -> [(name: String, tensor: Tensor)]

    /// The same of all processes that share the optimizer; process 0 has all of it. Every process takes part.
    func wholeState() throws(TorchError) -> [(name: String, tensor: Tensor)]

    /// Takes over a state that `state()` gave for the same parameters; values are copied.
    ///
    /// - Throws: `UserError` naming a tensor that is missing, unknown or of another shape; then nothing was changed.
    func load(_ state: [(name: String, tensor: Tensor)]) throws
}

extension Optimizer {
    public func step(learningRate: Double, gradientScale: Tensor?) throws(TorchError) {
        if let gradientScale {
            var gradients: [Tensor] = []
            for parameter in parameters {
                if let gradient = try parameter.tensor.grad() { gradients.append(gradient) }
            }
            if !gradients.isEmpty { try scaleInPlace(gradients, by: gradientScale) }
        }
        try step(learningRate: learningRate)
    }

    public func wholeState() throws(TorchError) -> [(name: String, tensor: Tensor)] { state() }

    /// Forgets all gradients.
    public func zeroGrad() throws(TorchError) {
        for parameter in parameters { try parameter.tensor.setGrad(nil) }
    }
}

/// The optimizer that `optim` names, with its settings.
///
/// - Parameter headDim: Rows of a query's or key's weight that belong to one head.
/// - Throws: `UserError` when the method does not fit the parameters; `TorchError` when there is no memory for the state.
public func makeOptimizer(
    _ parameters: [NamedParameter], _ arguments: TrainingArguments, headDim: Int = 1
) throws -> any Optimizer {
    switch arguments.optimizerMethod {
    case .plain: return try makePlainOptimizer(parameters, arguments)
    case .muon:
        return try Muon(
            parameters, beta1: arguments.adamBeta1, beta2: arguments.adamBeta2,
            epsilon: arguments.adamEpsilon,
            weightDecay: arguments.weightDecay)
    case .adamMini:
        return try AdamMini(
            parameters, headDim: headDim, beta1: arguments.adamBeta1, beta2: arguments.adamBeta2,
            epsilon: arguments.adamEpsilon, weightDecay: arguments.weightDecay)
    case .blockwise(let switching):
        return try BlockwiseOptimizer(parameters, switching) { block throws(TorchError) in
            try makePlainOptimizer(block, arguments)
        }
    }
}

private func makePlainOptimizer(
    _ parameters: [NamedParameter], _ arguments: TrainingArguments
) throws(TorchError) -> any Optimizer {
    switch arguments.optim {
    case .adamwTorch, .adamwTorchFused:
        return try AdamW(
            parameters, beta1: arguments.adamBeta1, beta2: arguments.adamBeta2,
            epsilon: arguments.adamEpsilon, weightDecay: arguments.weightDecay)
    case .adafactor: return try Adafactor(parameters, weightDecay: arguments.weightDecay)
    case .sgd:
        return SGD(parameters, weightDecay: arguments.weightDecay)
    }
}
