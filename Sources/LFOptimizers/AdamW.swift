public import LFNN
public import LFTorch

/// Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv 1711.05101, algorithm 2), all parameters of a group in one call.
///
/// Its moments have their parameter's type and device, and are allocated at once: a run that lacks the memory ends before its
/// first step.
public final class AdamW: Optimizer {
    public let parameters: [NamedParameter]
    private let moments: [Moments]
    private let groups: [Group]
    private let beta1: Double
    private let beta2: Double
    private let epsilon: Double

    private struct Moments {
        /// Running mean of the gradient, in the parameter's shape.
        let first: Tensor
        /// Running mean of the squared gradient.
        let second: Tensor
        /// Steps taken, `[]` float32.
        let steps: Tensor

        static let names = ["exp_avg", "exp_avg_sq", "step"]
        var tensors: [Tensor] { [first, second, steps] }
    }

    /// Parameters that one call may update together.
    private struct Group {
        let weightDecay: Double
        let learningRateScale: Double
        var members: [Int]
    }

    private struct GroupKey: Hashable {
        let decays: Bool
        let learningRateScale: Double
        let dtype: DType
        let device: Device
    }

    /// - Throws: `TorchError` when there is no memory for the moments.
    public init(
        _ parameters: [NamedParameter], beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
        weightDecay: Double = 0
    ) throws(TorchError) {
        self.parameters = parameters
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        var moments: [Moments] = []
        moments.reserveCapacity(parameters.count)
        var groups: [Group] = []
        var positions: [GroupKey: Int] = [:]
        for (index, parameter) in parameters.enumerated() {
            let tensor = parameter.tensor
            moments.append(
                Moments(
                    first: try tensor.zerosLike(), second: try tensor.zerosLike(),
                    steps: try Tensor.zeros([], on: tensor.device)))
            let decays = parameter.decays && weightDecay != 0
            let scale = parameter.learningRateScale
            let key = GroupKey(
                decays: decays, learningRateScale: scale, dtype: tensor.dtype, device: tensor.device)
            if let position = positions[key] {
                groups[position].members.append(index)
            } else {
                positions[key] = groups.count
                groups.append(
                    Group(
                        weightDecay: decays ? weightDecay : 0, learningRateScale: scale, members: [index]))
            }
        }
        self.moments = moments
        self.groups = groups
    }

    public func step(learningRate: Double) throws(TorchError) {
        try step(learningRate: learningRate, gradientScale: nil)
    }

    /// Scales gradients while it reads them.
    public func step(learningRate: Double, gradientScale: Tensor?) throws(TorchError) {
        for group in groups {
            var tensors: [Tensor] = []
            var gradients: [Tensor] = []
            var updated: [Moments] = []
            for index in group.members {
                guard let gradient = try parameters[index].tensor.grad() else { continue }
                tensors.append(parameters[index].tensor)
                gradients.append(gradient)
                updated.append(moments[index])
            }
            try adamWStep(
                parameters: tensors, gradients: gradients, firstMoments: updated.map(\.first),
                secondMoments: updated.map(\.second), steps: updated.map(\.steps),
                gradientScale: gradientScale,
                learningRate: learningRate * group.learningRateScale,
                beta1: beta1, beta2: beta2, weightDecay: group.weightDecay, epsilon: epsilon)
        }
    }

    /// Per parameter `NAME.exp_avg`, `NAME.exp_avg_sq` and `NAME.step`, which are PyTorch's words.
    public func state() -> [(name: String, tensor: Tensor)] {
        zip(parameters, moments).flatMap { parameter, moments in
            zip(Moments.names, moments.tensors).map { (name: parameter.name + "." + $0, tensor: $1) }
        }
    }

    public func load(_ state: [(name: String, tensor: Tensor)]) throws {
        try replaceState(self.state(), with: state)
    }
}
