import Foundation
public import LFConfig
import LFDiagnostics
import LFGeneration
import LFModels
public import LFTemplate
import LFTokenizer
import LFTorch
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
        /// How many of them were known from earlier turns.
        public var cachedPromptTokens = 0
        public var ending = Ending.length
    }

    private let setup: TemplateSetup
    private let engine: GenerationEngine
    private let options: GenerationOptions
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
        var options = GenerationOptions(
            config.generating, stopTokens: Set(setup.template.stopTokenIDs(setup.tokenizer)))
        (options.writesText, options.keepsStopToken) = (true, true)
        options.skipsSpecialTokens = config.generating.skipSpecialTokens
        try options.validate()
        self.options = options
        let prepared = try loader.load()
        engine = try GenerationEngine(prepared.model, tokenizer: setup.tokenizer)
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

    /// Writes the next answer of a conversation. What earlier turns have in common with it is not computed again.
    ///
    /// - Parameters:
    ///   - messages: Turns of user and assistant, the last one the user's.
    ///   - isCancelled: Asked before each token; true ends the answer.
    ///   - onText: Receives the text as it is written, whole characters at a time; false ends the answer.
    /// - Throws: `UserError` for a conversation that is too long or that the template cannot write.
    public func answer(
        _ messages: [Message], isCancelled: () -> Bool = { false }, onText: (String) -> Bool
    ) throws -> Answer {
        let prompt = try promptIDs(messages)
        var answer = Answer()
        answer.promptLength = prompt.count
        let id = try engine.submit(GenerationRequest(prompt, options: options, random: .stream(random)))
        func show(_ text: String) {
            guard !text.isEmpty else { return }
            answer.text += text
            if !onText(text) { engine.cancel(id) }
        }
        do {
            while engine.isBusy {
                if isCancelled() { engine.cancel(id) }
                for event in try engine.step() {
                    switch event {
                    case .began(_, let cachedTokens, _): answer.cachedPromptTokens = cachedTokens
                    case .token(_, _, let token): show(token.text)
                    case .finished(_, _, let sequence):
                        show(sequence.closingText)
                        answer.ids = sequence.ids
                        answer.ending = Answer.Ending(sequence.finishReason)
                    case .failed(_, let error): throw error
                    }
                }
            }
        } catch {
            engine.abandon()
            throw error
        }
        return answer
    }
}

extension ChatModel.Answer.Ending {
    init(_ reason: GeneratedSequence.FinishReason) {
        self =
            switch reason {
            case .stopToken, .stopString: .stop
            case .length: .length
            case .cancelled: .cancelled
            }
    }
}
