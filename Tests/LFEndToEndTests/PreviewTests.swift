import Foundation
import LFJSON
import Testing

/// `preview` and `render`, as a person and as a program reads them.
@Suite struct PreviewTests {
    private func preview(_ settings: [String: String?], _ arguments: String...) throws -> Program.Outcome {
        let workplace = try Workplace()
        let lines = settings.sorted { $0.key < $1.key }.compactMap { name, value in
            value.map { "\(name): \($0)\n" }
        }
        try workplace.write(lines.joined(), to: "config.yaml")
        let outcome = try Program.run(["preview", "config.yaml"] + arguments, in: workplace.path)
        #expect(!workplace.exists("out"), "a preview writes nothing")
        if arguments.contains("--html") {
            let page = String(decoding: try workplace.bytes("page.html"), as: UTF8.self)
            #expect(
                page.hasPrefix("<!doctype html>") && page.contains("<mark>")
                    && page.contains("&lt;|eot_id|&gt;"))
        }
        return outcome
    }

    /// One line per example, with the columns that upstream's processed data has, for runs of every kind.
    @Test(arguments: [
        "sft_lora", "sft_lora_train_on_prompt", "sft_lora_packing", "sft_lora_neat_packing",
        "pt_full_packing",
        "pt_lora", "dpo_sigmoid", "rm_lora", "kto_lora", "sft_interleave_over",
    ])
    func jsonExamplesAreUpstreams(run: String) throws {
        let recorded = try JSONValue.read(path: "\(Workplace.fixtures)/runs/\(run)/examples.json")
        let file = try #require(recorded["first_examples_file"]?.string)
        let expected = try #require(
            try JSONValue.read(path: "\(Workplace.fixtures)/\(file)")["first_examples"]?.array)
        let workplace = try Workplace()
        let yaml = try Data(
            contentsOf: URL(fileURLWithPath: "\(Workplace.fixtures)/runs/\(run)/config.yaml"))
        try workplace.write(yaml, to: "config.yaml")
        let outcome = try Program.run(
            ["preview", "config.yaml", "--json", "--examples", "8"], in: workplace.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 8)
        for (line, row) in zip(lines, expected) {
            let columns = try #require(try JSONValue.parse(String(line), source: "preview").object)
            // Padding is where only upstream needs more, and its plain packing lets examples see each other.
            let skipped = Set(
                ["packing_params"] + (run == "sft_lora_packing" ? ["attention_mask"] : []))
            for (name, value) in try #require(row.object) where !skipped.contains(name) {
                #expect(columns[name] == value, "\(run) \(name)")
            }
        }
    }

    @Test func peopleSeeWhatIsLearned() throws {
        let outcome = try preview(
            shortRun.with(["cutoff_len": "48", "val_size": "2"]), "--examples", "2", "--html", "page.html")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let text = outcome.output
        #expect(text.contains("Text between ⟦ and ⟧ is learned."))
        #expect(text.contains("== training example 2: "))
        #expect(text.contains("⟧"))
        #expect(text.contains("== training ==\n6 examples, "))
        #expect(text.contains("== evaluation ==\n2 examples, "))
        #expect(outcome.errors.contains(": cutoff_len 48 cut "), "\(outcome.errors)")
        #expect(text.contains("the run: 3 steps of 2 examples (3 an epoch), about "))
        #expect(text.contains("█"))
    }

    @Test func mistakesAreNamed() throws {
        let outcome = try preview(shortRun.with(["template": "lama3", "dataset": "tides"]))
        #expect(outcome.status == 64 && outcome.problems.count == 2, "\(outcome.errors)")
        #expect(
            try preview(shortRun, "--examples", "many").problems.first?.hasPrefix(
                "--examples needs a number.") == true)
        #expect(try Program.run(["preview"], in: NSTemporaryDirectory()).status == 64)
        for (word, says) in [
            (
                "--bogus",
                "preview has no option \"--bogus\". `llamafactory-cli preview --help` lists its options"
            ),
            ("--exampels", "preview has no option \"--exampels\". Did you mean \"--examples\"?"),
            ("--jsno", "preview has no option \"--jsno\". Did you mean \"--json\"?"),
            ("--max-stepz=3", "command line: unknown key \"max_stepz\". Did you mean \"max_steps\"?"),
        ] {
            let outcome = try preview(shortRun, word)
            #expect(
                outcome.status == 64 && outcome.problems.first?.hasPrefix(says) == true, "\(outcome.errors)")
        }
    }

    @Test func renderPrintsTheRecordedObject() throws {
        let folder = Workplace.fixtures + "/../templates"
        let workplace = try Workplace()
        try workplace.write(
            Data(contentsOf: URL(fileURLWithPath: folder + "/conversations.json")), to: "c.json")
        let outcome = try Program.run(["render", "llama3", "c.json"], in: workplace.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let rendered = try JSONValue.parse(outcome.output, source: "render")
        #expect(rendered == (try JSONValue.read(path: folder + "/cases/llama3.json")))
        #expect(try Program.run(["render", "lama3", "c.json"], in: workplace.path).status == 64)
        #expect(try Program.run(["render", "llama3", "none.json"], in: workplace.path).status != 0)
    }
}
