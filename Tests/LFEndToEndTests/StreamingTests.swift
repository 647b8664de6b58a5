import Foundation
import LFJSON
import Testing

/// `streaming: true` from the outside: what is said when a stream holds, lacks or spoils something.
@Suite struct StreamingTests {
    private static let settings = shortRun.with([
        "streaming": "true", "max_samples": nil, "dataset": "own", "max_steps": "8", "buffer_size": "4",
        "preprocessing_batch_size": "5", "save_steps": "3", "disable_tqdm": "true",
    ])

    private func rows(_ count: Int) -> [String] {
        (0..<count).map { #"{"instruction": "q\#($0)", "input": "", "output": "a"}"# }
    }

    /// A dataset of several files on a hub changes their order, as `streaming.json` has it of the original.
    @Test func filesOfAHubChangePlaces() throws {
        let golden = try JSONValue.read(path: Workplace.fixtures + "/../streaming.json")
        let recorded = try #require(golden["cases"]?.array?.first { $0["files"]?.bool == true })
        let lengths = try #require(recorded["lengths"]?.array).compactMap(\.int)
        let workplace = try Workplace()
        let repository = "cache/datasets--team--rows"
        let commit = String(repeating: "ab", count: 20)
        for folder in ["/refs", "/snapshots/\(commit)"] {
            try FileManager.default.createDirectory(
                atPath: "\(workplace.path)/\(repository)\(folder)", withIntermediateDirectories: true)
        }
        try workplace.write(commit, to: "\(repository)/refs/main")
        var start = 0
        for (index, length) in lengths.enumerated() {
            let lines = (start..<start + length).map { "{\"text\": \"\($0)\"}\n" }.joined()
            let name = "train-0000\(index)-of-0000\(lengths.count).jsonl"
            try workplace.write(lines, to: "\(repository)/snapshots/\(commit)/\(name)")
            start += length
        }
        try workplace.edit(
            "data/dataset_info.json",
            ["own": ["hf_hub_url": "team/rows", "columns": ["prompt": "text"]]])
        let settings = Self.settings.with([
            "stage": "pt", "template": nil, "packing": "false", "preprocessing_batch_size": "1000",
            "seed": recorded["seed"]?.int.map(String.init),
            "buffer_size": recorded["buffer"]?.int.map(String.init),
        ])
        let lines = settings.compactMap { name, value in value.map { "\(name): \($0)\n" } }
        try workplace.write(lines.joined(), to: "config.yaml")
        let outcome = try Program.run(
            ["preview", "config.yaml", "--examples", "100"], in: workplace.path,
            environment: ["HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": workplace.path + "/cache"])
        try #require(outcome.status == 0, "\(outcome.log)")
        let shown = outcome.log.split(separator: "\n").filter { $0.hasPrefix("⟦") }
            .compactMap { Int($0.dropFirst().prefix { $0.isNumber }) }
        let expected = try #require(recorded["passes"]?[0]?["order"]?.array).compactMap(\.int)
        #expect(shown == expected)
    }

    @Test func aPreviewSaysThatItShowsABeginning() throws {
        let workplace = try Workplace()
        try workplace.addDataset(rows(40).joined(separator: "\n"))
        let lines = Self.settings.compactMap { name, value in value.map { "\(name): \($0)\n" } }
        try workplace.write(lines.joined(), to: "config.yaml")
        let outcome = try Program.run(["preview", "config.yaml"], in: workplace.path)
        #expect(outcome.status == 0)
        #expect(outcome.log.contains("the stream's first 5 training example 1"))
        #expect(outcome.log.contains("the run: 8 steps of 2 examples, streamed from "))
    }

    /// The run ends with the row's place; what was saved before is whole, and goes on once the row is mended.
    @Test func aBadRowEndsTheRunWhereItStands() throws {
        var lines = rows(18)
        let undisturbed = try Workplace()
        try undisturbed.addDataset(lines.joined(separator: "\n"))
        #expect(try undisturbed.train(Self.settings).status == 0)

        let workplace = try Workplace()
        let good = lines[14]
        lines[14] = String(good.dropLast(2))
        try workplace.addDataset(lines.joined(separator: "\n"))
        let failed = try workplace.train(Self.settings)
        #expect(failed.status == 1)
        #expect(failed.log.contains("data/own.json:15:"), "\(failed.log)")
        #expect(workplace.names(in: "out").contains("checkpoint-3"))
        lines[14] = good
        try workplace.addDataset(lines.joined(separator: "\n"))
        let resumed = try workplace.train(Self.settings)
        #expect(resumed.status == 0 && resumed.log.contains("Resuming training from out/checkpoint-"))
        #expect(
            try workplace.tensors("out/adapter_model.safetensors")
                == undisturbed.tensors("out/adapter_model.safetensors"))
    }

