@preconcurrency import Glibc
import LFConfig
import LFDiagnostics
import LFTemplate
import LFTorch
import LFWorkflows

let chatUsage = """
    Usage: llamafactory-cli chat CONFIG.yaml [key=value …]

    Talks with a model on the console. `clear` removes the history, `exit` or Ctrl-D ends; Ctrl-C ends an answer.

      model_name_or_path     the model
      adapter_name_or_path   adapters to merge into it
      template               the template that the model was trained with
      default_system         the system text; by default the template's
      do_sample, temperature, top_p, top_k, num_beams, max_new_tokens, repetition_penalty, …
                             how answers are generated; `train --help` explains them
      infer_dtype            float32, bfloat16 or float16; by default the checkpoint's own
    """

/// Talks with a model, one line a turn (upstream `run_chat`).
func runChat(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(chatUsage)
        return 0
    }
    let model = try ChatModel(resolveConfig(arguments: arguments, for: .chat))
    try ChatConsole(model: model).run()
    return 0
}

/// A conversation on standard input and output.
private struct ChatConsole {
    let model: ChatModel
    private let usesColor = Console.standard.showsColor && isatty(STDIN_FILENO) == 1

    init(model: ChatModel) { self.model = model }

    func run() throws {
        var messages: [Message] = []
        try show(
            "Welcome to the CLI application, use `clear` to remove the history, use `exit` to exit the application.\n"
        )
        while true {
            try show("\n" + colored("User: "))
            switch readLine() {
            case .end:
                return try show("\n")
            case .notUTF8:
                try show(
                    "Detected decoding error at the inputs, please set the terminal encoding to utf-8.\n")
            case .text(let query):
                let command = query.trimmed()
                if command == "exit" { return }
                if command == "clear" {
                    messages = []
                    try show("History has been removed.\n")
                    continue
                }
                messages.append(Message(.user, query))
                try show(colored("Assistant: "))
                if let answer = try write(messages) {
                    messages.append(Message(.assistant, answer))
                } else {
                    // The session goes on as if the question had not been asked.
                    messages.removeLast()
                }
            }
        }
    }

    /// Shows the model's answer as it is written.
    ///
    /// - Returns: Nil when there is none, which has been said.
    /// - Throws: When the output cannot be written.
    private func write(_ messages: [Message]) throws -> String? {
        var failure: (any Error)?
        var answer: ChatModel.Answer?
        var problem: String?
        Interruption.reset()
        Interruption.watch(during: .answer)
        defer {
            Interruption.unwatch()
            Interruption.reset()
        }
        do {
            var painter = usesColor ? ThoughtPainter(try model.thoughtSplitter(messages)) : nil
            answer = try model.answer(messages, isCancelled: { Interruption.isRequested }) { text in
                do { try show(painter?.append(text) ?? text) } catch { failure = error }
                return failure == nil
            }
            if let rest = painter?.finish() { try show(rest) }
        } catch let error as TorchError where error.kind == .outOfMemory {
            problem = "\(error). Remove the history with `clear`, or lower max_new_tokens."
        } catch {
            problem = "\(error)"
        }
        if let failure { throw failure }
        try show("\n")
        if let problem { Console.standard.writeError("error: \(problem)") }
        if usesColor, let answer { try show("\u{1B}[2m\(rates(answer))\u{1B}[0m\n") }
        return answer?.text
    }

    /// What an answer cost.
    private func rates(_ answer: ChatModel.Answer) -> String {
        let new = answer.promptLength - answer.cachedPromptTokens
        let perSecond = Double(max(answer.ids.count - 1, 0)) / max(answer.writingTime, 1e-9)
        return
            "(read \(new) new of \(answer.promptLength) tokens in \(fixed(answer.readingTime, 2)) s, wrote \(answer.ids.count) at \(fixed(perSecond, 1)) a second)"
    }

    private func fixed(_ value: Double, _ digits: Int) -> String {
        let scale = pow(10, Double(digits))
        return "\((value * scale).rounded() / scale)"
    }

    private enum Input {
        case text(String)
        case notUTF8
        case end
    }

    private func readLine() -> Input {
        var buffer: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(buffer) }
        let count = getline(&buffer, &capacity, stdin)
        guard count >= 0, let buffer else { return .end }
        var bytes = UnsafeRawBufferPointer(start: buffer, count: count)[...]
        while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
        return String(validating: bytes, as: UTF8.self).map { .text($0) } ?? .notUTF8
    }

    private func show(_ text: String) throws {
        print(text, terminator: "")
        try flushOutput()
    }

    private func colored(_ text: String) -> String { usesColor ? "\u{1B}[1;36m\(text)\u{1B}[0m" : text }
}

/// Shows thoughts apart from what is said: dim, with an empty line behind them.
private struct ThoughtPainter {
    private var splitter: ThoughtSplitter
    private var isThinking = false

    init(_ splitter: ThoughtSplitter) { self.splitter = splitter }

    mutating func append(_ text: String) -> String { painted(splitter.append(text)) }

    mutating func finish() -> String {
        let text = painted(splitter.finish())
        defer { isThinking = false }
        return text + (isThinking ? "\u{1B}[0m" : "")
    }

    private mutating func painted(_ parts: ThoughtSplitter.Parts) -> String {
        var text = ""
        if !parts.thought.isEmpty {
            if !isThinking { text += "\u{1B}[2m" }
            isThinking = true
            text += parts.thought
        }
        if !parts.content.isEmpty {
            if isThinking { text += "\u{1B}[0m\n\n" }
            isThinking = false
            text += parts.content
        }
        return text
    }
}

extension String {
    /// Without the white space around it.
    fileprivate func trimmed() -> Substring {
        var text = self[...]
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
