import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFReport
import LFTestSupport
import Testing

/// Reads the file back by its own rules; `Tools/trackers/check_swanlab.py` has the package itself read one.
@Suite struct SwanLabRunTests {
    private static let header = Array(":SWL".utf8) + [0xD6, 0xE1, 2]

    private func settings(
        _ scratch: ScratchFolder, _ more: [String: String] = [:], _ arguments: [String] = []
    ) throws -> SwanLabSettings {
        let config = try resolveConfig(
            arguments: [
                "model_name_or_path=m", "do_train=true", "dataset=d", "template=llama3", "output_dir=o",
                "use_swanlab=true", "swanlab_logdir=\(scratch.path)",
            ] + arguments, environment: more)
        return try #require(config.training.swanlab)
    }

    /// The messages of the records, by field: 10 start, 11 finish, 12 curve, 13 number, 20 file.
    private func messages(_ records: [[WireField]], _ field: Int) throws -> [[WireField]] {
        try records.compactMap { record in
            try record.first { $0.number == field }.map { try WireField.read($0.bytes) }
        }
    }

    @Test func numbersArriveUnderTheCallbacksNames() throws {
        let scratch = try ScratchFolder()
        let run = SwanLabRun(
            try settings(
                scratch, ["SWANLAB_RUN_ID": "abc", "SWANLAB_TAGS": "x"],
                ["swanlab_project=tides", "swanlab_run_name=Fjäll", "swanlab_workspace=harbour"]),
            now: { Date(timeIntervalSince1970: 1_700_000_000.5) })
        let settings: JSONObject = [
            "stage": "sft \"🦙\"", "rate": .double(1e-5), "nested": ["a": [1, .null, true]],
        ]
        try run.begin(after: 0, events: 0, settings: settings)
        try run.write((["loss": 1.5, "grad_norm": .infinity, "epoch": 0.25] as LogEntry).at(step: 3))
        try run.write((["eval_loss": .nan] as LogEntry).at(step: 3))
        try run.write((["loss": 1.25] as LogEntry).at(step: 4))
        try run.write((["train_loss": 2, "total_flos": 8, "epoch": 1] as LogEntry).at(step: 4))
        try run.finish(exitCode: 0)
        #expect(run.folder.hasPrefix(scratch.path + "/run-") && run.folder.hasSuffix("-abc"))
        let records = try logRecords("\(run.folder)/run-abc.swanlab", header: Self.header).map(WireField.read)

        let start = try messages(records, 10)[0]
        func text(_ number: Int) -> [String] { start.filter { $0.number == number }.map(\.text) }
        #expect(text(1) == ["tides"] && text(2) == ["harbour"] && text(4) == ["Fjäll"] && text(10) == ["abc"])
        #expect(text(6) == ["🦙LlamaFactory", "x"])
        let moment = try WireField.read(#require(start.first { $0.number == 12 }).bytes)
        #expect(moment.map(\.value) == [1_700_000_000, 500_000_000])

        let numbers = try messages(records, 13).map { fields in
            let value = try WireField.read(#require(fields.first { $0.number == 5 }).bytes)[0].value
            let step = fields[1].value
            return "\(fields[0].text) \(step) \(Double(bitPattern: value))"
        }
        #expect(
            numbers == [
                "train/loss 3 1.5", "train/grad_norm 3 nan", "train/epoch 3 0.25", "train/global_step 3 3.0",
                "eval/loss 3 nan", "train/global_step 3 3.0", "train/loss 4 1.25", "train/global_step 4 4.0",
                "single_value/train_loss 4 2.0", "single_value/total_flos 4 8.0", "train/epoch 4 1.0",
                "train/global_step 4 4.0",
            ])
        // A curve is described once, before its first number.
        let curves = try messages(records, 12).map { "\($0[2].text) \($0[3].text)" }
        #expect(
            curves == [
                "train/loss train", "train/grad_norm train", "train/epoch train", "train/global_step train",
                "eval/loss eval", "single_value/train_loss single_value",
                "single_value/total_flos single_value",
            ])
        let counted = records.map { Int64(bitPattern: $0[0].value) }
        #expect(counted == [-1, -3] + Array(1...19) + [-2])
        #expect(try messages(records, 11)[0][0].value == 1)

        let yaml = try String(contentsOfFile: run.folder + "/files/config.yaml", encoding: .utf8)
        #expect(
            yaml.hasPrefix(
                #"""
                "stage":
                  desc: ''
                  sort: 0
                  value: "sft \"\U0001F999\""
                "rate":
                  desc: ''
                  sort: 1
                  value: 1.0e-05
                "nested":
                  desc: ''
                  sort: 2
                  value: {"a": [1, null, true]}

                """#))
        let file = try messages(records, 20)[0]
        #expect(file[0].text == "config" && file.last?.text == yaml)
    }

    /// The state of a run that has ended otherwise, and what became of it.
    @Test(arguments: [(1, 2), (130, 3)]) func anEndIsRecorded(_ exitCode: Int, _ state: Int) throws {
        let scratch = try ScratchFolder()
        let run = SwanLabRun(try settings(scratch))
        try run.begin(after: 0, events: 0, settings: JSONObject())
        try run.finish(exitCode: exitCode)
        try run.finish(exitCode: 0)
        let records = try logRecords("\(run.folder)/run-\(run.id).swanlab", header: Self.header).map(
            WireField.read)
        let ends = try messages(records, 11)
        #expect(ends.count == 1 && ends[0][0].value == UInt64(state) && !ends[0][1].text.isEmpty)
    }
}
