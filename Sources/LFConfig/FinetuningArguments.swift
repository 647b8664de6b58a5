/// What is trained and by which objective (upstream `hparams/finetuning_args.py`).
public struct FinetuningArguments: Sendable, Equatable {
    public enum Stage: String, Sendable, CaseIterable { case pt, sft, rm, ppo, dpo, kto }
    public enum FinetuningType: String, Sendable, CaseIterable { case lora, oft, freeze, full }

    public struct LoRA: Sendable, Equatable {
        public var rank = 8
        /// Resolved: twice the rank unless the file says otherwise.
        public var alpha = 16
        public var dropout = 0.0
        /// `["all"]` or module names.
        public var target = ["all"]
        public var additionalTarget: [String] = []
        public var usesRSLoRA = false
        public var createNewAdapter = false
        public var usesDoRA = false
        /// LoRA+: the second factor's learning rate relative to the first's.
        public var plusLearningRateRatio: Double?
        /// Under LoRA+ the learning rate of the second factor of an adapted embedding.
        public var plusEmbeddingRate = 1e-6
        public init() {}
    }

    public struct Freeze: Sendable, Equatable {
        /// The last n layers when positive, the first n when negative.
        public var trainableLayers = 2
        public var trainableModules = ["all"]
        public var extraModules: [String] = []
        public init() {}
    }

    public struct Preference: Sendable, Equatable {
        public enum Loss: String, Sendable, CaseIterable {
            case sigmoid, hinge, ipo, orpo, simpo, robust
            case ktoPair = "kto_pair"
        }

        public var beta = 0.1
        public var ftx = 0.0
        public var bcoWeight = 0.0
        public var loss = Loss.sigmoid
        public var labelSmoothing = 0.0
        public var simpoGamma = 0.5
        public var ldAlpha: Double?
        public var ktoChosenWeight = 1.0
        public var ktoRejectedWeight = 1.0
        public var refModel: String?
        public var refModelAdapters: [String] = []
        public init() {}
    }

    /// Proximal policy optimization: rollouts, their scores, and how much is learned from them.
    public struct PolicyOptimization: Sendable, Equatable {
        public enum RewardModelType: String, Sendable, CaseIterable { case lora, full, api, oft }

        /// An adapter for `lora`, a model for `full`.
        public var rewardModel: String?
        public var rewardModelAdapters: [String] = []
        public var rewardModelType = RewardModelType.lora
        /// How many updates' examples are collected before learning.
        public var bufferSize = 1
        /// Passes over a buffer.
        public var epochs = 4
        public var normalizesScores = false
        /// The divergence per answer, in nats, that the penalty aims at.
        public var targetDivergence = 6.0
        public var whitensRewards = false
        public init() {}
    }

    /// What supervised fine-tuning minimises; one of the three switches of the file.
    public enum TokenLoss: Sendable, Equatable {
        case crossEntropy, dft
        case eaft(alpha: Double)
        case asft(alpha: Double)
    }

    public var stage = Stage.sft
    public var type = FinetuningType.lora
    public var pureBF16 = false
    public var lora = LoRA()
    public var freeze = Freeze()
    public var preference = Preference()
    public var policyOptimization = PolicyOptimization()
    public var tokenLoss = TokenLoss.crossEntropy
    public var computeAccuracy = false
    public var disableShuffling = false
    public var earlyStoppingSteps: Int?
    public var plotLoss = false
    public var includeEffectiveTokensPerSecond = false

    /// Whether the objective needs a reference policy (upstream: dpo with any loss but ORPO and SimPO).
    public var usesReferenceModel: Bool {
        stage == .dpo && preference.loss != .orpo && preference.loss != .simpo
    }

    public init() {}
}
