import Foundation
public import LFNN
public import LFTorch

/// Momentum made orthogonal for matrices, Adam for the rest: Muon (Liu et al. 2025, arXiv 2502.16982, section 2).
///
/// Embeddings, heads and vectors take Adam's step with its ε outside the bias correction, as upstream has it; decay applies
/// to every parameter.
public final class Muon: Optimizer {
    public let parameters: [NamedParameter]
    private let beta1: Double
    private let beta2: Double
    private let epsilon: Double
    private let weightDecay: Double
    private let states: [State]

    private enum State {
        case orthogonal(momentum: Tensor)
        case adam(first: Tensor, second: Tensor, steps: Tensor)

        var named: [(name: String, tensor: Tensor)] {
            switch self {
            case .orthogonal(let momentum): [("momentum_buffer", momentum)]
            case .adam(let first, let second, let steps):
                [("moment1", first), ("moment2", second), ("step", steps)]
            }
        }
    }

    private static let momentum = 0.95
    private static let iterations = 5

    /// - Throws: `TorchError` when there is no memory for the state.
    public init(
        _ parameters: [NamedParameter], beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double
    ) throws(TorchError) {
        self.parameters = parameters
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        var states: [State] = []
        for parameter in parameters {
            let tensor = parameter.tensor
            let isHidden = ![.embedding, .positions, .head].contains(parameter.role)
            if tensor.rank == 2, isHidden {
                states.append(.orthogonal(momentum: try tensor.zerosLike()))
            } else {
                states.append(
                    .adam(
                        first: try tensor.zerosLike(), second: try tensor.zerosLike(),
                        steps: try Tensor.zeros([])))
            }
        }
        self.states = states
    }

    public func step(learningRate: Double) throws(TorchError) {
        for (parameter, state) in zip(parameters, states) {
            let tensor = parameter.tensor
            guard let gradient = try tensor.grad() else { continue }
            let rate = learningRate * parameter.learningRateScale
            switch state {
            case .orthogonal(let momentum):
                try momentum.multiplyInPlace(Self.momentum)
                try momentum.addInPlace(gradient)
                // Nesterov's look ahead.
                let direction = try gradient + momentum * Self.momentum
                let update = try orthogonalized(direction)
                try tensor.multiplyInPlace(1 - rate * weightDecay)
                // With this factor an update is as large as AdamW's usually are (eq. 4).
                let size = 0.2 * Double(max(tensor.dim(0), tensor.dim(1))).squareRoot()
                try tensor.addInPlace(update, scale: -rate * size)
            case .adam(let first, let second, let steps):
                let count = try steps.item() + 1
                try steps.fillInPlace(count)
                try first.multiplyInPlace(beta1)
                try first.addInPlace(gradient, scale: 1 - beta1)
                try second.multiplyInPlace(beta2)
                try second.addInPlace(gradient.squared(), scale: 1 - beta2)
                let correction = (1 - pow(beta1, count)) / (1 - pow(beta2, count)).squareRoot()
                try tensor.multiplyInPlace(1 - rate * weightDecay)
                try tensor.addInPlace(first / (second.sqrt() + epsilon), scale: -rate / correction)
            }
        }
    }

    /// Singular values moved near 1 by five steps of a quintic Newton-Schulz iteration in bfloat16 (algorithm 2).
    private func orthogonalized(_ matrix: Tensor) throws(TorchError) -> Tensor {
        let isTall = matrix.dim(0) > matrix.dim(1)
        var x = try matrix.to(.bfloat16)
        if isTall { x = try x.transposed() }
        x = try x / (totalNorm([x]).to(.bfloat16) + 1e-7)
        for _ in 0..<Self.iterations {
            let square = try x.matmul(x.transposed())
            let mixed = try square * -4.7750 + (square * 2.0315).matmul(square)
            x = try x * 3.4445 + mixed.matmul(x)
        }
        return isTall ? try x.transposed() : x
    }

    /// Per matrix `NAME.momentum_buffer`, else `NAME.moment1`, `NAME.moment2` and `NAME.step`.
    public func state() -> [(name: String, tensor: Tensor)] {
        zip(parameters, states).flatMap { parameter, state in
            state.named.map { (name: parameter.name + "." + $0.name, tensor: $0.tensor) }
        }
    }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        try replaceState(self.state(), with: state)
    }
}
