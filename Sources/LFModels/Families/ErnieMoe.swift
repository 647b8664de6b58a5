import LFDiagnostics
import LFJSON
import LFModelConfig
import LFNN

/// ERNIE 4.5, the mixtures (Baidu 2025): ERNIE's layers with experts in a range of them, chosen by softmax scores and a correction
/// that training keeps as it is, and experts that all tokens share.
struct ErnieMoe: Architecture {
    static let modelTypes = ["ernie4_5_moe"]
    static let dropouts = [String: Double]()
    static let predictsFurther = true
    let sizes: ModelSizes
    private let layers: LlamaLayers
    private let isMixture: [Bool]
    private let experts: Int
    private let sharedExperts: Int
    private let inner: Int
    private let routing: Routing
    let balance: RouterBalance?
    var headHasBias: Bool { layers.frame.headBias }

    init(_ file: ConfigFile) throws {
        let sizes = try file.sizes(
            vocab: 103_424, hidden: 2560, inner: 12_288, layers: 28, heads: 20, keyValueHeads: 4,
            positions: 131_072, tied: true)
        self.sizes = sizes
        var layers = try LlamaLayers(
            file, sizes, rotary: file.rotary(sizes, theta: 500_000), epsilon: 1e-5)
        let bias = try file.flag("use_bias", default: false)
        layers.bias = (bias, bias, bias)
        layers.frame.headBias = bias
        layers.isInterleaved = true
        self.layers = layers
        isMixture = try Self.mixtures(file, sizes.layers)
        // The names that transformers gives all mixtures go before the family's own.
        experts = try file.count("num_experts", "moe_num_experts", default: 64)
        let key = file.json["num_experts_per_tok"] == nil ? "moe_k" : "num_experts_per_tok"
        let chosen = try file.count(key, default: 6)
        guard chosen <= experts else {
            throw file.refused(key, "at most \(experts), the number of experts")
        }
        sharedExperts = try file.optionalCount("moe_num_shared_experts", default: 2, from: 0) ?? 0
        inner = try file.count("moe_intermediate_size", default: 1536)
        routing = Routing(.softmax, chosen: chosen, normalizes: true)
        balance = try file.balance(chosen: chosen)
    }

    /// Which layers hold experts: every n-th of a range.
    private static func mixtures(_ file: ConfigFile, _ layers: Int) throws(UserError) -> [Bool] {
        let interval = try file.count("moe_layer_interval", default: 1)
        let first = try file.optionalCount("moe_layer_start_index", default: 1, from: 0) ?? 1
        let isOpen = file.json["moe_layer_end_index"]?.int ?? -1 == -1
        let last =
            isOpen ? layers - 1 : try file.optionalCount("moe_layer_end_index", default: 0, from: 0) ?? 0
        return (0..<layers).map { ($0 + 1) % interval == 0 && $0 >= first && $0 <= last }
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let hidden = sizes.hidden
        return try layers.build(weights) { index, mlp in
            guard isMixture[index] else { return try layers.mlp(sizes.inner, mlp) }
            let gate = mlp / "gate"
            // Files hold the correction beside the router, not in it.
            let statics = gate / "moe_statics"
            let router = Router(
                try gate.parameter("weight", [experts, hidden], .router),
                correction: try statics.parameter(
                    "e_score_correction_bias", [1, experts], .buffer,
                    layout: .tensor(mlp.fileKey("moe_statics.e_score_correction_bias"))))
            let matrices = try Experts(experts, hidden, inner, layers.activation, mlp / "experts")
            return MixtureOfExperts(
                router, matrices, routing,
                shared: sharedExperts > 0
                    ? try layers.mlp(inner * sharedExperts, mlp / "shared_experts") : nil)
        }
    }
}
