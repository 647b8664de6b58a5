import Foundation
import Testing

/// What commands say of words that they do not know, and the lists that messages point to.
@Suite struct CommandWordTests {
    @Test(arguments: [
        (
            "preview --bogus",
            "preview has no option \"--bogus\". `llamafactory-cli preview --help` lists its options"
        ),
        ("train --bogus", "unknown key \"bogus\". See `llamafactory-cli train --help` for all arguments."),
        ("export --bogus", "unknown key \"bogus\". See `llamafactory-cli train --help` for all arguments."),
        ("chat --bogus", "unknown key \"bogus\". See `llamafactory-cli train --help` for all arguments."),
        ("tokenize --bogus", "unknown option \"--bogus\" of tokenize. Supported are --decode"),
        ("render llama3", "render needs a template's name and a file of conversations."),
        ("render lama3 talks.json", "template \"lama3\" does not exist. Did you mean \"llama3\"?"),
        (
            "render nothing_alike talks.json",
            "template \"nothing_alike\" does not exist. `llamafactory-cli templates` lists all names"
        ),
        (
            "templates nothing_alike",
            "No template's line holds nothing_alike. `llamafactory-cli templates` without a word lists all of them."
        ),
        (
            "models nothing_alike",
            "No model's line holds nothing_alike. `llamafactory-cli models` without a word lists all of them. A model that is not listed works if `model_type` in its config.json is one of bloom, cohere,"
        ),
        ("trian", "Unknown command: trian."), ("templats", "Unknown command: templats."),
        ("train nothing.yaml", "nothing.yaml: The configuration file does not exist."),
    ])
    func unknownWordsAreAnswered(_ line: String, _ words: String) throws {
        let workplace = try Workplace()
        let outcome = try Program.run(line.split(separator: " ").map(String.init), in: workplace.path)
        #expect(outcome.status != 0 && outcome.problems.contains { $0.contains(words) }, "\(outcome.errors)")
    }

    /// The list that messages about templates point to is there, and each of its names is a template.
    @Test func templatesAreListed() throws {
        let workplace = try Workplace()
        func lines(_ words: String...) throws -> [String] {
            let outcome = try Program.run(["templates"] + words, in: workplace.path)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.output.split(separator: "\n").map(String.init)
        }
        let all = try lines()
        #expect(all.count == 125 && all[0].hasPrefix("template "))
        #expect(try lines("qwen3").dropFirst().allSatisfy { $0.contains("qwen3") })
        #expect(try lines("QWEN3") == lines("qwen3"))
        #expect(try lines("qwen3").count > 3)
    }

    /// Of a type that no listed model has the answer is whether its config.json is read.
    @Test func typesWithoutListedModelsAreTold() throws {
        let workplace = try Workplace()
        let told = try Program.run(["models", "gpt_neox"], in: workplace.path)
        #expect(
            told.status == 0 && told.output.contains(#""model_type": "gpt_neox" works"#), "\(told.errors)")
        let object = try Program.run(["models", "GPT_NeoX", "--json"], in: workplace.path)
        #expect(object.output == "{\"architecture\": \"gpt_neox\", \"works\": true}\n")
    }
}
