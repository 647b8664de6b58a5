import Foundation
import LFJSON
import Testing

/// `export`: what is written, what it is worth, and what is refused.
@Suite struct ExportTests {
    static let settings: [String: String?] = [
        "model_name_or_path": "models/tiny_llama", "adapter_name_or_path": "adapters/lora_init",
        "template": "llama3", "export_dir": "merged", "export_size": "5", "export_device": "cpu",
        "export_legacy_format": "false", "trust_remote_code": "true",
    ]
    static let files: [String] = [
        "Modelfile", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    ]

    private func export(_ changes: [String: String?] = [:], in workplace: Workplace) throws {
        let outcome = try workplace.run("export", Self.settings.with(changes))
        #expect(outcome.status == 0, "\(outcome.log)")
    }

    /// The numbers of a tensor of float32.
    private func floats(_ data: Data) -> [Float] {
        data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// Recorded from LLaMA-Factory 0.9.5 and PEFT, which the files equal to the last bit on one machine.
    @Test(
        arguments: [
            ("one adapter", ["lora_init"], 1e-6), ("two adapters", ["lora_init", "rslora_init"], 1e-6),
            ("dora", ["dora_init"], 3e-6),
        ])
    func mergedWeightsAreUpstreams(_ name: String, _ adapters: [String], _ bound: Double) throws {
        let workplace = try Workplace()
        let folders = adapters.map { "\(Workplace.fixtures)/adapters/\($0)" }.joined(separator: ",")
        try export(["adapter_name_or_path": folders], in: workplace)
        let tensors = try workplace.tensors("merged/model.safetensors")
        let golden = try JSONValue.read(path: Workplace.fixtures + "/../export/merged.json")
        for (tensor, expected) in try #require(golden[name]?.object) {
            let found = floats(try #require(tensors[tensor])).map { Double($0) }
            let norm = found.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let wanted = expected["norm"]?.double ?? .nan
            #expect(abs(norm - wanted) <= bound * wanted, "\(tensor)")
            #expect(
                abs(found.reduce(0, +) - (expected["sum"]?.double ?? .nan)) <= bound * (1 + wanted),
                "\(tensor)")
            for (value, first) in zip(found, expected["first"]?.array ?? []) {
                #expect(abs(value - (first.double ?? .nan)) <= bound, "\(tensor)")
            }
        }
    }

