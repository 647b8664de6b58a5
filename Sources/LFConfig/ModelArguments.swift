/// Which model is loaded and how (upstream `hparams/model_args.py`).
public struct ModelArguments: Sendable, Equatable {
    public enum RopeScaling: String, Sendable, CaseIterable { case linear, dynamic, yarn, llama3 }
    public enum InferenceDType: String, Sendable, CaseIterable { case auto, float16, bfloat16, float32 }
    /// Engines of upstream that write text; here one does the work of all.
    public enum InferenceBackend: String, Sendable, CaseIterable { case huggingface, vllm, sglang }
    /// How the embedding of a new token starts.
    public enum NewTokenStart: String, Sendable, CaseIterable {
        /// Near the mean of all.
        case noise = "noise_init"
        /// As the mean of its description's tokens.
        case description = "desc_init"
        case descriptionWithNoise = "desc_init_w_noise"
    }
    public struct TokenDescription: Sendable, Equatable {
        public var token: String
        public var text: String

        public init(token: String, text: String) {
            self.token = token
            self.text = text
        }
    }
    public enum ComputeDType: String, Sendable, CaseIterable { case float32, float16, bfloat16 }

    public var modelNameOrPath: String
    public var adapterNameOrPath: [String] = []
    public var adapterFolder: String?
    /// Adapters of the server that act on the model one beside the other, each for who asks for it (`lora_modules`).
    public var loraModules: [LoRAModule] = []
    /// Where downloads are kept; nil for the hub's usual place.
    public var cacheDir: String?
    /// Branch, tag or commit of what is downloaded.
    public var revision = "main"
    public var hubToken: String?
    public var modelScopeToken: String?
    public var resizeVocab = false
    public var splitSpecialTokens = false
    public var addTokens: [String] = []
    public var addSpecialTokens: [String] = []
    /// What special tokens mean, in their order; empty texts where none is needed (`new_special_tokens_config`).
    public var tokenDescriptions: [TokenDescription] = []
    public var newTokenStart = NewTokenStart.noise
    public var ropeScaling: RopeScaling?
    public var upcastLayernorm = false
    public var upcastLMHeadOutput = false
    public var disableGradientCheckpointing = false
    public var trainFromScratch = false
    /// How much the balance of a mixture's routers counts beside the loss of the tokens.
    public var moeAuxLossCoef: Double?
    public var inferDType = InferenceDType.auto
    public var inferBackend = InferenceBackend.huggingface
    public var printParamStatus = false
    /// Derived: bf16 or pure_bf16 -> bfloat16, fp16 -> float16, else nil (the checkpoint's own type decides).
    public var computeDType: ComputeDType?
    /// Derived: `cutoff_len`; nil where a model is only run, or exported without naming a length.
    public var modelMaxLength: Int?

    public init(modelNameOrPath: String) { self.modelNameOrPath = modelNameOrPath }
}
