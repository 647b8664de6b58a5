import Foundation
import LFConfig
import LFDiagnostics
import LFTemplate
import LFTokenizer
import Testing

/// What a template does to the tokenizer (`get_template_and_fix_tokenizer`).
@Suite struct TemplateSetupTests {
    static let models = URL(fileURLWithPath: Golden.folder).deletingLastPathComponent().path + "/train/models"

    private func setup(
        _ template: String?, _ model: String, _ change: (inout DataArguments) -> Void = { _ in }
    ) throws
        -> TemplateSetup
    {
        var data = DataArguments()
        data.template = template
        change(&data)
        return try TemplateSetup(data, tokenizer: Tokenizer.load(directory: "\(Self.models)/\(model)"))
    }

    @Test func aMissingPaddingTokenIsTheEOSToken() throws {
        let fitted = try setup("llama3", "tiny_llama")
        #expect(fitted.tokenizer.eosToken == "<|eot_id|>")
        #expect(fitted.tokenizer.padToken == "<|eot_id|>")
        #expect(fitted.notes == ["Added the padding token <|eot_id|>."])
        #expect(fitted.warnings.isEmpty)
        let stop = fitted.template.stopTokenIDs(fitted.tokenizer)
        #expect(stop.map { fitted.tokenizer.token(of: $0) } == ["<|eot_id|>", "<|eom_id|>"])
    }

    /// Qwen's own padding token stays, and so does its EOS token where the template names the same.
    @Test func whatIsThereStays() throws {
        let fitted = try setup("qwen", "tiny_qwen2")
        #expect(fitted.tokenizer.eosToken == "<|im_end|>")
        #expect(fitted.tokenizer.padToken == "<|endoftext|>")
        #expect(fitted.notes.isEmpty)
        #expect(fitted.warnings.isEmpty)
    }

    @Test func theFirstStopWordReplacesTheEOSToken() throws {
        let fitted = try setup("chatml", "tiny_llama")
        #expect(fitted.tokenizer.eosToken == "<|im_end|>")
        #expect(fitted.tokenizer.padToken == "<|im_end|>")
        #expect(fitted.notes.first == "Replaced the EOS token <|eot_id|> by <|im_end|>.")
        #expect(
            fitted.warnings == [
                "The template \"chatml\" added 2 tokens to the tokenizer, which the model was not trained on. Check that it is this model's template."
            ])
        // Both are special now: one token each, wherever they stand.
        #expect(try fitted.tokenizer.encode("<|im_start|><|im_end|>").count == 2)
        #expect(fitted.chatTemplate?.contains("<|im_start|>user\n") == true)
    }

    @Test func ownChatTemplatesAreWrittenOnlyWhereAsked() throws {
        // The tokenizer has none, so it gets the template's; `alpaca` replaces any.
        let alpaca = try setup("alpaca", "tiny_llama").chatTemplate
        #expect(alpaca?.contains("### Instruction:\n") == true)
        #expect(alpaca?.contains("'<|eot_id|>'") == true, "the EOS token is spelled out")
        #expect(try setup("chatglm3", "tiny_llama").chatTemplate == nil, "Jinja cannot hold tokens by name")
    }

    @Test func argumentsAlterTheTemplate() throws {
        let fitted = try setup("qwen3", "tiny_qwen2") {
            $0.defaultSystem = "Be brief."
            $0.toolFormat = "mistral"
            $0.enableThinking = nil
            $0.preserveThinking = true
        }
        #expect(fitted.template.defaultSystem == "Be brief.")
        #expect(fitted.template.toolFormat == .mistral)
        #expect(fitted.template.function == ["{{content}}", .eos])
        #expect(fitted.template.enableThinking == nil)
        #expect(fitted.template.preservesThinking)
        #expect(fitted.notes.contains { $0.contains("qwen3_nothink") })
        let turn = try fitted.template.renderOneTurn([
            Message(.user, "q"), Message(.assistant, "<think>\na\n</think>\n\nb"), Message(.user, "r"),
            Message(.assistant, "c"),
        ])
        #expect(
            turn.prompt.contains(.text("<think>\na\n</think>\n\nb<|im_end|>\n")), "history keeps its thought")
        #expect(
            turn.prompt.last == .text("<think>\n\n</think>\n\n"), "an empty thought is given, not learned")
    }

    @Test func impossibleWishesAreRefused() throws {
        func message(_ template: String?, _ change: (inout DataArguments) -> Void = { _ in }) -> String {
            do {
                _ = try setup(template, "tiny_llama", change)
                return "no failure"
            } catch { return "\(error)" }
        }
        #expect(message("llama33") == #"template "llama33" does not exist. Did you mean "llama3"?"#)
        for (name, template) in [("qwen2_5", "qwen"), ("Qwen2.5", "qwen"), ("llama3.1", "llama3")] {
            #expect(
                message(name)
                    == "template \"\(name)\" does not exist. Models of this name were trained with \"\(template)\"."
            )
        }
        #expect(
            message("solar") { $0.trainOnPrompt = true }.hasPrefix(
                "train_on_prompt does not work with the template \"solar\"."))
        #expect(
            message("llama3") { $0.toolFormat = "lama3" }.hasPrefix(
                "tool_format \"lama3\" does not exist. Use one of default,"))
        #expect(
            message(nil).hasPrefix(
                "Please specify which `template` to use: the tokenizer has no chat template"))
    }

    /// `chatglm3` puts tokens in by name, which another family's tokenizer lacks.
    @Test func missingTokensAreNamed() throws {
        let fitted = try setup("chatglm3", "tiny_llama")
        let error = #expect(throws: UserError.self) {
            try fitted.template.encodeOneTurn(
                [Message(.user, "q"), Message(.assistant, "a")], with: fitted.tokenizer)
        }
        #expect(
            error?.problem
                == "The template \"chatglm3\" needs the token \"[gMASK]\", which the tokenizer lacks.")
    }

    /// Each slot is tokenized on its own: "Assistant:" and the answer do not merge.
    @Test func slotBordersAreTokenBorders() throws {
        let fitted = try setup("vicuna", "tiny_llama")
        let turn = try fitted.template.encodeOneTurn(
            [Message(.user, "q"), Message(.assistant, "a")], with: fitted.tokenizer)
        let system = fitted.template.defaultSystem
        #expect(
            turn.prompt
                == (try fitted.tokenizer.encode(system)) + (try fitted.tokenizer.encode("USER: q ASSISTANT:"))
        )
        #expect(turn.response == (try fitted.tokenizer.encode("a")) + [try #require(fitted.tokenizer.eosID)])
    }

    @Test func templateNamesAreUnique() {
        #expect(Set(TemplateCatalogue.all.map(\.name)).count == TemplateCatalogue.all.count)
        #expect(TemplateCatalogue.all.allSatisfy { !$0.replacesEOS || !$0.stopWords.isEmpty })
    }
}
