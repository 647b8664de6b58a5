import Foundation
import LFConfig
import LFDiagnostics
import Testing

/// Upstream's own configurations of the recorded runs: accepted, or refused for the feature that the run is about.
@Suite("Recorded configurations (golden train/runs)")
struct GoldenConfigurationTests {
    private static let folder = projectFolder + "/Fixtures/golden/train/runs"
    static let runs = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()

    /// What keeps a run from being accepted yet.
    private static let refusals = [
        "sft_apollo_random": "`use_apollo`",
        "sft_apollo_svd": "`use_apollo`",
        "sft_galore": "`use_galore`",
        "sft_oft": "`finetuning_type: oft`", "sft_pissa_svd": "`pissa_init`",
    ]

    @Test("There are at least 86 of them")
    func count() { #expect(Self.runs.count >= 86) }

    @Test("Each is accepted or refused by name", arguments: runs)
    func run(name: String) throws {
        let path = "\(Self.folder)/\(name)/config.yaml"
        let found = problems([path])
        if let refusal = Self.refusals[name] {
            #expect(found.first?.contains("\(refusal) is not supported yet.") == true, "\(found)")
            #expect(found.allSatisfy { $0.contains("is not supported yet.") }, "\(found)")
            return
        }
        #expect(found.isEmpty, "\(found)")
        let config = try resolveConfig(arguments: [path])
        #expect(config.warnings.allSatisfy { $0.contains("mixed precision") }, "\(config.warnings)")
        // Written out and read again, the configuration is the same.
        try withFile(config.argumentsYAML()) { copy in
            let again = try resolveConfig(arguments: [copy])
            #expect(again == config)
        }
        try withFile(config.argumentsYAML(includingDefaults: true)) { copy in
            let again = try resolveConfig(arguments: [copy])
            #expect(again == config)
        }
    }

    @Test("The groups hold what the file says")
    func sigmoid() throws {
        let config = try resolveConfig(arguments: ["\(Self.folder)/dpo_sigmoid/config.yaml"])
        #expect(config.model.modelNameOrPath == "models/tiny_llama")
        #expect(config.model.adapterNameOrPath == ["adapters/lora_init"])
        #expect(config.finetuning.stage == .dpo)
        #expect(config.finetuning.type == .lora)
        #expect(config.finetuning.lora.target == ["all"])
        #expect(config.finetuning.usesReferenceModel)
        #expect(config.finetuning.disableShuffling)
        #expect(config.data.dataset == ["harbor_pairs"])
        #expect(config.data.template == "llama3")
        #expect(config.data.cutoffLen == 256)
        #expect(config.data.maxSamples == 64)
        #expect(config.training.maxSteps == 20)
        #expect(config.training.lrSchedulerType == .cosine)
        #expect(config.training.warmupSteps == 2)
        #expect(config.training.optim == .adamwTorch)
        #expect(config.training.perDeviceTrainBatchSize == 2)
        #expect(config.training.gradientAccumulationSteps == 2)
        #expect(config.training.learningRate == 5e-4)
        #expect(config.training.saveSteps == 1000)
        #expect(config.training.loggingSteps == 1)
        #expect(config.training.resume == .never)
        #expect(config.training.outputDir == "out/dpo_sigmoid")
    }

    @Test("Secrets are masked and odd text survives writing")
    func writing() throws {
        let arguments = minimal(
            "hf_hub_token=hf_secret", "default_system=\"a: b # c\\n\\\"d\\\"\"", "run_name='1e3'",
            "learning_rate=1e-4")
        let config = try resolveConfig(arguments: arguments)
        let text = config.argumentsYAML()
        #expect(!text.contains("hf_secret"))
        #expect(text.contains("hf_hub_token: <HF_HUB_TOKEN>\n"))
        #expect(text.contains("learning_rate: 0.0001\n"))
        try withFile(text) { path in
            var again = try resolveConfig(arguments: [path])
            #expect(again.model.hubToken == nil, "What stands for a secret is none.")
            again.model.hubToken = config.model.hubToken
            #expect(again == config)
            #expect(again.data.defaultSystem == "a: b # c\n\"d\"")
            #expect(again.training.runName == "1e3")
        }
    }
}
