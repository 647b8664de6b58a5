import LFConfig
import LFDiagnostics
import LFModels
import LFTorch

/// Where a run computes and in which types (upstream `model/patcher.py` and `extras/misc.py`).
struct ComputePlan {
    let device: Device
    /// What products run in.
    let dtype: DType
    /// What frozen weights are held in; nil leaves each on its file, as it is stored there.
    let storedDType: DType?
    /// What trained weights are held in: float32, unless `pure_bf16`.
    let trainedDType: DType
    /// What is kept in float32 all the same, in training.
    let widening: LanguageModel.Widening

    init(_ config: ResolvedConfig, model: ModelConfig) throws {
        guard config.use != .export else {
            (device, dtype, storedDType, trainedDType) = (.cpu, .float32, nil, .float32)
            widening = []
            return
        }
        device = config.training.useCPU ? .cpu : .fastest
        if config.training.profile, config.training.doTrain, device != .cpu {
            throw UserError(
                .configuration,
                "profile measures what the CPU does; a GPU works on while the CPU goes ahead of it.",
                remedy: "Remove it, or set use_cpu: true.")
        }
        switch config.model.computeDType {
        case .float32: dtype = .float32
        case .bfloat16: dtype = .bfloat16
        case .float16 where device == .cpu && !config.training.forcesFloat16:
            // Upstream's autocast and loss scaling are for GPUs: on a CPU `fp16` trains in float32, bit for bit.
            dtype = .float32
        case .float16: dtype = .float16
        case nil:
            switch config.training.doTrain ? .auto : config.model.inferDType {
            case .bfloat16: dtype = .bfloat16
            case .float32: dtype = .float32
            case .float16: dtype = .float16
            case .auto:
                // Half precision without being asked for it only where the device is made for it; a model that
                // talks reads every weight for every token, which half the bytes halve on any device.
                let isSuited = device != .cpu || config.use == .chat || config.use == .api
                dtype = isSuited && model.declaredDType == "bfloat16" ? .bfloat16 : .float32
            }
        }
        storedDType = dtype
        trainedDType = config.finetuning.pureBF16 ? .bfloat16 : .float32
        var widening: LanguageModel.Widening = []
        if config.training.doTrain, dtype != .float32 {
            if config.model.upcastLayernorm { widening.insert(.norms) }
            // Small probabilities vanish in float16 before the scale reaches them; autocast's softmax is float32 too.
            if config.model.upcastLMHeadOutput || dtype == .float16 { widening.insert(.logits) }
        }
        self.widening = widening
    }
}

extension ComputePlan {
    /// What the log says where a setting asks for something that this run has no use for.
    func notes(_ config: ResolvedConfig, processes: Int) -> [String] {
        var notes: [String] = []
        if widening.contains(.norms) { notes.append("Upcasting layernorm weights in float32.") }
        if widening.contains(.logits), config.model.upcastLMHeadOutput {
            notes.append("Upcasting lm_head outputs in float32.")
        }
        if config.model.computeDType == .float16, dtype == .float32 {
            notes.append(
                "fp16: float16 is for GPUs; on the CPU this run computes in float32, as the original does.")
        }
        if dtype == .float16, config.training.doTrain {
            notes.append(
                "fp16: products are float16. Losses are multiplied by \(Int(config.training.lossScaling.initialScale)) at first, and an update whose gradients overflow is left out."
            )
        }
        guard let stage = config.training.zeroStage else { return notes }
        guard processes > 1 else {
            notes.append(
                "Sharding (ZeRO stage \(stage)): one process trains, so there is nothing to shard or offload."
            )
            return notes
        }
        switch stage {
        case 1: notes.append("ZeRO stage 1: each process keeps a share of the optimizer's state.")
        case 2:
            notes.append(
                "ZeRO stage 2: each process keeps a share of the gradients and the optimizer's state.")
        case 3:
            notes.append(
                "ZeRO stage 3: each process keeps a share of the weights, the gradients and the optimizer's state; the backward pass computes every layer again while its weights are there."
            )
        default: break
        }
        return notes
    }
}