    @Test func theFolderIsAWholeModel() throws {
        let workplace = try Workplace()
        try export(in: workplace)
        #expect(workplace.names(in: "merged") == Self.files)
        #expect(
            try workplace.bytes("merged/Modelfile")
                == Data(contentsOf: URL(fileURLWithPath: Workplace.fixtures + "/../export/Modelfile")))
        #expect(try workplace.json("merged/tokenizer_config.json")["padding_side"] == "left")
        #expect(try workplace.json("merged/config.json")["dtype"] == "float32")
        #expect(try workplace.json("merged/generation_config.json")["eos_token_id"] == 1807)
        // The merged model scores as model and adapter do, and can be trained on.
        let scores = shortRun.with([
            "do_train": nil, "do_eval": "true", "dataset": nil, "eval_dataset": "harbor_sft",
            "max_steps": nil,
        ])
        for (name, model) in [
            ("apart", ["adapter_name_or_path": "adapters/lora_init"]),
            ("whole", ["model_name_or_path": "merged", "finetuning_type": "full"]),
        ] {
            let outcome = try workplace.train(
                scores.with(model.mapValues { Optional($0) }).with(["output_dir": name]))
            #expect(outcome.status == 0, "\(outcome.log)")
        }
        let losses = try ["apart", "whole"].map {
            try #require(workplace.json($0 + "/eval_results.json")["eval_loss"]?.double)
        }
        #expect(losses[0] == losses[1])
        #expect(try workplace.train(shortRun.with(["model_name_or_path": "merged"])).status == 0)
    }

    @Test func otherTypesAreTheSameNumbersRounded() throws {
        let workplace = try Workplace()
        try export(in: workplace)
        try export(["infer_dtype": "bfloat16", "export_dir": "half"], in: workplace)
        let wide = try workplace.tensors("merged/model.safetensors")
        #expect(try workplace.json("half/config.json")["dtype"] == "bfloat16")
        for (name, data) in try workplace.tensors("half/model.safetensors") {
            let expected = floats(try #require(wide[name])).map { value in
                // To the nearest, of two as near to the even one.
                let bits = value.bitPattern
                return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
            }
            #expect(data.elementsEqual(expected.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }), "\(name)")
        }
        try export(["infer_dtype": "float16", "export_dir": "narrow"], in: workplace)
        #expect(try workplace.json("narrow/config.json")["dtype"] == "float16")
    }

    /// Files of fewer bits widen without loss, embeddings that are scaled before the first norm too.
    @Test(
        arguments: ["tiny_llama", "tiny_gemma2", "fam_granite", "fam_mixtral", "fam_phi3"],
        ["bfloat16", "float16"])
    func narrowModelsWiden(_ name: String, _ dtype: String) throws {
        let workplace = try Workplace()
        let model = "\(Workplace.fixtures)/models/\(name)"
        let plain: [String: String?] = ["adapter_name_or_path": nil, "template": "default"]
        try export(
            plain.with(["model_name_or_path": model, "infer_dtype": dtype, "export_dir": "half"]),
            in: workplace)
        try export(
            plain.with(["model_name_or_path": "half", "infer_dtype": "float32", "export_gguf": "f16"]),
            in: workplace)
        let half = try workplace.tensors("half/model.safetensors")
        for (name, data) in try workplace.tensors("merged/model.safetensors") {
            let bits = try #require(half[name]).withUnsafeBytes { bytes in
                (0..<bytes.count / 2).map { bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self) }
            }
            let expected = bits.map {
                dtype == "bfloat16" ? Float(bitPattern: UInt32($0) << 16) : Float(Float16(bitPattern: $0))
            }
            #expect(floats(data) == expected, "\(name)")
        }
    }

    @Test func aTrainedModelIsExportedWithoutAdapters() throws {
        let workplace = try Workplace()
        let training = shortRun.with(["finetuning_type": "freeze", "freeze_trainable_layers": "1"])
        #expect(try workplace.train(training).status == 0)
        try export(["model_name_or_path": "out", "adapter_name_or_path": nil], in: workplace)
        #expect(
            try workplace.tensors("merged/model.safetensors") == workplace.tensors("out/model.safetensors"))
    }

    @Test func rewardModelsKeepTheirHead() throws {
        let workplace = try Workplace()
        try export(["adapter_name_or_path": "adapters/reward_init", "stage": "rm"], in: workplace)
        #expect(
            try workplace.bytes("merged/value_head.safetensors")
                == workplace.bytes("adapters/reward_init/value_head.safetensors"))
        // Without the stage it would contradict the model: the old one goes.
        try export(in: workplace)
        #expect(workplace.names(in: "merged") == Self.files)
    }

    @Test func ownFilesStayAndOldShardsGo() throws {
        let workplace = try Workplace()
        try FileManager.default.createDirectory(
            atPath: workplace.path + "/merged/notes", withIntermediateDirectories: true)
        let own = ["README.md", "model-card.md", "model-00001-of-2.safetensors", "notes/today.txt"]
        for name in own { try workplace.write("mine", to: "merged/" + name) }
        for name in [
            "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            "model.safetensors.index.json", "config.json",
        ] {
            try workplace.write("old", to: "merged/" + name)
        }
        try export(in: workplace)
        for name in own {
            #expect(try workplace.bytes("merged/" + name) == Data("mine".utf8), "\(name)")
        }
        #expect(
            Set(workplace.tree("merged")) == Set(Self.files + own + ["notes"]), "\(workplace.tree("merged"))")
    }

    @Test func aFullDiskChangesNothing() throws {
        let workplace = try Workplace()
        let full = try workplace.run("export", Self.settings, filesUpTo: 500)
        #expect(full.status == 1)
        #expect(full.problems.first?.contains("merged/model.safetensors: could not be written") == true)
        #expect(!workplace.exists("merged"))
        try export(in: workplace)
        let before = try workplace.tree("merged").map { try workplace.bytes("merged/" + $0) }
        #expect(try workplace.run("export", Self.settings, filesUpTo: 500).status == 1)
        #expect(try workplace.tree("merged").map { try workplace.bytes("merged/" + $0) } == before)
    }

    /// What a killed export leaves is no model, and goes with the next one.
    @Test func aKilledExportLeavesNoModel() throws {
        let workplace = try Workplace()
        let stop = Program.Stop(signal: SIGKILL) { !workplace.names(in: "merged").isEmpty }
        let killed = try workplace.run("export", Self.settings, stop: stop)
        if killed.signal == SIGKILL, workplace.exists("merged/config.json") {
            #expect(Set(Self.files).isSubset(of: workplace.names(in: "merged")))
        }
        try export(in: workplace)
        #expect(workplace.names(in: "merged") == Self.files)
    }

    @Test func foldersThatAreReadAreNotWritten() throws {
        let workplace = try Workplace()
        try workplace.copyModel()
        try workplace.copyAdapter()
        let before = workplace.tree()
        for (folder, words) in [
            ("models/spoilt", "the folder of model_name_or_path"),
            ("models/../models/spoilt/merged", "inside the folder of model_name_or_path"),
            ("adapters/spoilt", "the folder of an adapter"), ("adapters/ppo_init", "holds an adapter"),
        ] {
            let outcome = try workplace.run(
                "export",
                Self.settings.with([
                    "model_name_or_path": "models/spoilt", "adapter_name_or_path": "adapters/spoilt",
                    "export_dir": folder,
                ]))
            #expect(outcome.status == 64)
            #expect(outcome.problems.count == 1 && outcome.problems[0].contains(words), "\(outcome.errors)")
        }
        #expect(Set(workplace.tree()).subtracting(before) == ["config.yaml"])
    }

    @Test func whatCannotBeExportedIsRefusedByName() throws {
        let workplace = try Workplace()
        for (changes, words) in [
            (["export_dir": nil], "Please specify `export_dir`"),
            (["export_quantization_bit": "4"], "`export_quantization_bit` is not supported"),
            (["export_legacy_format": "true"], "`export_legacy_format` is not supported"),
            (["export_hub_model_id": "a/b/c"], "export_hub_model_id is not a repository's name"),
            (["export_size": "0"], "export_size must be at least 1"),
            (
                ["output_dir": "out", "learning_rate": "1"],
                "`output_dir`, `learning_rate` belong to the command `train`"
            ),
            (["finetuning_type": "full"], "Adapter is only valid for the LoRA method."),
            (["template": "lama3"], "lama3"), (["adapter_name_or_path": "nowhere"], "nowhere"),
            (["model_name_or_path": "nowhere"], "nowhere"),
        ] as [([String: String?], String)] {
            let outcome = try workplace.run("export", Self.settings.with(changes))
            #expect(outcome.status == 64, "\(outcome.log)")
            #expect(outcome.problems.count == 1 && outcome.problems[0].contains(words), "\(outcome.errors)")
            #expect(!workplace.exists("merged"))
        }
        // An adapter of another model is found out before anything is written.
        try workplace.copyAdapter()
        try workplace.edit("adapters/spoilt/adapter_config.json", ["target_modules": ["q_proj", "c_attn"]])
        let outcome = try workplace.run(
            "export", Self.settings.with(["adapter_name_or_path": "adapters/spoilt"]))
        #expect(outcome.status == 1 && outcome.problems.count == 1, "\(outcome.errors)")
        #expect(!workplace.exists("merged"))
    }
}
