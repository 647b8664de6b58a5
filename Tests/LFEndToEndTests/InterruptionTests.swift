import Foundation
import Testing

@Suite struct InterruptionTests {
    private static let settings = shortRun.with([
        "max_samples": "24", "max_steps": nil, "num_train_epochs": "2", "lora_dropout": "0.1",
        "save_steps": "7",
        "logging_steps": "2",
    ])

    /// What Ctrl-C left, and what a run makes of it that nobody interrupted.
    private func interrupted(
        _ settings: [String: String?], by signal: Int32 = SIGINT
    ) throws -> (workplace: Workplace, outcome: Program.Outcome, expected: OutputSnapshot) {
        let undisturbed = try Workplace()
        #expect(try undisturbed.train(settings).status == 0)
        let workplace = try Workplace()
        let outcome = try workplace.train(
            settings, stop: .init(signal: signal) { workplace.logLineCount >= 2 })
        return (workplace, outcome, try OutputSnapshot(undisturbed))
    }

    /// All files but the checkpoint that Ctrl-C made between two others.
    private func differences(_ workplace: Workplace, _ expected: OutputSnapshot) throws -> [String] {
        try OutputSnapshot(workplace).differences(from: expected).filter {
            !$0.hasSuffix("is too many") && !$0.contains("training_args.yaml")
        }
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func ctrlCSavesACheckpointAndTheSameCommandGoesOn(_ signal: Int32) throws {
        let (workplace, outcome, expected) = try interrupted(Self.settings, by: signal)
        #expect(outcome.status == 130, "\(outcome.log)")
        let notice = try #require(
            outcome.log.firstMatch(of: /Interrupted after step ([0-9]+); saved (\S+)\. Run/))
        #expect(String(notice.2) == "out/checkpoint-\(notice.1)")
        #expect(outcome.log.contains("Run the same command again to continue from there."))
        #expect(workplace.exists("out/checkpoint-\(notice.1)/optimizer.safetensors"))
        #expect(!workplace.exists("out/adapter_model.safetensors"))

        let resumed = try workplace.train(Self.settings)
        #expect(resumed.status == 0 && resumed.log.contains("Resuming at global step \(notice.1)"))
        #expect(try differences(workplace, expected).isEmpty)
    }

    /// The same command would start over, so that the advice is another one.
    @Test func whereTheFolderIsOverwrittenTheAdviceNamesTheCheckpoint() throws {
        let settings = Self.settings.with(["overwrite_output_dir": "true"])
        let (workplace, outcome, expected) = try interrupted(settings)
        #expect(outcome.status == 130)
        let advice = try #require(outcome.log.firstMatch(of: /with resume_from_checkpoint=(\S+) to continue/))
        let resumed = try workplace.train(settings.with(["resume_from_checkpoint": String(advice.1)]))
        #expect(resumed.status == 0, "\(resumed.log)")
        #expect(try differences(workplace, expected).isEmpty)
    }

    /// Regular checkpoints hold weights only; the one that Ctrl-C makes must be resumable all the same.
    @Test func weightsOnlyRunsCanBeInterruptedToo() throws {
        let settings = Self.settings.with(["save_only_model": "true"])
        let (workplace, outcome, expected) = try interrupted(settings)
        #expect(outcome.status == 130)
        #expect(try workplace.train(settings).status == 0)
        #expect(try differences(workplace, expected).isEmpty)
    }
}
