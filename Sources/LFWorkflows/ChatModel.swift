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
        /// How long it took to read the prompt, and to write the answer, in seconds.
        public var readingTime = 0.0
        public var writingTime = 0.0
        public var ending = Ending.length
    }

    private let loaded: AnsweringModel
    private let engine: GenerationEngine
    private let options: GenerationOptions
    /// What tokens are drawn from; each answer goes on where the one before ended.
    private let random: Generator

    /// Loads the model, merges its adapters and fits the tokenizer to the template.
    ///
    /// - Throws: `UserError` for whatever a person can mend.
    public init(_ config: ResolvedConfig, today: PromptDate = .today) throws {
        loaded = try AnsweringModel(config, today: today, label: "llamafactory.chat")
        var options = loaded.format.options
        options.keepsStopToken = true
        self.options = options
        engine = try GenerationEngine(loaded.model, tokenizer: loaded.format.tokenizer)
        random = try Generator(
            seed: config.generating.seed.map { UInt64(bitPattern: Int64($0)) } ?? .random(in: .min ... .max))
    }

    /// The ids of a conversation as the model reads it, up to the answer that it is to write.
    ///
    /// - Parameter messages: Turns of user and assistant, the last one the user's.
    public func promptIDs(_ messages: [Message]) throws -> [Int32] { try loaded.format.promptIDs(messages) }

    /// What tells the thought of the next answer from what it says.
    package func thoughtSplitter(_ messages: [Message]) throws -> ThoughtSplitter {
        let prompt = try promptIDs(messages)
        return ThoughtSplitter(
            loaded.format.template.thoughtWords, beginsInside: loaded.format.opensThought(prompt))
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
        let start = monotonicSeconds()
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
                    case .began(_, let cachedTokens, _):
                        answer.cachedPromptTokens = cachedTokens
                        answer.readingTime = monotonicSeconds() - start
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
        answer.writingTime = monotonicSeconds() - start - answer.readingTime
        return answer
    }
}

extension ChatModel.Answer.Ending {
    init(_ reason: GeneratedSequence.FinishReason) {
        self =
            switch reason {
            case .stopToken, .stopString, .complete: .stop
            case .length: .length
            case .cancelled: .cancelled
            }
    }
}
