import LFDiagnostics
import LFJSON
import LFModelConfig
import LFNN

/// Hunyuan, the mixtures (Tencent 2025, Hunyuan-A13B): the dense models' layers with experts, and one that all tokens share.
struct HunyuanMoe: Architecture {
    static let modelTypes = ["hunyuan_v1_moe"]
    let sizes: ModelSizes
    private let layers: LlamaLayers
    private let experts: Int
    private let routing: Routing

    init(_ file: ConfigFile) throws {
        layers = try LlamaLayers(hunyuan: file)
        sizes = layers.sizes
        experts = try Self.count("num_experts", file, sizes.layers)
        // transformers reads its common name for mixtures first, and the family's own name second.
        let key = file.json["num_experts_per_tok"] == nil ? "moe_topk" : "num_experts_per_tok"
        let chosen = try Self.count(key, file, sizes.layers)
        guard chosen <= experts else {
            throw file.refused(key, "at most \(experts), the number of experts")
        }
        routing = Routing(.softmax, chosen: chosen, normalizes: true)
        try file.require("moe_layer_num_skipped", file.json["moe_layer_num_skipped"]?.int ?? 0 == 0)
        for (key, width) in [("moe_intermediate_size", sizes.inner), ("num_shared_expert", 1)] {
            try file.require(key, try Self.count(key, file, sizes.layers, default: width) == width)
        }
    }

    /// A number that files give once, or for each layer, which is the same for all.
    private static func count(
        _ key: String, _ file: ConfigFile, _ layers: Int, default fallback: Int = 1
    ) throws(UserError) -> Int {
        guard let list = file.json[key]?.array else { return try file.count(key, default: fallback) }
        let counts = list.prefix(layers).compactMap(\.int)
        guard let count = counts.first, count > 0, counts.count == min(layers, list.count),
            list.count >= layers, counts.allSatisfy({ $0 == count })
        else { throw file.refused(key, "a positive integer that is the same for all layers") }
        return count
    }

    func build(_ weights: WeightScope) throws -> ModelParts {
        let (hidden, inner) = (sizes.hidden, sizes.inner)
        return try layers.build(weights) { _, mlp in
            let router = Router(try Linear(hidden, experts, mlp / "gate" / "wg", .router))
            return MixtureOfExperts(
                router, try Experts(experts, hidden, inner, layers.activation, mlp / "experts"), routing,
                shared: try layers.mlp(inner, mlp / "shared_mlp"))
        }
    }
}
