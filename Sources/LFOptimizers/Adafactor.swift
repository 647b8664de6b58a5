import Foundation
public import LFNN
public import LFTorch

/// Adafactor with a given learning rate (Shazeer & Stern 2018, arXiv 1804.04235, algorithms 4 and 5).
///
/// A matrix keeps the running means of its squared gradient's rows and columns only; of a weight with more dimensions (experts, convolutions)
/// the last two are matrices. As transformers runs it for
/// `optim: adafactor`: no momentum, no relative step, updates clipped to a root mean square of 1.
public final class Adafactor: Optimizer {
    public let parameters: [NamedParameter]
    private let weightDecay: Double
    private let moments: [Moments]

    /// Second moments of one parameter, float32.
    private enum Moments {
        /// `[…, rows]` and `[…, columns]`.
        case factored(rows: Tensor, columns: Tensor, steps: Tensor)
        case full(Tensor, steps: Tensor)

        var named: [(name: String, tensor: Tensor)] {
            switch self {
            case .factored(let rows, let columns, let steps):
                [("exp_avg_sq_row", rows), ("exp_avg_sq_col", columns), ("step", steps)]
            case .full(let squares, let steps): [("exp_avg_sq", squares), ("step", steps)]
            }
        }
        /// Steps taken, `[]` float32 on the host.
        var steps: Tensor {
            switch self {
            case .factored(_, _, let steps), .full(_, let steps): steps
            }
        }
    }

    private static let epsilon = 1e-30
    private static let clipThreshold = 1.0
    private static let decayExponent = -0.8

    /// - Throws: `TorchError` when there is no memory for the moments.
    public init(_ parameters: [NamedParameter], weightDecay: Double = 0) throws(TorchError) {
        self.parameters = parameters
        self.weightDecay = weightDecay
        var moments: [Moments] = []
        for parameter in parameters {
            let tensor = parameter.tensor
            let steps = try Tensor.zeros([])
            if tensor.rank >= 2 {
                moments.append(
                    .factored(
                        rows: try Tensor.zeros(tensor.shape.dropLast(), on: tensor.device),
                        columns: try Tensor.zeros(
                            tensor.shape.dropLast(2) + tensor.shape.suffix(1), on: tensor.device),
                        steps: steps))
            } else {
                moments.append(.full(try Tensor.zeros(tensor.shape, on: tensor.device), steps: steps))
            }
        }
        self.moments = moments
    }

    public func step(learningRate: Double) throws(TorchError) {
        for (parameter, moments) in zip(parameters, moments) {
            guard let given = try parameter.tensor.grad() else { continue }
            let gradient = try given.to(.float32)
            try moments.steps.fillInPlace(moments.steps.item() + 1)
            let kept = 1 - pow(try moments.steps.item(), Self.decayExponent)
            let squares = try gradient.squared() + Self.epsilon
            func average(_ mean: Tensor, _ new: Tensor) throws(TorchError) {
                try mean.multiplyInPlace(kept)
                try mean.addInPlace(new, scale: 1 - kept)
            }
            var update: Tensor
            switch moments {
            case .factored(let rows, let columns, _):
                let rank = gradient.rank
                try average(rows, squares.mean(dim: rank - 1))
                try average(columns, squares.mean(dim: rank - 2))
                let means = try rows.mean(dim: rank - 2, keepDim: true)
                let rowFactor = try (rows / means).rsqrt().reshaped(rows.shape + [1])
                let columnFactor = try columns.rsqrt().reshaped(
                    columns.shape.dropLast() + [1] + columns.shape.suffix(1))
                update = try rowFactor * columnFactor * gradient
            case .full(let mean, _):
                try average(mean, squares)
                update = try mean.rsqrt() * gradient
            }
            let rootMeanSquare = try update.squared().mean().sqrt()
            update = try update / (rootMeanSquare / Self.clipThreshold).clamped(min: 1)
            let rate = learningRate * parameter.learningRateScale
            if parameter.decays, weightDecay != 0 {
                try parameter.tensor.multiplyInPlace(1 - weightDecay * rate)
            }
            try parameter.tensor.addInPlace(update, scale: -rate)
        }
    }

    /// Per parameter `NAME.exp_avg_sq_row` and `NAME.exp_avg_sq_col` or `NAME.exp_avg_sq`, and `NAME.step`.
    public func state() -> [(name: String, tensor: Tensor)] {
        zip(parameters, moments).flatMap { parameter, moments in
            moments.named.map { (name: parameter.name + "." + $0.name, tensor: $0.tensor) }
        }
    }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        try replaceState(self.state(), with: state)
    }
}
