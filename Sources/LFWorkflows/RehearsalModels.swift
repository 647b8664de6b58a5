import LFAdapters
import LFConfig
import LFModels
import LFNN
import LFTorch
import LFTrainer

/// Models of the right shapes with drawn weights and few of their blocks, on which a plan measures what a run will cost.
extension ModelLoader {
    /// A model that is like a folder's, but for the values of its weights and the number of its blocks.
    ///
    /// - Parameter blocks: Which are kept, by their numbers in the trained model; of a model with more or fewer blocks those in the
    ///   same places.
    /// - Throws: `TorchError` when there is no memory.
    func rehearsed(
        _ folder: String, _ modelConfig: ModelConfig, _ blocks: [Int], _ plan: ComputePlan
    ) throws -> LanguageModel {
        let model = try outline(folder, modelConfig, for: plan)
        let trained = try configuration(
            localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        ).layerCount
        model.keep(blocks: Self.places(blocks, of: trained, in: model.config.layerCount))
        let noise = try RepeatedNoise()
        for parameter in model.parameters {
            let isWide =
                parameter.role == .buffer || parameter.role == .norm && plan.widening.contains(.norms)
            let dtype = isWide ? .float32 : plan.storedDType ?? .float32
            let drawn = try Tensor.zeros(parameter.tensor.shape, dtype, on: plan.device)
            switch parameter.role {
            case .bias, .buffer: break
            case .norm: try drawn.fillInPlace(1)
            default: try noise.fill(drawn)
            }
            parameter.replace(with: drawn)
        }
        return model
    }

    /// The blocks in the same places of another number of blocks.
    static func places(_ blocks: [Int], of count: Int, in otherCount: Int) -> [Int] {
        guard count != otherCount else { return blocks }
        return Set(blocks.map { min(otherCount - 1, $0 * otherCount / max(count, 1)) }).sorted()
    }

    /// Scores that cost what a reward adapter's cost: those of the policy with its own adapter. A service's cost nothing here.
    func rehearsedRewards(for prepared: PreparedModel, _ folder: String) throws -> any AnswerScoring {
        guard config.finetuning.policyOptimization.rewardModelType == .lora else { return EqualScores() }
        let model = prepared.model
        let head = try savedValueHead(localFolder(folder, key: "reward_model", config.model), for: model)
        return RewardModel(model, head: head, adapters: model.adapterSlots)
    }
}

/// What a reward service answers in a rehearsal, which asks none.
private struct EqualScores: AnswerScoring {
    func scores(of texts: [[Int32]]) -> [Double] { texts.map { _ in 0 } }
}

/// Small random numbers, some of them drawn and then repeated: weights whose values do not matter are there at once.
private struct RepeatedNoise {
    private let values: Tensor

    /// `initializer_range` of most models.
    private static let deviation = 0.02
    private static let count = 1 << 16

    init() throws(TorchError) {
        values = try Tensor.zeros([Self.count])
        try values.fillNormalInPlace(mean: 0, deviation: Self.deviation, Generator(seed: 1))
    }

    func fill(_ tensor: Tensor) throws(TorchError) {
        let flat = try tensor.reshaped([tensor.count])
        let rows = tensor.count / Self.count
        if rows > 0 {
            try flat.slice(0..<rows * Self.count).reshaped([rows, Self.count])
                .copyInPlace(values.expanded([rows, Self.count]))
        }
        let rest = tensor.count - rows * Self.count
        if rest > 0 {
            try flat.slice(rows * Self.count..<tensor.count).copyInPlace(values.slice(0..<rest))
        }
    }
}
