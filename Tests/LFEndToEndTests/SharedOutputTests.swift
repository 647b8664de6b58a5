import Foundation
import Testing

/// What happens around a run must not spoil it: another run in its folder, a reader of its output that leaves.
@Suite struct SharedOutputTests {
    /// Runs a shell command in a folder; returns its exit status and what it wrote to standard error.
    private func shell(_ command: String, in folder: String) throws -> (status: Int32, errors: String) {
        let process = Process()
        let errors = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", command]
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    @Test func aSecondRunInTheSameFolderIsRefused() throws {
        let workplace = try Workplace()
        var second: (status: Int32, errors: String)?
        let settings = shortRun.with(["max_steps": "1000000", "overwrite_output_dir": "true"])
        let first = try workplace.train(
            settings,
            stop: .init(signal: SIGINT) {
                guard workplace.logLineCount >= 2 else { return false }
                second = try? shell("'\(Program.path)' train config.yaml > /dev/null", in: workplace.path)
                return true
            })
        #expect(second?.status == 1)
        #expect(
            second?.errors.contains(
                "error: out: Another run is writing to this output_dir. Wait until it has ended, or choose another output_dir."
            ) == true, "\(second?.errors ?? "")")
        #expect(first.status == 130)
        #expect(workplace.names(in: "out").contains { $0.hasPrefix("checkpoint-") })
    }

    @Test func aReaderThatLeavesDoesNotEndTheRun() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(shortRun).status == 0)
        let expected = try workplace.tensors("out/adapter_model.safetensors")
        try workplace.remove("out")
        let outcome = try shell(
            "'\(Program.path)' train config.yaml 2>&1 | head -n 1 > /dev/null; exit ${PIPESTATUS[0]}",
            in: workplace.path)
        #expect(outcome.status == 0)
        #expect(try workplace.tensors("out/adapter_model.safetensors") == expected)
    }

    /// `/dev/full` is a disk without space.
    @Test(arguments: ["version", "arguments", "train --help", "tokenize models/tiny_llama"])
    func outputThatIsLostIsAnError(_ command: String) throws {
        let workplace = try Workplace()
        let full = try shell(
            "echo '\"text\"' | '\(Program.path)' \(command) > /dev/full; exit ${PIPESTATUS[1]}",
            in: workplace.path)
        #expect(full.status == 1)
        #expect(
            full.errors.contains("standard output: could not be written: no space is left"), "\(full.errors)")
        let left = try shell("'\(Program.path)' \(command) | true; exit 0", in: workplace.path)
        #expect(left.errors.isEmpty)
    }
}
