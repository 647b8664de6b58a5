import Foundation
public import LFNN
public import LFTorch

/// Adam with one learning rate per head, neuron, token or norm instead of one per weight: Adam-mini (Zhang et al. 2024,
/// arXiv 2406.16793, algorithms 1 and 3).
///
/// The second moment is the mean of the squared gradient over a group: the rows of a head in queries and keys, a row in other
/// matrices, a single weight in biases, and everything in the rest.
public final class AdamMini: Optimizer {
    public let parameters: [NamedParameter]
    private let beta1: Double
    private let beta2: Double
    private let epsilon: Double
    private let weightDecay: Double
    private let states: [State]

    private struct State {
        /// Running mean of the gradient, in the parameter's shape.
        let first: Tensor
        /// Running mean of the squared gradient of each group, `[groups, 1]`.
        let second: Tensor
        /// Steps taken, `[]` float32 on the host.
        let steps: Tensor
    }

    /// - Parameter headDim: Rows of a head in the weights of queries and keys.
    /// - Throws: `TorchError` when there is no memory for the state.
    public init(
        _ parameters: [NamedParameter], headDim: Int, beta1: Double, beta2: Double, epsilon: Double,
        weightDecay: Double
    ) throws(TorchError) {
        self.parameters = parameters
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        var states: [State] = []
        for parameter in parameters {
            let tensor = parameter.tensor
            let groups = Self.groupCount(parameter, shape: tensor.shape, headDim: headDim)
            states.append(
                State(
                    first: try tensor.zerosLike(),
                    second: try Tensor.zeros([groups, 1], tensor.dtype, on: tensor.device),
                    steps: try Tensor.zeros([])))
        }
        self.states = states
    }

    /// Into how many groups a parameter's weights fall.
    static func groupCount(_ parameter: NamedParameter, shape: [Int], headDim: Int) -> Int {
        let rows = shape.first ?? 1
        if parameter.role == .bias { return shape.reduce(1, *) }
        guard shape.count >= 2 else { return 1 }
        switch parameter.role {
        case .query, .key:
            let isByHead = parameter.parameter.part != .down && rows % headDim == 0
            return isByHead ? rows / headDim : rows
        case .other, .norm, .positions, .buffer, .bias: return 1
        default: return rows
        }
    }

    public func step(learningRate: Double) throws(TorchError) {
        for (parameter, state) in zip(parameters, states) {
            let tensor = parameter.tensor
            guard let gradient = try tensor.grad() else { continue }
            let count = try state.steps.item() + 1
            try state.steps.fillInPlace(count)
            let groups = state.second.dim(0)
            try state.second.multiplyInPlace(beta2)
            try state.second.addInPlace(
                gradient.reshaped([groups, -1]).squared().mean(dim: 1, keepDim: true), scale: 1 - beta2)
            try state.first.multiplyInPlace(beta1)
            try state.first.addInPlace(gradient, scale: 1 - beta1)
            let correction = (1 - pow(beta2, count)).squareRoot()
            let spread = try state.second.sqrt() / correction + epsilon
            let update = try (state.first.reshaped([groups, -1]) / spread).reshaped(tensor.shape)
            let rate = learningRate * parameter.learningRateScale
            if parameter.decays, weightDecay != 0 { try tensor.multiplyInPlace(1 - rate * weightDecay) }
            try tensor.addInPlace(update, scale: -rate / (1 - pow(beta1, count)))
        }
    }

    /// Per parameter `NAME.m`, `NAME.vmean` and `NAME.step`.
    public func state() -> [(name: String, tensor: Tensor)] {
        zip(parameters, states).flatMap { parameter, state in
            [
                (parameter.name + ".m", state.first), (parameter.name + ".vmean", state.second),
                (parameter.name + ".step", state.steps),
            ]
        }
    }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        try replaceState(self.state(), with: state)
    }
}
