import LFDiagnostics
package import LFNN

/// A family of models: what its config.json means, and the parts that a model is built of. One file per family; the registry lists
/// them.
package protocol Architecture: Sendable {
    /// The values of `model_type` that it reads.
    static var modelTypes: [String] { get }
    /// Names that transformers gives the two weights with a row per token.
    static var embeddingName: String { get }
    static var headName: String { get }
    /// Ends of names of tensors that published files hold and nothing reads.
    static var ignoredTensors: [String] { get }
    /// Whether published files hold layers beyond the last, which guess at tokens further on (multi-token prediction) and which nothing reads.
    static var predictsFurther: Bool { get }

    /// - Throws: `UserError` naming the key whose value is malformed or not supported.
    init(_ file: ConfigFile) throws

    var sizes: ModelSizes { get }
    /// How the routers of a mixture are kept in balance while it is trained; nil for models that have none, or that keep it otherwise.
    var balance: RouterBalance? { get }
    /// How many numbers transformers draws while it loads the weights of a file: what a seed draws comes behind them.
    var drawnWhileLoading: Int { get }
    /// Whether the head adds a number per token.
    var headHasBias: Bool { get }
    /// Whether heads are turned by their positions, so that positions can be stretched.
    var hasRotaryPositions: Bool { get }

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
}

/// The architectures that can be loaded.
enum ArchitectureRegistry {
    static let all: [any Architecture.Type] = [
        Bloom.self, Cohere.self, Cohere2.self, DeepSeek.self, Dots1.self, Ernie.self, Exaone4.self,
        Falcon.self, Gemma.self, Gemma2.self, Gemma3.self, GLM.self, GLM4.self, GLM4Moe.self, GPT2.self,
        GPTNeoX.self, GPTOss.self, Granite.self, GraniteMoe.self, Hunyuan.self, LFM2.self, Llama.self,
        MiniMaxM2.self, Mistral.self, Mixtral.self, Nemotron.self, Olmo.self, Olmo2.self, Olmoe.self,
        OPT.self,
        Phi.self, Phi3.self, Qwen2.self, Qwen2Moe.self, Qwen3.self, Qwen3Moe.self, Qwen3Next.self,
        SeedOss.self,
        SmolLM3.self, StableLM.self,
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
