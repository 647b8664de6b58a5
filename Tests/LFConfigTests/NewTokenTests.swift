import Foundation
import LFConfig
import Testing

@Suite("Tokens that are to be added")
struct NewTokenTests {
    private func model(_ arguments: String...) throws -> ModelArguments {
        try resolveConfig(arguments: minimal() + arguments).model
    }

    @Test func listsAndTexts() throws {
        let arguments = try model(
            "add_tokens=one, two", "add_special_tokens=[<a>, <b>]", "resize_vocab=true",
            "split_special_tokens=true")
        #expect(arguments.addTokens == ["one", "two"] && arguments.addSpecialTokens == ["<a>", "<b>"])
        #expect(arguments.resizeVocab && arguments.splitSpecialTokens)
        #expect(arguments.newTokenStart == .noise && arguments.tokenDescriptions.isEmpty)
    }

    @Test func descriptionsComeFromAFileInItsOrder() throws {
        let text = """
            # comments are fine
            "<think>": begins a thought
            </think>: 'ends it: really'
            7: a number
            """
        try withFile(text, named: "tokens.yaml") { path in
            let config = try resolveConfig(
                arguments: minimal(
                    "new_special_tokens_config=\(path)", "init_special_tokens=desc_init_w_noise",
                    "add_special_tokens=<other>"))
            #expect(config.model.addSpecialTokens == ["<think>", "</think>", "7"])
            #expect(
                config.model.tokenDescriptions == [
                    .init(token: "<think>", text: "begins a thought"),
                    .init(token: "</think>", text: "ends it: really"), .init(token: "7", text: "a number"),
                ])
            #expect(config.model.newTokenStart == .descriptionWithNoise)
            #expect(
                config.warnings.contains(
                    "The tokens of `new_special_tokens_config` take the place of `add_special_tokens`. Keep one of them."
                ))
        }
    }

    @Test func descriptionsWithoutAFileFallBackToNoise() throws {
        let config = try resolveConfig(
            arguments: minimal("init_special_tokens=desc_init", "add_special_tokens=<a>"))
        #expect(config.model.newTokenStart == .noise)
        #expect(config.warnings.contains { $0.hasPrefix("`init_special_tokens: desc_init` needs") })
    }

    @Test(
        arguments: [
            (["add_tokens=a,b,a"], "add_tokens names the token \"a\" twice. Name it once."),
            (
                ["add_tokens=a,b", "add_special_tokens=b"],
                "The token \"b\" is in both add_tokens and add_special_tokens. Name it once."
            ),
            (
                ["add_tokens=a,,b"],
                "add_tokens has an empty item. Write names with one comma between each two."
            ),
            (["add_special_tokens=[a, '']"], "add_special_tokens has an empty item."),
            (["add_tokens={a: 1}"], "add_tokens must be a list or names with commas between, got a mapping."),
            (["init_special_tokens=mean"], "init_special_tokens must be one of noise_init, desc_init or"),
            (
                ["new_special_tokens_config=none-such.yaml"],
                "none-such.yaml: The new_special_tokens_config file does not exist."
            ),
        ] as [([String], String)])
    func badTokensAreRefused(_ arguments: [String], _ problem: String) {
        let found = problems(minimal() + arguments)
        #expect(found.count == 1 && found[0].contains(problem), "\(found)")
    }

    @Test(
        arguments: [
            ("", "t.yaml: The new_special_tokens_config file is empty. Write one token and its description"),
            ("- <a>\n- <b>\n", "t.yaml: The new_special_tokens_config is a list, not a list of `key: value`"),
            ("just text", "t.yaml: The new_special_tokens_config is a single value, not"),
            ("<a>: x\n<a>: y\n", "t.yaml:2: Key \"<a>\" is given twice, first on line 1."),
            ("<a>: x\n\"\": y\n", "t.yaml:2: The token is empty."),
            ("<a>: [x]\n", "t.yaml:1: The description of \"<a>\" must be text, got a list of 1."),
            ("<a>:\n<b>: y\n", "t.yaml:1: The token \"<a>\" has no description."),
            ("<a>: \" \"\n", "t.yaml:1: The token \"<a>\" has no description."),
            ("<a>: [x\n", "t.yaml:2:"), ("<a>: x\nb: y\n", "is in both add_tokens and new_special_tokens"),
        ])
    func badFilesAreRefused(_ text: String, _ problem: String) throws {
        try withFile(text, named: "t.yaml") { path in
            let found = problems(
                minimal(
                    "new_special_tokens_config=\(path)", "init_special_tokens=desc_init", "add_tokens=b"))
            #expect(found.contains { $0.contains(problem) }, "\(found)")
        }
    }

    @Test func tokensWithoutDescriptionsAreEnoughForNoise() throws {
        try withFile("<a>:\n<b>: ~\n") { path in
            let arguments = try model("new_special_tokens_config=\(path)")
            #expect(arguments.addSpecialTokens == ["<a>", "<b>"])
        }
    }

    /// Strings that Swift takes for equal, but that are other bytes.
    @Test func tokensAreComparedByBytes() throws {
        #expect(try model("add_tokens=\u{DC}n,U\u{308}n").addTokens.count == 2)
    }

    @Test func rewardAdaptersCannotShareNewEmbeddings() {
        let found = problems(
            minimal("stage=ppo", "finetuning_type=lora", "reward_model=r", "add_special_tokens=<a>"))
        #expect(found.count == 1 && found[0].contains("does not work with new tokens"), "\(found)")
    }
}
