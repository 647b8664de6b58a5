package import LFModelConfig
package import LFNN

/// The feed-forward layers of DeepSeek's models and of those that follow them: the first few dense, then mixtures with shared
/// experts, chosen from the best groups (DeepSeek-AI 2024, arXiv 2401.06066, 2405.04434 and 2412.19437).
package struct DeepSeekMixture: Sendable {
    private let hidden: Int
    private let denseInner: Int
    private let inner: Int
    /// By layer.
    private let isDense: [Bool]
    private let experts: Int
    private let sharedExperts: Int
    private let activation: Activation
    private let bias: Bool
    private let routing: Routing
    private let corrects: Bool

    /// What the file may leave out; nil is what it must say.
    package struct Defaults: Sendable {
        /// `n_routed_experts`, `n_shared_experts`, `num_experts_per_tok`
        var experts: Int?, shared: Int?, chosen: Int?
        /// `moe_intermediate_size`
        var inner: Int
    }

    /// - Parameters:
    ///   - corrects: Whether the choice is made with sigmoid scores and a correction; else with softmax.
    ///   - isDense: Whether the layer of a number is an MLP.
    ///   - groups: The defaults of `n_group` and `topk_group`.
    ///   - normalizes: That of `norm_topk_prob`; `scale` that of `routed_scaling_factor`.
    package init(
        _ file: ConfigFile, _ sizes: ModelSizes, corrects: Bool, isDense: (Int) -> Bool,
        groups: (count: Int, chosen: Int), normalizes: Bool, scale: Double, defaults: Defaults
    ) throws {
        hidden = sizes.hidden
        denseInner = sizes.inner
        self.corrects = corrects
        activation = try file.activation("hidden_act")
        bias = try !corrects && file.flag("mlp_bias", default: false)
        inner = try file.count("moe_intermediate_size", default: defaults.inner)
        self.isDense = (0..<sizes.layers).map(isDense)
        let chosen: Int
        (experts, chosen) = try file.experts(
            "n_routed_experts", "num_local_experts", default: defaults.experts, chosen: defaults.chosen)
        sharedExperts = try file.optionalCount("n_shared_experts", default: defaults.shared, from: 0) ?? 0
        _ = try file.word("scoring_func", of: corrects ? ["sigmoid", "noaux_tc"] : ["softmax"])
        try file.require("moe_layer_freq", file.count("moe_layer_freq", default: 1) == 1)
        routing = Routing(
            corrects ? .sigmoid : .softmax, chosen: chosen,
            // V2 leaves the weights as they are whatever the file says.
            normalizes: try corrects && file.flag("norm_topk_prob", default: normalizes),
            scale: try file.number("routed_scaling_factor", default: scale),
            groups: try Self.groups(file, corrects: corrects, groups, experts: experts, chosen: chosen))
    }

    private static func groups(
        _ file: ConfigFile, corrects: Bool, _ defaults: (count: Int, chosen: Int), experts: Int, chosen: Int
    ) throws -> Routing.Groups? {
        let method = try file.word(
            "topk_method", of: corrects ? ["noaux_tc"] : ["greedy", "group_limited_greedy"])
        guard corrects || method == "group_limited_greedy" else { return nil }
        let count = try file.optionalCount("n_group", default: defaults.count) ?? 1
        let kept = try file.optionalCount("topk_group", default: defaults.chosen) ?? 1
        try file.require("n_group", experts % count == 0)
        try file.require("topk_group", kept <= count && chosen <= kept * (experts / count))
        return Routing.Groups(count: count, chosen: kept, best: corrects ? 2 : 1)
    }

    /// The feed-forward part of a layer.
    package func layer(_ index: Int, _ mlp: WeightScope) throws -> any FeedForward {
        guard !isDense[index] else {
            return try GatedMLP(hidden, denseInner, activation, bias: bias, mlp)
        }
        let matrices = try Experts(experts, hidden, inner, activation, mlp / "experts")
        let router =
            corrects
            ? Router(
                try (mlp / "gate").parameter("weight", [experts, hidden], .router),
                correction: try (mlp / "gate").parameter("e_score_correction_bias", [experts], .buffer))
            // transformers multiplies with the layer's weight itself, past any adapter on it.
            : Router(try Linear(hidden, experts, mlp / "gate", .router), bypassesAdapter: true)
        let shared =
            sharedExperts > 0
            ? try GatedMLP(hidden, inner * sharedExperts, activation, bias: bias, mlp / "shared_experts")
            : nil
        return MixtureOfExperts(router, matrices, routing, shared: shared)
    }
}
