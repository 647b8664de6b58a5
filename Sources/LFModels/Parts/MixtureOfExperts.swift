package import LFNN
package import LFTorch

/// The matrices of a mixture's experts, each a gated MLP.
package final class Experts {
    /// `[experts, 2 · inner, hidden]`: the gate's rows first.
    let gateUp: Parameter
    /// `[experts, hidden, inner]`
    let down: Parameter
    let activation: Activation

    package init(gateUp: Parameter, down: Parameter, _ activation: Activation) {
        self.gateUp = gateUp
        self.down = down
        self.activation = activation
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
                "down_proj", [count, hidden, inner], .expert, layout: isFused ? nil : down), activation)
    }

    /// - Parameters:
    ///   - x: `[N, hidden]`, sorted by expert.
    ///   - counts: How many rows each expert has.
    func callAsFunction(_ x: Tensor, counts: [Int]) throws(TorchError) -> Tensor {
        let both = try groupedLinear(x, gateUp.tensor, counts: counts)
        let inner = down.tensor.dim(2)
        let (gate, up) = (try both.slice(0..<inner, dim: 1), try both.slice(inner..<2 * inner, dim: 1))
        return try groupedLinear(activation.gated(gate, up), down.tensor, counts: counts)
    }
}

/// Scores the experts of a mixture for each token.
package final class Router {
    private enum Source {
        case weight(Parameter)
        case linear(Linear)
    }
    private let source: Source
    /// `[experts]`: added to scores for the choice.
    let correction: Parameter?

    /// - Parameter weight: `[experts, hidden]`.
    package init(_ weight: Parameter, correction: Parameter? = nil) {
        source = .weight(weight)
        self.correction = correction
    }

    /// A router that is a linear layer, which adapters may sit on.
    package init(_ linear: Linear) {
        source = .linear(linear)
        correction = nil
    }

    /// Near ties decide which experts a token goes to, so that scores are computed in float32 at least.
    ///
    /// - Returns: `[T, experts]`.
    func logits(_ x: Tensor) throws(TorchError) -> Tensor {
        let x = x.dtype == .float64 ? x : try x.to(.float32)
        return switch source {
        case .weight(let weight): try linear(x, weight.tensor)
        case .linear(let layer): try layer(x)
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
        let logits = try router.logits(x)
        let (chosen, weights) = try routing(logits, correction: router.correction?.tensor)
        let sorting = try ExpertOrder(chosen, experts: logits.dim(1))
        let outputs = try experts(x.selecting(sorting.tokens), counts: sorting.counts)
        let (tokens, count) = (x.dim(0), routing.chosen)
        let byToken = try outputs.selecting(sorting.places).reshaped([tokens, count, x.dim(1)])
        var mixed = try (byToken * weights.to(x.dtype).reshaped([tokens, count, 1])).sum(dim: 1)
        if let shared {
            var output = try shared(x, pass).hidden
            if let sharedGate { output = try output * sharedGate(x).sigmoid() }
            mixed = try mixed + output
        }
        return LayerOutput(mixed, routerLogits: logits)
    }
}

/// The choices of a stream's tokens, sorted by expert: each expert multiplies its rows at once.
private struct ExpertOrder {
    /// int64 `[T · chosen]`: the token of each row in sorted order.
    let tokens: Tensor
    /// int64 `[T · chosen]`: the sorted row of each choice.
    let places: Tensor
    let counts: [Int]

    /// - Parameter chosen: int64 `[T, chosen]`.
    init(_ chosen: Tensor, experts: Int) throws(TorchError) {
        let choices = try chosen.int64s()
        var counts = Array(repeating: 0, count: experts)
        for expert in choices { counts[Int(expert)] += 1 }
        var next = Array(repeating: 0, count: experts)
        for expert in 1..<max(1, experts) { next[expert] = next[expert - 1] + counts[expert - 1] }
        let width = chosen.dim(1)
        var tokens = Array(repeating: Int64(0), count: choices.count)
        var places = tokens
        for (choice, expert) in choices.enumerated() {
            let place = next[Int(expert)]
            next[Int(expert)] += 1
            tokens[place] = Int64(choice / width)
            places[choice] = Int64(place)
        }
        self.tokens = try Tensor(tokens).to(chosen.device)
        self.places = try Tensor(places).to(chosen.device)
        self.counts = counts
    }
}
