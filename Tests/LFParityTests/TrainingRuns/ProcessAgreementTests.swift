import Foundation
import LFConfig
import LFReport
import Testing

/// Processes with different inputs stop before their first step; process 0 says what differs, and the others repeat it.
@Suite(.serialized) struct ProcessAgreementTests {
    private static let run = RecordedRun(name: "seed_sft_lora")

    /// Two processes, the second with changed arguments.
    private static func failures(
        _ changes: [String], of run: RecordedRun = Self.run, both: [String] = [], in output: String
    ) throws -> [Int: String] {
        let short = ["max_steps=2", "per_device_train_batch_size=1"] + both
        return try DistributedRunTests.failures(of: [
            run.config(output: output, short), run.config(output: output, short + changes),
        ])
    }

    /// A copy of a folder of the fixtures that may be changed.
    private static func copy(_ name: String, into folder: String) throws -> String {
        let target = folder + "/" + (name as NSString).lastPathComponent
        try FileManager.default.copyItem(atPath: Golden.training + "/" + name, toPath: target)
        return target
    }

    private static func expect(_ failures: [Int: String], _ sentence: String) {
        #expect(failures[0]?.contains(sentence) == true, "\(failures)")
        #expect(failures[1]?.contains("Process 0 failed: ") == true, "\(failures)")
        #expect(failures[1]?.contains(sentence) == true, "\(failures)")
    }

    @Test(
        arguments: [
            ("learning_rate=0.25", "learning_rate is 0.0005 in process 0 and 0.25 in process 1."),
            ("seed=8", "seed is 42 in process 0 and 8 in process 1."),
            ("lora_target=q_proj", "lora_target is "),
            ("lr_scheduler_type=linear", "lr_scheduler_type is cosine in process 0 and linear in process 1."),
            ("eval_dataset=harbor_small", "eval_dataset is "),
            ("save_steps=1", "save_steps is "),
            ("deepspeed={zero_optimization: {stage: 1}}", "deepspeed is "),
        ])
    func anArgumentThatDiffersIsNamed(_ change: String, _ sentence: String) throws {
        let output = try ScratchFolder()
        let failures = try Self.failures([change], in: output.path)
        Self.expect(failures, sentence)
        #expect(failures[0]?.contains("Start all processes with the same arguments.") == true)
    }

    /// What a machine may have of its own: other folders with the same content, other tokens and numbers of threads.
    @Test func foldersAndTokensMayDiffer() throws {
        let output = try ScratchFolder(), place = try ScratchFolder()
        let failures = try Self.failures(
            [
                "dataset_dir=\(Self.copy("data", into: place.path))",
                "model_name_or_path=\(Self.copy("models/tiny_llama", into: place.path))",
                "hf_hub_token=secret", "preprocessing_num_workers=3", "report_to=none",
                "output_dir=\(place.path)/elsewhere",
            ], in: output.path)
        #expect(failures.isEmpty, "\(failures)")
        #expect(try TrainerState.load(from: output.path).globalStep == 2)
    }

    /// Rows that are missing, changed or in another order.
    @Test(
        arguments: [
            ("missing", "the number of training examples is "),
            ("changed", "the number of training tokens is "),
            ("turned", "the digest of the training data in their order is "),
        ])
    func dataThatDifferAreNamed(_ change: String, _ sentence: String) throws {
        let output = try ScratchFolder(), place = try ScratchFolder()
        let data = try Self.copy("data", into: place.path)
        try Self.editRows(in: data + "/harbor_sft.json") { rows in
            switch change {
            case "missing": rows.removeLast(rows.count - 12)
            case "changed": rows[3]["output"] = "An answer that nobody else has, and a long one at that."
            default: rows.swapAt(0, 1)
            }
        }
        let failures = try Self.failures(["dataset_dir=\(data)"], in: output.path)
        Self.expect(failures, "Processes 0 and 1 do not hold the same data: \(sentence)")
    }

    private static func editRows(
        in path: String, _ change: (inout [[String: Any]]) -> Void
    ) throws {
        let content = try Data(contentsOf: URL(fileURLWithPath: path))
        var rows = try #require(JSONSerialization.jsonObject(with: content) as? [[String: Any]])
        change(&rows)
        try JSONSerialization.data(withJSONObject: rows).write(to: URL(fileURLWithPath: path))
    }

    /// Another model under the same name: its frozen weights would never be sent round.
    @Test func aModelThatDiffersIsNamed() throws {
        let output = try ScratchFolder(), place = try ScratchFolder()
        let model = try Self.changedModel(in: place)
        let failures = try Self.failures(["model_name_or_path=\(model)"], in: output.path)
        Self.expect(failures, "Processes 0 and 1 do not hold the same model: the weight ")
    }

    /// Where weights are dealt to the processes, trained ones would come from two models.
    @Test func aTrainedModelThatIsSharedIsCompared() throws {
        let output = try ScratchFolder(), place = try ScratchFolder()
        let model = try Self.changedModel(in: place)
        let failures = try Self.failures(
            ["model_name_or_path=\(model)"],
            both: ["finetuning_type=full", "deepspeed={zero_optimization: {stage: 3}}"], in: output.path)
        Self.expect(failures, "Processes 0 and 1 do not hold the same model: the weight ")
    }

    @Test func aReferenceModelThatDiffersIsNamed() throws {
        let output = try ScratchFolder(), place = try ScratchFolder()
        let own = "ref_model=\(Golden.training)/models/tiny_llama"
        let failures = try Self.failures(
            ["ref_model=\(Self.changedModel(in: place))"], of: RecordedRun(name: "dpo_sigmoid"),
            both: [own], in: output.path)
        Self.expect(failures, "Processes 0 and 1 do not hold the same frozen model 1: the weight ")
    }

    /// A copy of the model whose last tensor's last number is another one.
    private static func changedModel(in place: ScratchFolder) throws -> String {
        let model = try copy("models/tiny_llama", into: place.path)
        let file = URL(fileURLWithPath: model + "/model.safetensors")
        var content = try Data(contentsOf: file)
        content[content.count - 2] ^= 1
        try content.write(to: file)
        return model
    }
}
