package import LFModelConfig
package import LFNN
package import LFTorch

/// The matrices of a mixture's experts, each a gated MLP.
package final class Experts {
    /// What comes between the two products.
    package enum Gating {
        /// `activation(gate) ⊙ up`; the gate's rows stand before those of up.
        case halves(Activation)
        /// `min(g, c)·σ(1.702·min(g, c)) ⊙ (1 + clip(u, ±c))`; rows of gate and up take turns (OpenAI 2025, arXiv 2508.10925).
        case clampedPairs(limit: Double)

        func callAsFunction(_ both: Tensor) throws(TorchError) -> Tensor {
            let (rows, inner) = (both.dim(0), both.dim(1) / 2)
            switch self {
            case .halves(let activation):
                return try activation.gated(
                    both.slice(0..<inner, dim: 1), both.slice(inner..<2 * inner, dim: 1))
            case .clampedPairs(let limit):
                let pairs = try both.reshaped([rows, inner, 2])
                let gate = try pairs.slice(0..<1, dim: 2).reshaped([rows, inner]).clamped(max: limit)
                let up = try pairs.slice(1..<2, dim: 2).reshaped([rows, inner]).clamped(min: -limit)
                    .clamped(max: limit)
                return try gate * (gate * 1.702).sigmoid() * (up + 1)
            }
        }
    }

    /// `[experts, 2 · inner, hidden]`
    let gateUp: Parameter
    /// `[experts, hidden, inner]`
    let down: Parameter
    /// `[experts, 2 · inner]` and `[experts, hidden]`
    let biases: (gateUp: Parameter, down: Parameter)?
    let gating: Gating

    package init(
        gateUp: Parameter, down: Parameter, biases: (gateUp: Parameter, down: Parameter)? = nil,
        _ gating: Gating
    ) {
        self.gateUp = gateUp
        self.down = down
        self.biases = biases
        self.gating = gating
    }

    /// The names that files give an expert's three matrices.
    package struct Names {
        var gate = "gate_proj", up = "up_proj", down = "down_proj"

        package init() {}
        package init(gate: String, up: String, down: String) {
            (self.gate, self.up, self.down) = (gate, up, down)
        }
    }

    /// `gate_up_proj` and `down_proj`, which files hold expert by expert, or fused.
    package convenience init(
        _ count: Int, _ hidden: Int, _ inner: Int, _ activation: Activation, names: Names = Names(),
        _ weights: WeightScope
    ) throws {
        let isFused =
            weights.contains("gate_up_proj") && !weights.contains("0.\(names.gate).weight")
        func key(_ expert: Int, _ name: String) -> WeightLayout {
            .tensor(weights.fileKey("\(expert).\(name).weight"))
        }
        let gateUp = WeightLayout.stacked(
            (0..<count).map { .concatenated([key($0, names.gate), key($0, names.up)], dim: 0) })
        let down = WeightLayout.stacked((0..<count).map { key($0, names.down) })
        self.init(
            gateUp: try weights.parameter(
                "gate_up_proj", [count, 2 * inner, hidden], .expert, layout: isFused ? nil : gateUp),
            down: try weights.parameter(
                "down_proj", [count, hidden, inner], .expert, layout: isFused ? nil : down),
            .halves(activation))
    }

    /// - Parameters:
    ///   - x: `[N, hidden]`, sorted by expert.
    ///   - counts: How many rows each expert has.
    func callAsFunction(_ x: Tensor, counts: [Int]) throws(TorchError) -> Tensor {
        let both = try groupedLinear(x, gateUp.tensor, bias: biases?.gateUp.tensor, counts: counts)
        return try groupedLinear(gating(both), down.tensor, bias: biases?.down.tensor, counts: counts)
    }
}

/// Scores the experts of a mixture for each token.
package final class Router {
    private enum Source {
        case weight(Parameter, bias: Parameter?)
        case linear(Linear)
        /// The layer's matrix alone.
        case matrix(any LinearWeight)
    }
    private let source: Source
    /// `[experts]`: added to scores for the choice.
    let correction: Parameter?

    /// - Parameters:
    ///   - weight: `[experts, hidden]`.
    ///   - bias: `[experts]`.
    package init(_ weight: Parameter, bias: Parameter? = nil, correction: Parameter? = nil) {
        source = .weight(weight, bias: bias)
        self.correction = correction
    }

    /// A router that is a linear layer, which adapters may sit on.
    ///
    /// - Parameter bypassesAdapter: Whether an adapter on it does nothing: it gets no gradient, and what it holds is not used.
    package init(_ linear: Linear, bypassesAdapter: Bool = false) {
        source = bypassesAdapter ? .matrix(linear.base) : .linear(linear)
        linear.adapterIsBypassed = bypassesAdapter
        correction = nil
    }

    /// Near ties decide which experts a token goes to, so that scores are computed in float32 at least.
    ///
    /// - Returns: `[T, experts]`.
    func logits(_ x: Tensor) throws(TorchError) -> Tensor {
        let x = x.dtype == .float64 ? x : try x.to(.float32)
        return switch source {
        case .weight(let weight, let bias): try linear(x, weight.tensor, bias: bias?.tensor)
        case .linear(let layer): try layer(x)
        case .matrix(let matrix): try matrix.product(x, bias: nil)
        }
    }
}

/// A few experts for each token, chosen by a router (Shazeer et al. 2017, arXiv 1701.06538), and experts that all tokens share.
package final class MixtureOfExperts: FeedForward {
    private let router: Router
    private let experts: Experts
    private let routing: Routing
    private let shared: (any FeedForward)?
    private let sharedGate: Linear?

    /// - Parameters:
    ///   - shared: What every token goes through too.
    ///   - sharedGate: Its sigmoid weighs what `shared` gives.
    package init(
        _ router: Router, _ experts: Experts, _ routing: Routing, shared: (any FeedForward)? = nil,
        sharedGate: Linear? = nil
    ) {
        self.router = router
        self.experts = experts
        self.routing = routing
        self.shared = shared
        self.sharedGate = sharedGate
    }

    /// For each chosen expert its input, gate, up, their product and its output.
    package var activationsPerToken: Int {
        let (hidden, inner) = (experts.down.tensor.dim(1), experts.down.tensor.dim(2))
        return routing.chosen * (3 * inner + 2 * hidden) + (shared?.activationsPerToken ?? 0)
    }

    package func callAsFunction(_ x: Tensor, _ pass: Pass) throws(TorchError) -> LayerOutput {
        var output = try routed(x)
        if let shared {
            var common = try shared(x, pass).hidden
            if let sharedGate { common = try common * sharedGate(x).sigmoid() }
            output.hidden = try output.hidden + common
        }
        return output
    }

    /// What the chosen experts give.
    package func routed(_ x: Tensor) throws(TorchError) -> LayerOutput {
        let logits = try router.logits(x)
        let (chosen, weights) = try routing(logits, correction: router.correction?.tensor)
        let sorting = try ExpertOrder(chosen, experts: logits.dim(1))
        let outputs = try experts(x.selecting(sorting.tokens), counts: sorting.counts)
        let (tokens, count) = (x.dim(0), routing.chosen)
        let byToken = try outputs.selecting(sorting.places).reshaped([tokens, count, x.dim(1)])
        let mixed = try (byToken * weights.to(x.dtype).reshaped([tokens, count, 1])).sum(dim: 1)
        return LayerOutput(mixed, routerLogits: logits)
    }
}
