import LFConfig
import LFTemplate
import LFTokenizer
import LFWorkflows
import Testing

/// What a chat reads and shows, token by token.
@Suite struct ChatModelTests {
    private static let folder = Golden.training + "/models/tiny_llama"

    private func model(_ more: [(String, ArgumentValue)] = []) throws -> ChatModel {
        try ChatModel(
            resolveConfig(
                values: [
                    ("model_name_or_path", .string(Self.folder)), ("template", .string("llama3")),
                    ("do_sample", .bool(false)), ("max_new_tokens", .int(40)),
                ] + more, for: .chat))
    }

    private let talk = [
        Message(.user, "Ist die Fähre 渡し船 voll?"), Message(.assistant, "Yes 🛳️."), Message(.user, "And now?"),
    ]

    /// The pieces are the answer, and the answer is what the ids decode to.
    @Test(arguments: [true, false]) func piecesAreTheWholeText(_ skips: Bool) throws {
        let model = try model([("skip_special_tokens", .bool(skips)), ("repetition_penalty", .double(1.2))])
        let tokenizer = try Tokenizer.load(directory: Self.folder)
        var pieces: [String] = []
        let answer = try model.answer(talk) {
            pieces.append($0)
            return true
        }
        #expect(pieces.count > 10)
        #expect(pieces.joined() == answer.text)
        #expect(answer.text == tokenizer.decode(answer.ids, skipSpecialTokens: skips))
        #expect(answer.ids.count <= 40 && answer.ending != .cancelled)
        #expect(answer.promptLength == (try model.promptIDs(talk)).count)
        #expect(answer.readingTime > 0 && answer.writingTime > 0)
    }

    /// The prompt of a later turn is the training example of the turns before it.
    @Test func promptsAreTheTurnsOfTraining() throws {
        var data = DataArguments()
        data.template = "llama3"
        data.defaultSystem = "Be brief."
        let setup = try TemplateSetup(data, tokenizer: Tokenizer.load(directory: Self.folder))
        let turns = try setup.template.encodeMultiTurn(
            talk + [Message(.assistant, "")], with: setup.tokenizer)
        let expected = turns[0].prompt + turns[0].response + turns[1].prompt
        let model = try model([("default_system", .string("Be brief."))])
        #expect(try model.promptIDs(talk) == expected)
    }

    @Test func aReceiverMayEndTheAnswer() throws {
        let model = try model()
        var pieces = 0
        let answer = try model.answer(talk) { _ in
            pieces += 1
            return pieces < 3
        }
        #expect(pieces == 3 && answer.ending == .cancelled)
        let whole = try model.answer(talk) { _ in true }
        #expect(whole.text.hasPrefix(answer.text) && whole.text != answer.text)
    }
}