    @Test(arguments: [
        ("", "own.json: The data file has no rows."),
        ("\n\n", "own.json: The data file has no rows."),
        (#"{"instruction": "q", "input": ""}"#, "has no column \"output\""),
        (#"{"instruction": "q", "input": "", "output": null}"#, "No valid example is left of own."),
        ("[1]", "own.json: row 1: A row is not an object."),
    ])
    func streamsWithoutExamplesAreRefused(_ text: String, _ message: String) throws {
        let workplace = try Workplace()
        try workplace.addDataset(text)
        let outcome = try workplace.train(Self.settings)
        #expect(outcome.status == 1 && outcome.log.contains(message), "\(outcome.log)")
        #expect(!workplace.exists("out"))
    }

    @Test func aPassWithoutAWholeBatchIsRefused() throws {
        let workplace = try Workplace()
        try workplace.addDataset(rows(3).joined(separator: "\n"))
        let outcome = try workplace.train(
            Self.settings.with(["per_device_train_batch_size": "4", "dataloader_drop_last": "true"]))
        #expect(outcome.status == 1 && outcome.log.contains("do not fill one batch of 4."), "\(outcome.log)")
    }

    /// A checkpoint of a run that did not stream does not say where a stream stood.
    @Test func aListsCheckpointIsNoStreams() throws {
        let workplace = try Workplace()
        try workplace.addDataset(rows(40).joined(separator: "\n"))
        #expect(
            try workplace.train(Self.settings.with(["streaming": "false", "max_steps": "3"])).status == 0)
        let refused = try workplace.train(Self.settings)
        #expect(
            refused.status == 1 && refused.log.contains("does not record a position in the data stream"),
            "\(refused.log)"
        )
        #expect(try workplace.train(Self.settings.with(["ignore_data_skip": "true"])).status == 0)
    }

    /// A position counts rows in one order; in another it is another place, which is allowed but said.
    @Test func anotherArrangementIsWarnedAbout() throws {
        let workplace = try Workplace()
        try workplace.addDataset(rows(40).joined(separator: "\n"))
        #expect(try workplace.train(Self.settings.with(["max_steps": "3"])).status == 0)
        let again = try workplace.train(Self.settings.with(["preprocessing_batch_size": "6"]))
        #expect(again.status == 0 && again.log.contains("preprocessing_batch_size 5\" then"), "\(again.log)")
    }

    /// Of rows that are dropped the whole count comes at the end, of all that the run read.
    @Test func droppedRowsAreReported() throws {
        let workplace = try Workplace()
        var lines = rows(18)
        for place in [2, 9, 16] { lines[place] = #"{"instruction": "q", "input": "", "output": null}"# }
        try workplace.addDataset(lines.joined(separator: "\n"))
        let outcome = try workplace.train(Self.settings)
        #expect(outcome.status == 0)
        #expect(
            outcome.log.contains(
                "own.json: dropped 3 of 18 rows because there is no answer to learn: lines 3, 10, 17."),
            "\(outcome.log)")
    }
}
