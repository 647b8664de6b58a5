import Foundation
import LFConfig
import LFDiagnostics
import Testing

@Suite("Resuming")
struct ResumeResolutionTests {
    private func decision(_ folder: String, _ more: String...) throws -> ResumeDecision {
        try resolveResume(resolveConfig(arguments: minimal("output_dir=\(folder)") + more))
    }

    private func problem(_ folder: String, _ more: String...) -> String {
        do {
            _ = try resolveResume(resolveConfig(arguments: minimal("output_dir=\(folder)") + more))
            return ""
        } catch { return "\(error)".replacingOccurrences(of: folder, with: "OUT") }
    }

    private func touch(_ path: String) throws {
        let url = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data().write(to: url)
    }

    @Test("The newest checkpoint is continued, by number and not by name")
    func newest() throws {
        try withFolder { folder in
            #expect(try decision(folder) == ResumeDecision())
            for name in [
                "checkpoint-9", "checkpoint-100", "checkpoint-20", "checkpoint-x", "checkpoint-",
                "checkpoint-7b",
            ] {
                try touch("\(folder)/\(name)/trainer_state.json")
            }
            try touch("\(folder)/checkpoint-900")
            try touch("\(folder)/model.safetensors")
            let found = try decision(folder)
            #expect(found.checkpoint == "\(folder)/checkpoint-100")
            #expect(
                found.messages == [
                    "Resuming training from \(folder)/checkpoint-100.",
                    "Change `output_dir` or use `overwrite_output_dir` to avoid.",
                ])
            #expect(
                checkpoints(in: folder).map { $0.dropFirst(folder.count) } == [
                    "/checkpoint-9", "/checkpoint-20", "/checkpoint-100",
                ])
            #expect(try decision(folder, "overwrite_output_dir=true") == ResumeDecision())
            #expect(try decision(folder, "resume_from_checkpoint=false") == ResumeDecision())
            #expect(
                try decision(folder, "resume_from_checkpoint=true").checkpoint == "\(folder)/checkpoint-100")
            #expect(
                try decision(folder, "resume_from_checkpoint=\(folder)/checkpoint-9").checkpoint
                    == "\(folder)/checkpoint-9")
        }
    }

    @Test("Weights of a finished run are not overwritten unasked")
    func weights() throws {
        try withFolder { folder in
            try touch("\(folder)/adapter_model.safetensors")
            #expect(
                problem(folder)
                    == "OUT: Output directory already exists and is not empty: it holds adapter_model.safetensors. "
                    + "Please set `overwrite_output_dir: true`, or choose another `output_dir`.")
            #expect(problem(folder, "overwrite_output_dir=true").isEmpty)
            #expect(problem(folder, "do_train=false", "do_eval=true", "eval_dataset=e").isEmpty)
        }
    }

    @Test("What was asked for must be there")
    func missing() throws {
        try withFolder { folder in
            #expect(
                problem(folder, "resume_from_checkpoint=true").hasPrefix(
                    "OUT: There is no checkpoint to resume from."))
            #expect(
                problem(folder, "resume_from_checkpoint=\(folder)/checkpoint-1")
                    .hasPrefix("OUT/checkpoint-1: The checkpoint to resume from is not a folder."))
            try touch("\(folder)/file")
            #expect(
                problem("\(folder)/file").hasSuffix("output_dir is a file. Choose a folder for `output_dir`.")
            )
        }
    }
}
