import LFTemplate
import LFTokenizer
import Testing

/// What Ollama makes of the Modelfiles of all templates.
@Suite struct ModelfileTests {
    private static let talk = [("user", "a b"), ("assistant", "c"), ("user", "d")]

    /// The texts before the last answer, token names written out.
    private func trained(_ template: Template, system: String?, _ tokenizer: Tokenizer) throws -> String {
        let messages = [
            Message(.user, "a b"), Message(.assistant, "c"), Message(.user, "d"), Message(.assistant, "e"),
        ]
        let turns = try template.renderMultiTurn(messages, system: system)
        return (turns[0].prompt + turns[0].response + turns[1].prompt).map { slot in
            switch slot {
            case .text(let text), .token(let text): text
            case .bos: tokenizer.bosToken ?? ""
            case .eos: tokenizer.eosToken ?? ""
            }
        }.joined()
    }

    private func expectTrainedText(_ template: Template, _ tokenizer: Tokenizer, begins: inout Int) throws {
        let bos = try #require(tokenizer.bosToken)
        for beginning in [nil, bos] {
            guard let file = template.ollamaModelfile(for: tokenizer, beginning: beginning) else { return }
            let reading = try OllamaReading(modelfile: file.text)
            for system in [nil, "Be brief."] {
                let expected = try trained(template, system: system, tokenizer)
                let told = system.map { [("system", $0)] } ?? []
                var text = try reading.rendered(
                    system: system, (told + Self.talk).map { (role: $0.0, content: $0.1) })
                if beginning != nil, expected.hasPrefix(bos) {
                    begins += 1
                    text = bos + text
                }
                #expect(text == expected, "\(template.name), \(beginning ?? "none"): \(file.text)")
            }
        }
    }

    /// Text for text what the model was trained on, whether Ollama's tokenizer puts the beginning of a sequence in front or not.
    @Test func textsAreTheTrainedOnes() throws {
        let plain = try Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama")
        var (count, begins) = (0, 0)
        for named in TemplateCatalogue.all {
            var template = named
            // Ollama has words of its own for thoughts.
            if template.isReasoning { template.kind = .plain }
            let tokenizer = try template.fitting(plain)
            guard template.ollamaModelfile(for: tokenizer) != nil else { continue }
            count += 1
            try expectTrainedText(template, tokenizer, begins: &begins)
        }
        #expect(count >= 100 && begins >= 60, "\(count) templates, \(begins) texts")
    }

    /// A token that begins every turn stands in front of the first one once, whoever writes it.
    @Test func theFirstTurnBeginsOnce() throws {
        let tokenizer = try Tokenizer.load(directory: "\(TemplateSetupTests.models)/tiny_llama")
        for kind in [Template.Kind.plain, .systemInUser] {
            for defaultSystem in ["", "Be kind.", "a\u{200B}\"\"\"b"] {
                var template = try Template.named("vicuna")
                template.kind = kind
                template.defaultSystem = defaultSystem
                template.prefix = []
                template.system = kind == .plain ? [.bos, "S {{content}} "] : "S {{content}} "
                template.user = [.bos, "U {{content}} A "]
                var begins = 0
                try expectTrainedText(template, tokenizer, begins: &begins)
                #expect(begins == 2)
            }
        }
    }
}
