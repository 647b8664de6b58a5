import Foundation
import LFJSON
import Testing

/// One way in which a checkpoint comes to harm.
struct Damage: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// What the refusal must say.
    var words: String
    var inflict: @Sendable (_ workplace: Workplace, _ checkpoint: String) throws -> Void

    static let all = [
        Damage(
            testDescription: "truncated optimizer", words: "optimizer.safetensors has 1000 bytes instead of"
        ) {
            try $0.truncate($1 + "/optimizer.safetensors", to: 1000)
        },
        Damage(
            testDescription: "flipped bit in the weights",
            words: "adapter_model.safetensors does not match its recorded checksum."
        ) { try $0.flipBit(of: $1 + "/adapter_model.safetensors", at: 40_000) },
        Damage(
            testDescription: "flipped bit in the state",
            words: "trainer_state.json does not match its recorded checksum."
        ) { try $0.flipBit(of: $1 + "/trainer_state.json", at: 100) },
        Damage(testDescription: "missing random streams", words: "rng_state.safetensors is missing.") {
            try $0.remove($1 + "/rng_state.safetensors")
        },
        Damage(
            testDescription: "stray file",
            words: "notes.txt is there, but was not when the checkpoint was written."
        ) {
            try $0.write("hello", to: $1 + "/notes.txt")
        },
        Damage(testDescription: "missing manifest", words: "has no manifest.json") {
            try $0.remove($1 + "/manifest.json")
        },
        Damage(testDescription: "truncated manifest", words: "manifest.json:") {
            try $0.truncate($1 + "/manifest.json", to: 100)
        },
        Damage(testDescription: "manifest of other content", words: "is not a manifest of version 1.") {
            try $0.write("[]", to: $1 + "/manifest.json")
        },
        Damage(testDescription: "empty folder", words: "has no manifest.json") { workplace, checkpoint in
            for name in workplace.names(in: checkpoint) { try workplace.remove(checkpoint + "/" + name) }
        },
    ]
}

@Suite struct DamagedCheckpointTests {
    private static let settings = shortRun.with(["max_steps": "4", "save_steps": "2", "lora_dropout": "0.1"])

    @Test(arguments: Damage.all)
    func aDamagedCheckpointIsRefusedByNameAndTheOneBeforeItUsed(_ damage: Damage) throws {
        let workplace = try Workplace()
        #expect(try workplace.train(Self.settings).status == 0)
        let expected = try OutputSnapshot(workplace)
        try damage.inflict(workplace, "out/checkpoint-4")

        let resumed = try workplace.train(Self.settings)
        #expect(resumed.status == 0, "\(resumed.log)")
        let warning = resumed.log.split(separator: "\n").first {
            $0.contains("The checkpoint before it is used.")
        }
        #expect(
            warning?.contains("out/checkpoint-4") == true && warning?.contains(damage.words) == true,
            "\(resumed.log)")
        #expect(resumed.log.contains("Resuming training from out/checkpoint-2"))
        #expect(try OutputSnapshot(workplace).differences(from: expected).isEmpty)
    }

    @Test func aDamagedCheckpointThatWasAskedForIsRefused() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(Self.settings).status == 0)
        try workplace.flipBit(of: "out/checkpoint-2/optimizer.safetensors", at: 5000)
        let before = try OutputSnapshot(workplace)
        let refused = try workplace.train(Self.settings.with(["resume_from_checkpoint": "out/checkpoint-2"]))
        #expect(refused.status == 1)
        #expect(
            refused.problems == [
                "out/checkpoint-2: optimizer.safetensors does not match its recorded checksum. "
                    + "Resume from another checkpoint; this one is damaged."
            ])
        #expect(try OutputSnapshot(workplace).differences(from: before).isEmpty)
    }

    @Test func whenNoCheckpointIsWholeNothingIsOverwritten() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(Self.settings).status == 0)
        for step in [2, 4] { try workplace.truncate("out/checkpoint-\(step)/optimizer.safetensors", to: 10) }
        let before = try OutputSnapshot(workplace)
        let refused = try workplace.train(Self.settings)
        #expect(refused.status == 1)
        #expect(
            refused.problems == [
                "out: None of the checkpoints can be resumed from. "
                    + "Remove them, or set overwrite_output_dir: true to start from the beginning."
            ])
        #expect(refused.log.contains("out/checkpoint-2") && refused.log.contains("out/checkpoint-4"))
        #expect(try OutputSnapshot(workplace).differences(from: before).isEmpty)
    }

    /// A best checkpoint that came to harm is no reason to lose the run.
    @Test func withoutTheBestCheckpointTheLastWeightsAreKept() throws {
        let workplace = try Workplace()
        let settings = Self.settings.with([
            "greater_is_better": "true", "eval_dataset": "harbor_small",
            "eval_strategy": "steps", "eval_steps": "2",
            "load_best_model_at_end": "true",
        ])
        #expect(try workplace.train(settings).status == 0)
        let best = try workplace.json("out/trainer_state.json")["best_model_checkpoint"]?.string
        try #require(best == "out/checkpoint-2", "the loss was greater there")
        try workplace.truncate("out/checkpoint-2/adapter_model.safetensors", to: 10)
        let again = try workplace.train(settings)
        #expect(again.status == 0)
        #expect(again.log.contains("The last weights are kept instead of the best."))
        #expect(
            try workplace.bytes("out/adapter_model.safetensors")
                == workplace.bytes("out/checkpoint-4/adapter_model.safetensors"))
    }
}
