/// The nonlinearity of a feed-forward layer, by the names of config.json.
package enum Activation: String, Sendable, CaseIterable {
    case silu, swish, gelu, relu
    /// GELU by tanh, under its three names.
    case geluTanh = "gelu_pytorch_tanh"
    case geluNew = "gelu_new"
    case geluFast = "gelu_fast"
    /// The square of ReLU (So et al. 2021, arXiv 2109.08668).
    case reluSquared = "relu2"

    /// Whether another name stands for the same function.
    package func isSame(as other: Activation) -> Bool { function == other.function }

    /// One name for each function.
    private var function: Activation {
        switch self {
        case .swish: .silu
        case .geluNew, .geluFast: .geluTanh
        default: self
        }
    }
}
