import Foundation
import LFDiagnostics
import LFReport

/// A recorded run of LLaMA-Factory 0.9.5 (dpo_sigmoid of the golden training runs).
let recordedRun =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("Fixtures/golden/train/runs/dpo_sigmoid").path

/// A folder that goes away with the test.
final class ScratchFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "lf-" + UUID().uuidString
        try createDirectories(at: path)
    }

    func text(_ name: String) throws -> String {
        try String(contentsOfFile: path + "/" + name, encoding: .utf8)
    }
    func lines(_ name: String) throws -> [String] { try text(name).split(separator: "\n").map(String.init) }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + name) }

    deinit { removeTree(path) }
}

/// A clock that a test turns by hand.
final class HandClock {
    var now = 0.0
}

extension LogEntry {
    /// The same numbers, logged at a step.
    func at(step: Int) -> LogEntry {
        var entry = self
        entry.step = step
        return entry
    }
}
