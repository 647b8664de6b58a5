import LFDiagnostics
package import LFModelConfig
package import LFNN

/// A family of models: what its config.json means, and the parts of its models. Each family has a file; the registry lists them.
package protocol Architecture: Sendable {
    /// The values of `model_type` that it reads.
    static var modelTypes: [String] { get }
    /// Names that transformers gives the two weights with a row per token.
    static var embeddingName: String { get }
    static var headName: String { get }
    /// Ends of the names of tensors in published files that nothing reads.
    static var ignoredTensors: [String] { get }
    /// Whether published files hold layers beyond the last, which predict tokens further ahead (multi-token prediction) and which
    /// nothing reads.
    static var predictsFurther: Bool { get }

    /// - Throws: `UserError` naming the key whose value is malformed or not supported.
    init(_ file: ConfigFile) throws

    var sizes: ModelSizes { get }
    /// How training keeps the routers of a mixture in balance; nil for models without routers, or with another way to balance them.
    var balance: RouterBalance? { get }
    /// How many numbers transformers draws while it loads a file's weights: a seed's own draws follow them.
    var drawnWhileLoading: Int { get }
    /// Whether the head adds a number per token.
    var headHasBias: Bool { get }
    /// Whether heads are turned by their positions, so that positions can be stretched.
    var hasRotaryPositions: Bool { get }
    /// The share of a head's dimensions that turn where the file does not say it; nil where whole heads turn, whatever it says.
    static var rotaryShare: Double? { get }
    /// The length beyond which a text that is being generated is computed anew, as its positions turn otherwise; nil where what the cache
    /// holds stays.
    var restartLength: Int? { get }
    /// Whether each position has a learned row, so that none lies beyond `sizes.positions`.
    var hasLearnedPositions: Bool { get }
    /// Keys with which transformers drops activations in training, and what they are where the file leaves them out.
    static var dropouts: [String: Double] { get }
    /// What the file says that is not done, a sentence each.
    var remarks: [String] { get }

    /// Builds the model in the order in which transformers registers its modules: adapters are drawn in it.
    ///
    /// - Throws: `UserError` naming a tensor that is missing or has another shape.
    func build(_ weights: WeightScope) throws -> ModelParts
}

extension Architecture {
    package static var embeddingName: String { "model.embed_tokens.weight" }
    package static var headName: String { "lm_head.weight" }
    package static var ignoredTensors: [String] { [] }
    package static var predictsFurther: Bool { false }
    package var balance: RouterBalance? { nil }
    package var drawnWhileLoading: Int { 0 }
    package var headHasBias: Bool { false }
    package var hasRotaryPositions: Bool { true }
    package var hasLearnedPositions: Bool { false }
    package var restartLength: Int? { nil }
    package static var rotaryShare: Double? { nil }
    package static var dropouts: [String: Double] { ["attention_dropout": 0] }
    package var remarks: [String] { [] }
}

/// The architectures that can be loaded.
package enum ArchitectureRegistry {
    package static let all: [any Architecture.Type] = [
        Bloom.self, Cohere.self, Cohere2.self, DeepSeekV2.self, DeepSeekV3.self, Dots1.self, Ernie.self,
        ErnieMoe.self, Exaone.self, Exaone4.self, Falcon.self, Gemma.self, Gemma2.self, Gemma3.self,
        GLM.self, GLM4.self, GLM4Moe.self, GLM4MoeLite.self, GPT2.self, GPTNeoX.self, GPTOss.self,
        Granite.self, GraniteMoe.self, Hunyuan.self, HunyuanMoe.self, InternLM2.self, InternLM3.self,
        LFM2.self, Llama.self, MiMo.self, MiniCPM.self, MiniMaxM2.self, Mistral.self, Mixtral.self,
        Nemotron.self, Olmo.self, Olmo2.self, Olmoe.self, OPT.self, Phi.self, Phi3.self, Qwen2.self,
        Qwen2Moe.self, Qwen3.self, Qwen3Moe.self, Qwen3Next.self, SeedOss.self, SmolLM3.self, StableLM.self,
        StarCoder2.self,
    ]

    static let modelTypes = all.flatMap { $0.modelTypes }

    static func architecture(_ modelType: String, at path: String) throws(UserError) -> any Architecture.Type
    {
        guard let found = all.first(where: { $0.modelTypes.contains(modelType) }) else {
            throw UserError(
                .failedRun, "The architecture \"\(modelType)\" is not supported.", at: path,
                remedy: "Use a model of one of these types: \(modelTypes.joined(separator: ", ")).")
        }
        return found
    }
}
