import Foundation
import LFJSON
import Testing

/// The end of sequence that a template sets stands in every model's configurations, whoever writes them.
@Suite struct SpecialTokenTests {
    private static let training = shortRun.with([
        "template": "chatml", "max_steps": "2", "save_steps": "1", "save_only_model": nil,
    ])

    /// `<|im_end|>` takes the first free row, 1809; the model's own end, 1807, goes on ending what is generated.
    private func expectEnds(_ folder: String, in workplace: Workplace) throws {
        let config = try workplace.json(folder + "/config.json")
        let generation = try workplace.json(folder + "/generation_config.json")
        let tokenizer = try workplace.json(folder + "/tokenizer_config.json")
        #expect(tokenizer["eos_token"] == "<|im_end|>")
        #expect(config["eos_token_id"] == 1809 && generation["eos_token_id"] == [1809, 1807], "\(folder)")
        #expect(config["pad_token_id"] == 1809 && generation["pad_token_id"] == 1809, "\(folder)")
        #expect(config["bos_token_id"] == 1800 && generation["bos_token_id"] == 1800, "\(folder)")
    }

    @Test(arguments: ["full", "freeze"]) func checkpointsAndModels(_ type: String) throws {
        let workplace = try Workplace()
        let outcome = try workplace.train(Self.training.with(["finetuning_type": type]))
        #expect(outcome.status == 0, "\(outcome.log)")
        for folder in ["out", "out/checkpoint-1", "out/checkpoint-2"] {
            try expectEnds(folder, in: workplace)
        }
        // A second run on the first one's model has nothing to add.
        let second = Self.training.with([
            "finetuning_type": type, "model_name_or_path": "out", "output_dir": "again",
        ])
        #expect(try workplace.train(second).status == 0)
        try expectEnds("again", in: workplace)
    }

    @Test func exports() throws {
        let workplace = try Workplace()
        #expect(try workplace.train(Self.training).status == 0)
        let settings = ExportTests.settings.with(["template": "chatml", "adapter_name_or_path": "out"])
        let outcome = try workplace.run("export", settings)
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.log.contains("Checked the files with 4 prompts: the merged model's logits differ"))
        try expectEnds("merged", in: workplace)
        let tokenizer = try workplace.json("merged/tokenizer_config.json")
        #expect(tokenizer["additional_special_tokens"] == ["<|im_start|>"])
        #expect(tokenizer["extra_special_tokens"] == nil)
        #expect(tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast")
    }

    /// The base model's own ends stay, whatever they are.
    @Test(arguments: [
        ("[1807, 3]", "[1809, 1807, 3]"), ("1809", "[1809]"), ("[3, 1809]", "[3, 1809]"), ("null", "[1809]"),
    ])
    func endsOfTheBaseModel(_ before: String, _ after: String) throws {
        let workplace = try Workplace()
        try workplace.copyModel()
        try workplace.write(
            "{\"eos_token_id\": \(before), \"top_p\": 0.9}", to: "models/spoilt/generation_config.json")
        try workplace.edit("models/spoilt/config.json", ["eos_token_id": before == "1809" ? 1809 : [1809]])
        if before == "[3, 1809]" { try workplace.edit("models/spoilt/config.json", ["eos_token_id": 1809]) }
        let outcome = try workplace.run(
            "export",
            ExportTests.settings.with([
                "template": "chatml", "model_name_or_path": "models/spoilt", "adapter_name_or_path": nil,
            ]))
        #expect(outcome.status == 0, "\(outcome.log)")
        let ends = try workplace.json("merged/generation_config.json")["eos_token_id"]
        let ids = ends?.array ?? ends.map { [$0] } ?? []
        #expect("\(JSONValue.array(ids).serialized())" == after)
        #expect(try workplace.json("merged/config.json")["eos_token_id"] == 1809)
        #expect(try workplace.json("merged/generation_config.json")["top_p"] == 0.9)
    }

    // MARK: What export proves

    /// An adapter that holds no numbers cannot be merged.
    @Test func anAdapterThatHoldsNoNumbersIsNotExported() throws {
        let workplace = try Workplace()
        try workplace.copyAdapter()
        let file = "adapters/spoilt/adapter_model.safetensors"
        var content = try workplace.bytes(file)
        let (header, start) = try workplace.header(of: content)
        let name = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"
        let offset = start + (header[name]?["data_offsets"]?[0]?.int ?? 0)
        content.replaceSubrange(offset..<offset + 4, with: [0, 0, 0xC0, 0x7F])
        try workplace.write(content, to: file)
        let outcome = try workplace.run(
            "export", ExportTests.settings.with(["adapter_name_or_path": "adapters/spoilt"]))
        #expect(outcome.status == 1)
        #expect(
            outcome.problems.first?.contains(
                "\(file): The model's logits are not numbers: the tensor \"\(name)\" of adapter_model.safetensors holds NaN or infinity"
            ) == true, "\(outcome.log)")
        #expect(!workplace.exists("merged/config.json"))
    }

    /// What training changed less than rounding does is said to be lost.
    @Test func whatRoundingLosesIsSaid() throws {
        let workplace = try Workplace()
        #expect(
            try workplace.train(shortRun.with(["learning_rate": "1.0e-7", "max_steps": "1"])).status == 0)
        let settings = ExportTests.settings.with(["adapter_name_or_path": "out", "infer_dtype": "bfloat16"])
        let outcome = try workplace.run("export", settings)
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(
            outcome.log.contains(
                "Rounding to bfloat16 changes the answers by more than half of what the adapters do."))
        let wide = try workplace.run(
            "export", settings.with(["infer_dtype": "float32", "export_dir": "wide"]))
        #expect(wide.status == 0 && !wide.log.contains("Rounding to"), "\(wide.log)")
    }

    @Test(
        arguments: [
            "lora_init", "rslora_init", "dora_init", "lora_init,rslora_init", "dora_init,lora_init,lora_init",
        ], ["float32", "bfloat16", "float16"])
    func sumsOfAdaptersProveThemselves(_ names: String, _ dtype: String) throws {
        let workplace = try Workplace()
        let folders = names.split(separator: ",").map { "\(Workplace.fixtures)/adapters/\($0)" }.joined(
            separator: ",")
        let outcome = try workplace.run(
            "export", ExportTests.settings.with(["adapter_name_or_path": folders, "infer_dtype": dtype]))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.log.contains("and the adapters change them by up to"))
        #expect(!outcome.log.contains("than rounding to"), "\(outcome.log)")
    }
}
