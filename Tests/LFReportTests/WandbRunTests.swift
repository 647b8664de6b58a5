import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFReport
import LFTestSupport
import Testing

/// Reads the file back by its own rules, knowing nothing of the writer.
@Suite struct WandbRunTests {
    private func run(
        _ settings: WandbSettings, _ act: (WandbRun) throws -> Void
    ) throws -> [[WireField]] {
        let run = WandbRun(settings, now: { Date(timeIntervalSince1970: 1_700_000_000.5) })
        try act(run)
        return try logRecords(
            "\(run.folder)/run-\(run.id).wandb", header: Array(":W&B".utf8) + [0xE1, 0xBE, 0]
        )
        .map(WireField.read)
    }

    private func settings(
        _ scratch: ScratchFolder, _ more: [String: String] = [:], name: String? = nil
    ) throws
        -> WandbSettings
    {
        try #require(try WandbSettings(more.merging(["WANDB_DIR": scratch.path]) { $1 }, runName: name))
    }

    /// The items of a history or a summary: name to JSON.
    private func items(_ record: [WireField], in number: Int) throws -> [String: String] {
        guard let message = record.first(where: { $0.number == number }) else { return [:] }
        var found: [String: String] = [:]
        for item in try WireField.read(message.bytes) where item.number == 1 {
            let parts = try WireField.read(item.bytes)
            let name = parts.filter { $0.number == 1 || $0.number == 2 }.map(\.text).joined(separator: ".")
            found[name] = parts.last { $0.number == 16 }?.text
        }
        return found
    }

    @Test func numbersArriveUnderTransformersNames() throws {
        let scratch = try ScratchFolder()
        let found = try run(settings(scratch, ["WANDB_RUN_ID": "abc", "WANDB_TAGS": "x,y"], name: "Fjäll")) {
            run in
            try run.begin(after: 0, events: 0, settings: JSONObject([(key: "stage", value: .string("sft"))]))
            try run.write((["loss": 1.5, "grad_norm": .infinity, "epoch": 0.25] as LogEntry).at(step: 3))
            try run.write((["eval_loss": .nan] as LogEntry).at(step: 3))
            try run.write((["train_loss": 2, "total_flos": 8, "epoch": 1] as LogEntry).at(step: 4))
            try run.finish(exitCode: 0)
        }
        #expect(found.enumerated().allSatisfy { Int($1[0].value) == $0 + 1 }, "Records are numbered.")
        #expect(try found.allSatisfy { try WireField.read(#require($0.last).bytes)[0].text == "abc" })
        let described = try WireField.read(#require(found[1].first { $0.number == 17 }).bytes)
        func text(_ number: Int) -> [String] { described.filter { $0.number == number }.map(\.text) }
        #expect(
            text(1) == ["abc"] && text(3) == ["llamafactory"] && text(8) == ["Fjäll"]
                && text(10) == ["x", "y"])
        #expect(
            try items(
                found[1].map {
                    $0.number == 17
                        ? WireField(number: 4, bytes: described.first { $0.number == 4 }?.bytes ?? []) : $0
                }, in: 4) == ["_wandb": "{}", "stage": "\"sft\""])

        let history = try found.map { try items($0, in: 2) }.filter { !$0.isEmpty }
        #expect(history.count == 3)
        #expect(history[0]["train/loss"] == "1.5" && history[0]["train/grad_norm"] == "Infinity")
        #expect(history[0]["train/global_step"] == "3" && history[0]["_step"] == "0")
        #expect(history[1]["eval/loss"] == "NaN" && history[1]["_step"] == "1")
        #expect(history[2]["train/train_loss"] == nil && history[2]["train/epoch"] == "1.0")
        let summary = try found.flatMap { try items($0, in: 3) }
        #expect(
            summary.contains { $0 == ("train_loss", "2.0") }
                && summary.contains { $0 == ("total_flos", "8.0") })
        #expect(found.last?.contains { $0.number == 18 } == true)
    }

    /// Settings longer than a block, and events that end wherever a block does.
    @Test(arguments: [0, 1, 5, 6, 7, 8, 100, 32_000, 70_000])
    func recordsCrossBlocks(_ extra: Int) throws {
        let scratch = try ScratchFolder()
        let long = String(repeating: "é", count: 16_000) + String(repeating: "x", count: extra)
        let found = try run(settings(scratch)) { run in
            try run.begin(after: 0, events: 0, settings: JSONObject([(key: "text", value: .string(long))]))
            for step in 1...120 { try run.write((["loss": 1 / Double(step)] as LogEntry).at(step: step)) }
            try run.finish(exitCode: 1)
        }
        let described = try WireField.read(#require(found[1].first { $0.number == 17 }).bytes)
        let config = WireField(number: 4, bytes: described.first { $0.number == 4 }?.bytes ?? [])
        let text = try #require(try items([config], in: 4)["text"])
        #expect(text == JSONValue.string(long).serialized())
        let losses = try found.compactMap { try items($0, in: 2)["train/loss"] }
        #expect(losses.count == 120 && Double(losses[2]) == 1.0 / 3)
    }

    @Test func anUnfinishedRunCanBeRead() throws {
        let scratch = try ScratchFolder()
        let found = try run(settings(scratch)) { run in
            try run.begin(after: 0, events: 0, settings: JSONObject())
            try run.write((["loss": 1] as LogEntry).at(step: 1))
        }
        #expect(try found.contains { try items($0, in: 2)["train/loss"] == "1.0" })
        #expect(!found.contains { $0.contains { $0.number == 18 } })
    }

    @Test func stepsOfANamedRunGoOnAfterAResume() throws {
        let scratch = try ScratchFolder()
        func firstStep(_ more: [String: String]) throws -> String? {
            try run(settings(scratch, more)) { run in
                try run.begin(after: 5, events: 7, settings: JSONObject())
                try run.write((["loss": 1] as LogEntry).at(step: 6))
            }.compactMap { try items($0, in: 2)["_step"] }.first
        }
        #expect(try firstStep(["WANDB_RUN_ID": "named"]) == "7")
        #expect(try firstStep([:]) == "0")
    }

    @Test func aFolderThatCannotBeMadeIsNamed() throws {
        let scratch = try ScratchFolder()
        try Data().write(to: URL(fileURLWithPath: scratch.path + "/wandb"))
        let run = try WandbRun(settings(scratch))
        let error = #expect(throws: UserError.self) {
            try run.begin(after: 0, events: 0, settings: JSONObject())
        }
        #expect(error?.description.contains(scratch.path + "/wandb") == true)
    }
}
