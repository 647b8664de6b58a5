import Foundation
public import LFConfig
import LFDiagnostics
import LFGeneration
import LFModels
public import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import Logging

/// A loaded model that answers conversations (upstream `chat/chat_model.py` with the engine `huggingface`).
public final class ChatModel {
    /// How an answer ended and what it holds.
    public struct Answer: Sendable, Equatable {
        public enum Ending: Sendable, Equatable {
            /// The model ended it.
            case stop
            /// It reached the greatest length.
            case length
            /// Ctrl-C, or the receiver of the text, ended it.
            case cancelled
        }

        /// All pieces of text together.
        public var text = ""
        /// The tokens written, the one that ended the answer included.
        public var ids: [Int32] = []
        /// How many tokens the prompt has.
        public var promptLength = 0
        public var ending = Ending.length
    }

    private let setup: TemplateSetup
    private let generator: TextGenerator
    private let options: GenerationOptions
    private let skipsSpecialTokens: Bool
    /// What tokens are drawn from; each answer goes on where the one before ended.
    private let random: Generator

    /// Loads the model, merges its adapters and fits the tokenizer to the template.
    ///
    /// - Throws: `UserError` for whatever a person can mend.
    public init(_ config: ResolvedConfig, today: PromptDate = .today) throws {
        TorchRuntime.keepFreedMemory()
        if let threads = config.training.threads { TorchRuntime.setThreads(threads) }
        let logger = Logger(label: "llamafactory.chat")
        for warning in config.warnings { logger.warning("\(warning)") }
        var loader = ModelLoader(config: config)
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        try makeAll(
            { _ = try ComputePlan(config, model: ModelConfig.read(directory: folder)) },
            { try loader.checkAdapters(config.model.adapterNameOrPath, key: "adapter_name_or_path") },
            { if let name = config.data.template { try Template.check(name: name) } })
        setup = try loader.templateSetup(folder: folder, today: today, logger)
        try loader.checkFit(of: setup)
        options = GenerationOptions(
            config.generating, stopTokens: Set(setup.template.stopTokenIDs(setup.tokenizer)))
        try options.validate()
        let prepared = try loader.load()
        generator = TextGenerator(prepared.model, tokenizer: setup.tokenizer)
        skipsSpecialTokens = config.generating.skipSpecialTokens
        random = try Generator(
            seed: config.generating.seed.map { UInt64(bitPattern: Int64($0)) } ?? .random(in: .min ... .max))
        let (device, dtype) = (prepared.plan.device.rawValue, prepared.plan.dtype.rawValue)
        logger.info("The model answers on \(device) in \(dtype).")
    }

    /// The ids of a conversation as the model reads it, up to the answer that it is to write.
    ///
    /// - Parameter messages: Turns of user and assistant, the last one the user's.
    public func promptIDs(_ messages: [Message]) throws -> [Int32] {
        try setup.template.encodePrompt(messages, with: setup.tokenizer)
    }

    /// Writes the next answer of a conversation; Ctrl-C ends it early, a second one the process.
    ///
    /// - Parameters:
    ///   - messages: Turns of user and assistant, the last one the user's.
    ///   - onText: Receives the text as it is written, whole characters at a time; false ends the answer.
    /// - Throws: `UserError` for a conversation that is too long or that the template cannot write.
    public func answer(_ messages: [Message], onText: (String) -> Bool) throws -> Answer {
        let prompt = try promptIDs(messages)
        var answer = Answer()
        answer.promptLength = prompt.count
        var decoder = StreamingDecoder(setup.tokenizer, skipSpecialTokens: skipsSpecialTokens)
        Interruption.reset()
        Interruption.watch(during: .answer)
        defer {
            Interruption.unwatch()
            Interruption.reset()
        }
        var isWanted = true
        func show(_ text: String) {
            guard !text.isEmpty, isWanted else { return }
            answer.text += text
            isWanted = onText(text)
        }
        let sequence = try generator.generate(
            [prompt], options: options, generator: random,
            onToken: { _, token in
                show(decoder.append(token))
                return isWanted
            },
            isCancelled: { Interruption.isRequested })[0]
        show(decoder.finish())
        answer.ids = sequence.ids
        answer.ending =
            switch sequence.finishReason {
            case .stopToken, .stopString: .stop
            case .length: .length
            case .cancelled: .cancelled
            }
        return answer
    }
}
