package import LFConfig
import LFDiagnostics
package import LFGeneration
package import LFModels
package import LFTemplate
package import LFTokenizer
import LFTorch
package import LFTrainer
import Logging

/// How conversations become prompts, and answers text.
package struct ChatFormat: Sendable {
    package let template: Template
    package let tokenizer: Tokenizer
    /// How the configuration wants answers to be generated.
    package let options: GenerationOptions
    /// The format of the calls that the model writes; nil where nothing is known of it.
    package let callFormat: ToolFormat?
    /// The tokens that the model was made for.
    package let contextLength: Int

    /// The ids of a conversation as the model reads it, up to the answer that it is to write.
    ///
    /// - Parameter messages: Turns of user and assistant, the last one the user's or a tool's.
    package func promptIDs(
        _ messages: [Message], system: String? = nil, tools: String? = nil
    ) throws -> [Int32] {
        try template.encodePrompt(messages, system: system, tools: tools, with: tokenizer)
    }

    /// Whether a prompt ends with the beginning of a thought.
    package func opensThought(_ prompt: [Int32]) -> Bool {
        let opening = template.thoughtWords.opening.filter { !$0.isWhitespace }
        guard !opening.isEmpty else { return false }
        let end = tokenizer.decode(Array(prompt.suffix(16))).filter { !$0.isWhitespace }
        return end.hasSuffix(opening)
    }
}

/// A loaded model with the template that it was trained with, ready to answer (upstream `chat/hf_engine.py`) or to score.
package struct AnsweringModel {
    package let model: LanguageModel
    package let format: ChatFormat
    /// Threads that computing uses; nil leaves it to libtorch.
    package let threads: Int?
    /// Scores texts; nil for a model that answers.
    package let scorer: RewardModel?

    /// Loads the model, merges its adapters and fits the tokenizer to the template.
    ///
    /// - Throws: `UserError` for whatever a person can mend.
    package init(_ config: ResolvedConfig, today: PromptDate = .today, label: String) throws {
        TorchRuntime.keepFreedMemory()
        TorchRuntime.preferHugePages()
        threads = config.training.threads
        if let threads { TorchRuntime.setThreads(threads) }
        let logger = Logger(label: label)
        for warning in config.warnings { logger.warning("\(warning)") }
        if config.model.inferBackend != .huggingface {
            logger.info(
                "infer_backend: \(config.model.inferBackend.rawValue) is answered by the built-in engine, as every backend is."
            )
        }
        var loader = ModelLoader(config: config)
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        try makeAll(
            { _ = try ComputePlan(config, model: ModelConfig.read(directory: folder)) },
            { try loader.checkAdapters(config.model.adapterNameOrPath, key: "adapter_name_or_path") },
            { try loader.checkAdapters(config.model.loraModules.map(\.path), key: "lora_modules") },
            { if let name = config.data.template { try Template.check(name: name) } })
        let setup = try loader.templateSetup(folder: folder, today: today, logger)
        try loader.checkFit(of: setup)
        var options = GenerationOptions(
            config.generating, stopTokens: Set(setup.template.stopTokenIDs(setup.tokenizer)))
        options.writesText = true
        options.skipsSpecialTokens = config.generating.skipSpecialTokens
        try options.validate()
        let prepared = try loader.load()
        model = prepared.model
        try loader.addNamedAdapters(to: model)
        try model.layWeightsTogether(free: FreeMemory.bytes)
        format = ChatFormat(
            template: setup.template, tokenizer: setup.tokenizer, options: options,
            callFormat: setup.template.callFormat, contextLength: model.config.contextLength)
        scorer = prepared.valueHead.map { RewardModel(prepared.model, head: $0) }
        let (device, dtype) = (prepared.plan.device.rawValue, prepared.plan.dtype.rawValue)
        logger.info("The model \(scorer == nil ? "answers" : "scores") on \(device) in \(dtype).")
    }
}
