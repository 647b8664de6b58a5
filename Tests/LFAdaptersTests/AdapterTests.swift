import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

@Suite struct AdapterTests {
    func model(_ changes: JSONObject = [:], _ dtype: DType = .float32) throws -> LanguageModel {
        var config: JSONObject = [
            "model_type": "llama", "vocab_size": 20, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 3,
            "num_attention_heads": 2, "num_key_value_heads": 1, "attention_bias": true,
        ]
        for (key, value) in changes { config[key] = value }
        return try LanguageModel(
            ModelConfig(config, path: "config.json"),
            weights: FreshWeights(Generator(seed: 5), deviation: 0.4),
            storedDType: dtype, computeDType: dtype, on: .cpu)
    }

    func setup(_ targets: [String], rank: Int = 2, saving modules: [String]? = nil) -> LoRAAdapterConfig {
        LoRAAdapterConfig(
            r: rank, loraAlpha: 4, targetModules: targets, modulesToSave: modules, baseModelNameOrPath: nil)
    }

    func logProbs(_ model: LanguageModel) throws -> [Double] {
        let ids: [Int32] = [3, 1, 4, 1, 5, 9, 2, 6]
        let stream = try DeviceStream(
            Collator().stream(of: [.supervised([LabeledSequence(inputIDs: ids, labels: ids)])]), on: .cpu)
        return try withoutGrad { () throws(TorchError) in
            try model.logProbs(model.hiddenStates(stream), stream)
        }.doubles()
    }

    func expectSame(
        _ actual: [Double], _ expected: [Double], within bound: Double,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(actual.count == expected.count, sourceLocation: sourceLocation)
        let isSame = zip(actual, expected).allSatisfy { abs($0 - $1) <= bound }
        #expect(isSame, "\(actual), not \(expected)", sourceLocation: sourceLocation)
    }

    func fill(_ trainable: TrainableWeights) throws {
        let generator = try Generator(seed: 6)
        for entry in trainable.entries {
            try entry.parameter.tensor.fillNormalInPlace(mean: 0, deviation: 0.5, generator)
        }
    }

    // MARK: LoRA

    @Test func aNewAdapterChangesNothing() throws {
        let model = try model()
        let before = try logProbs(model)
        let trainable = try model.addLoRA(
            setup(model.allLinearNames), generator: Generator(seed: 1), dtype: .float32)
        #expect(
            model.allLinearNames == [
                "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
            ])
        #expect(trainable.entries.count == 3 * 7 * 2)
        #expect(trainable.entries[0].name == "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")
        #expect(trainable.entries.allSatisfy { $0.parameter.tensor.requiresGrad })
        #expect(model.parameters.allSatisfy { !$0.isTrainable })
        #expect(try logProbs(model) == before)
    }

    @Test func targetsAreNamesOrTheirEnds() throws {
        let model = try model()
        let trainable = try model.addLoRA(
            setup(["v_proj", "model.layers.1.mlp.up_proj"]), generator: Generator(seed: 1), dtype: .float32)
        let modules = trainable.entries.map(\.name).filter { $0.hasSuffix("lora_A.weight") }
        #expect(
            modules.map {
                $0.dropFirst("base_model.model.model.layers.".count).dropLast(".lora_A.weight".count)
            } == [
                "0.self_attn.v_proj", "1.self_attn.v_proj", "1.mlp.up_proj", "2.self_attn.v_proj",
            ])
        let error = #expect(throws: UserError.self) {
            try self.model().addLoRA(setup(["proj"]), generator: Generator(seed: 1), dtype: .float32)
        }
        #expect(error?.problem == #"lora_target names "proj", but the model has no such linear layer."#)
        #expect(error?.remedy.contains("down_proj, embed_tokens, gate_proj") == true)
    }

    /// PEFT wants one target that is there; others are told of. What is there and takes no adapter is refused, as PEFT does.
    @Test func targetsThatAreMissingAreSaid() throws {
        let model = try model()
        #expect(model.overlookedTargets(of: setup(["q_proj", "v_proj"])) == nil)
        let some = setup(["q_proj", "W_pack", "c_attn"])
        #expect(
            model.overlookedTargets(of: some)?.hasPrefix(
                #"lora_target names 2 of 3 modules that the model does not have, which get no adapter: "W_pack", "c_attn". It has down_proj,"#
            ) == true)
        let trainable = try model.addLoRA(some, generator: Generator(seed: 1), dtype: .float32)
        #expect(trainable.entries.allSatisfy { $0.name.contains("q_proj") } && trainable.entries.count == 6)
        for name in ["norm", "mlp", "self_attn", "layers", "model.norm"] {
            let error = #expect(throws: UserError.self, "\(name)") {
                try self.model().addLoRA(
                    setup(["q_proj", name]), generator: Generator(seed: 1), dtype: .float32)
            }
            #expect(
                error?.problem == "lora_target names \"\(name)\", which is not a linear layer of the model.")
        }
    }

    @Test(arguments: [["q_proj", "down_proj"], ["lm_head", "v_proj"]])
    func savedAdaptersAndMergedOnesAreTheSameModel(_ targets: [String]) throws {
        let trained = try model()
        try fill(trained.addLoRA(setup(targets), generator: Generator(seed: 1), dtype: .float32))
        let expected = try logProbs(trained)
        let plain = try logProbs(model())
        #expect(zip(expected, plain).contains { abs($0 - $1) > 0.1 })
        #expect(try trained.adapters.disabled { try logProbs(trained) } == plain)

        let files = try trained.adapterFiles(setup(targets))
        let loaded = try model()
        _ = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        expectSame(try logProbs(loaded), expected, within: 0)

        try loaded.mergeLoRA()
        #expect(loaded.linears.allSatisfy { $0.layer.adapter == nil })
        expectSame(try logProbs(loaded), expected, within: 2e-5)
    }

    @Test func savedModulesReplaceTheModelsOwn() throws {
        let trained = try model()
        let setup = setup(["q_proj"], saving: ["lm_head", "embed_tokens"])
        let trainable = try trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32)
        #expect(
            trainable.entries.suffix(2).map(\.name) == [
                "base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight",
            ])
        try fill(trainable)
        let expected = try logProbs(trained)
        #expect(try trained.adapters.disabled { try logProbs(trained) } == logProbs(model()))

        let files = try trained.adapterFiles(setup)
        #expect(Set(files.replacements.map(\.name)) == ["lm_head.weight", "model.embed_tokens.weight"])
        let loaded = try model()
        _ = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        expectSame(try logProbs(loaded), expected, within: 0)
        try loaded.mergeLoRA()
        expectSame(try logProbs(loaded), expected, within: 2e-5)
        #expect(
            loaded.parameters.allSatisfy { !$0.isTrainable && !$0.tensor.requiresGrad && $0.control == nil })
    }

    @Test func adaptersThatDoNotFitAreRefused() throws {
        let trained = try model()
        let setup = setup(["q_proj"], saving: ["lm_head"])
        try fill(trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32))
        let files = try trained.adapterFiles(setup)
        func problem(_ change: (inout LoRAAdapterFiles) throws -> Void) throws -> String? {
            var changed = files
            try change(&changed)
            do {
                _ = try model().loadLoRA(changed, location: "saves/x", dtype: .float32)
                return nil
            } catch let error as UserError {
                #expect(error.location == "saves/x")
                return error.problem
            }
        }
        let name = "model.layers.1.self_attn.q_proj"
        #expect(try problem { _ in } == nil)
        #expect(
            try problem { $0.matrices[name] = nil } == #"The adapter holds nothing for the layer "\#(name)"."#
        )
        #expect(
            try problem { $0.matrices[name] = try .init(a: .zeros([2, 9]), b: .zeros([8, 2])) }
                == #"The tensor "\#(name).lora_A" has shape [2, 9], but the model needs [2, 8]."#)
        #expect(
            try problem { $0.matrices["other"] = try .init(a: .zeros([2, 8]), b: .zeros([8, 2])) }
                == #"The adapter holds "other", which belongs to no adapted layer of the model."#)
        #expect(
            try problem { $0.replacements = [] } == #"The adapter holds nothing for the module "lm_head"."#)
        #expect(
            try problem { $0.replacements = [("lm_head.weight", try .zeros([3, 3]))] }
                == #"The tensor "lm_head.weight" has shape [3, 3], but the model needs [20, 8]."#)
        #expect(
            try problem { $0.replacements.append(("model.norm.weight", try .zeros([8]))) }
                == #"The adapter holds "model.norm.weight", which belongs to no adapted layer of the model."#)
    }

    @Test func modulesToSaveMustExist() throws {
        let error = #expect(throws: UserError.self) {
            try model().addLoRA(
                setup(["q_proj"], saving: ["heads"]), generator: Generator(seed: 1), dtype: .float32)
        }
        #expect(error?.problem == #"additional_target names "heads", but the model has no such module."#)
    }

    /// PEFT takes every module whose name ends so, once.
    @Test func modulesToSaveAreEndsOfNames() throws {
        let trainable = try model().addLoRA(
            setup(["q_proj"], saving: ["norm", "model.norm"]), generator: Generator(seed: 1), dtype: .float32)
        let names = trainable.entries.map(\.name).filter { !$0.contains("lora_") }
        #expect(names.count == 7 && Set(names).count == 7)
        #expect(names.contains("base_model.model.model.layers.0.input_layernorm.weight"))
        #expect(names.contains("base_model.model.model.norm.weight"))
    }

    /// As PEFT does: each named module trains a copy of its own, the other end of a tied weight stays as it was.
    @Test(arguments: [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
    func tiedWeightsPartWhereTheyAreTrained(_ modules: [String]) throws {
        func tied() throws -> LanguageModel { try model(["tie_word_embeddings": true]) }
        let trained = try tied()
        let before = try logProbs(trained)
        let setup = setup(["q_proj"], saving: modules)
        let trainable = try trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32)
        #expect(!trained.sharesHead && trained.parameters.last?.name == "lm_head.weight")
        #expect(trainable.entries.count == 6 + modules.count)
        #expect(try logProbs(trained) == before)
        try fill(trainable)
        let expected = try logProbs(trained)
        #expect(try trained.adapters.disabled { try logProbs(trained) } == before)
        #expect(trained.embedTokens.weight.isTrainable == modules.contains("embed_tokens"))
        #expect(trained.head.base.parameter?.isTrainable == modules.contains("lm_head"))

        let files = try trained.adapterFiles(setup)
        #expect(files.replacements.count == modules.count)
        let loaded = try tied()
        _ = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        expectSame(try logProbs(loaded), expected, within: 0)
        try loaded.mergeLoRA()
        expectSame(try logProbs(loaded), expected, within: 2e-5)
    }

    /// Either end of a tied weight, or both, adapted: the same model trained, loaded, merged at once and merged when written.
    @Test(
        arguments: [
            ["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"], ["q_proj", "lm_head"],
            ["model.embed_tokens", "down_proj"],
        ], [(false, false), (true, false), (true, true)])
    func adaptedEndsOfTiedWeightsPart(_ targets: [String], _ kind: (isTied: Bool, isDoRA: Bool)) throws {
        func fresh() throws -> LanguageModel { try model(["tie_word_embeddings": .bool(kind.isTied)]) }
        var setup = setup(targets)
        setup.usesDoRA = kind.isDoRA
        let trained = try fresh()
        let before = try logProbs(trained)
        let trainable = try trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32)
        expectSame(try logProbs(trained), before, within: kind.isDoRA ? 1e-5 : 0)
        try fill(trainable)
        let expected = try logProbs(trained)
        #expect(zip(expected, before).contains { abs($0 - $1) > 0.1 })
        #expect(try trained.adapters.disabled { try logProbs(trained) } == before)

        let files = try trained.adapterFiles(setup)
        let loaded = try fresh()
        _ = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        expectSame(try logProbs(loaded), expected, within: 0)
        try loaded.mergeLoRA()
        expectSame(try logProbs(loaded), expected, within: 2e-5)
        #expect(loaded.adapterSlots.allSatisfy { $0 == nil })
        let hasAdaptedEnd = targets.contains { $0.hasSuffix("lm_head") || $0.hasSuffix("embed_tokens") }
        #expect(loaded.sharesHead == (kind.isTied && !hasAdaptedEnd))

        let written = try fresh()
        let old = try written.embedTokens.weight.tensor.doubles()
        var merge = PendingMerge()
        try merge.add(files, location: "adapter", to: written)
        for parameter in loaded.parameters {
            let other = try #require(written.parameters.first { $0.name == parameter.name })
            let merged = try merge.merged(other)
            #expect(merged.shape == parameter.tensor.shape)
            #expect(try (merged - parameter.tensor).abs().max().item() < 1e-6, "\(parameter.name)")
        }
        if !targets.contains(where: { $0.hasSuffix("embed_tokens") }) {
            #expect(try merge.merged(written.embedTokens.weight).doubles() == old)
        }
    }

    /// Two adapters, one on the head and one on the embedding, in either order.
    @Test(arguments: [["lm_head", "embed_tokens"], ["embed_tokens", "lm_head"], ["lm_head", "lm_head"]])
    func adaptersOfBothEndsAddUp(_ order: [String]) throws {
        func tied() throws -> LanguageModel { try model(["tie_word_embeddings": true]) }
        let (merged, written) = (try tied(), try tied())
        var merge = PendingMerge()
        for (index, target) in order.enumerated() {
            let maker = try tied()
            let trainable = try maker.addLoRA(setup([target]), generator: Generator(seed: 1), dtype: .float32)
            let generator = try Generator(seed: UInt64(20 + index))
            for entry in trainable.entries {
                try entry.parameter.tensor.fillNormalInPlace(mean: 0, deviation: 0.5, generator)
            }
            let files = try maker.adapterFiles(setup([target]))
            _ = try merged.loadLoRA(files, location: "adapter", dtype: .float32)
            try merged.mergeLoRA()
            try merge.add(files, location: "adapter", to: written)
        }
        #expect(merged.parameters.map(\.name) == written.parameters.map(\.name))
        for (one, other) in zip(merged.parameters, written.parameters) {
            #expect(try (one.tensor - merge.merged(other)).abs().max().item() < 1e-6, "\(one.name)")
        }
        let base = try tied().embedTokens.weight.tensor
        let isSame = try merged.embedTokens.weight.tensor.doubles() == base.doubles()
        #expect(isSame == !order.contains("embed_tokens"))
    }

    /// Files of PEFT hold what an adapted head stands on, too.
    @Test func aSlotOfTheEmbeddingIsExchangedWithTheOthers() throws {
        let model = try model(["tie_word_embeddings": true])
        let before = try logProbs(model)
        try fill(
            model.addLoRA(
                setup(["embed_tokens", "lm_head"]), generator: Generator(seed: 1), dtype: .float32))
        let after = try logProbs(model)
        let own = model.exchangeAdapters([])
        #expect(own.count == model.linears.count + 1 && own.count { $0 != nil } == 2)
        #expect(try logProbs(model) == before)
        model.exchangeAdapters(own)
        #expect(try logProbs(model) == after)
    }

    // MARK: Modules trained whole

    /// A module that holds others is trained with all that is in it, as PEFT does.
    @Test(arguments: [
        ("mlp", 9), ("self_attn", 24), ("layers.1", 13), ("layers.1.mlp", 3), ("v_proj", 6), ("norm", 7),
        ("model.norm", 1), ("embed_tokens", 1),
    ])
    func containersAreTrainedWhole(_ module: String, _ count: Int) throws {
        let target = module.contains("mlp") ? "q_proj" : module == "layers.1" ? "lm_head" : "down_proj"
        let setup = setup([target], saving: [module])
        let trained = try model()
        let trainable = try trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32)
        #expect(trainable.entries.count { !$0.name.contains("lora_") } == count)
        try fill(trainable)
        let expected = try logProbs(trained)
        let files = try trained.adapterFiles(setup)
        #expect(files.replacements.count == count)
        let loaded = try model()
        _ = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        expectSame(try logProbs(loaded), expected, within: 0)
        try loaded.mergeLoRA()
        expectSame(try logProbs(loaded), expected, within: 2e-5)
    }

    @Test(arguments: [
        ("layers", "additional_target names \"layers\", and model.layers holds all layers."),
        ("model", "additional_target names \"model\", and model holds all layers."),
        (
            "mlp",
            "additional_target names \"mlp\", and lora_target puts an adapter on model.layers.0.mlp.up_proj, which is part of it."
        ),
        (
            "lm_head",
            "additional_target names \"lm_head\", and lora_target puts an adapter on lm_head, which is part of it."
        ),
        ("bananas", "additional_target names \"bananas\", but the model has no such module."),
    ])
    func modulesThatCannotBeTrainedWholeAreRefused(_ module: String, _ problem: String) throws {
        let error = #expect(throws: UserError.self) {
            try model().requireModules(of: setup(["up_proj", "lm_head"], saving: [module]))
        }
        #expect(error?.problem == problem)
        if module == "bananas" {
            #expect(
                error?.remedy
                    == "Choose from down_proj, embed_tokens, gate_proj, input_layernorm, k_proj, lm_head, mlp, norm, o_proj, post_attention_layernorm, q_proj, self_attn, up_proj, v_proj."
            )
        }
    }

    /// Embeddings with new rows belong to an adapter that does not train them, as in PEFT's files.
    @Test(arguments: [false, true]) func resizedEmbeddingsAreKeptWithTheAdapter(isTied: Bool) throws {
        func fresh() throws -> LanguageModel { try model(["tie_word_embeddings": .bool(isTied)]) }
        let trained = try fresh()
        try trained.embedTokens.weight.tensor.slice(18..<20).fillInPlace(0.5)
        let setup = setup(["q_proj"])
        try fill(trained.addLoRA(setup, generator: Generator(seed: 1), dtype: .float32))
        let files = try trained.adapterFiles(setup, includingEmbeddings: true)
        #expect(files.replacements.map(\.name) == ["model.embed_tokens.weight", "lm_head.weight"])
        let loaded = try fresh()
        let trainable = try loaded.loadLoRA(files, location: "adapter", dtype: .float32)
        #expect(trainable.entries.count == 6 && loaded.sharesHead == isTied)
        expectSame(
            try loaded.embedTokens.weight.tensor.doubles(), try trained.embedTokens.weight.tensor.doubles(),
            within: 0)
        expectSame(try logProbs(loaded), try logProbs(trained), within: 0)

        var foreign = files
        foreign.replacements[0].tensor = try .zeros([24, 8])
        let error = #expect(throws: UserError.self) {
            try fresh().loadLoRA(foreign, location: "adapter", dtype: .float32)
        }
        #expect(
            error?.problem
                == "The tensor \"model.embed_tokens.weight\" has shape [24, 8], but the model needs [20, 8].")
        #expect(error?.remedy.hasPrefix("Give add_tokens, add_special_tokens and resize_vocab") == true)
    }

    // MARK: Freezing

    func trained(_ layers: Int, _ modules: [String], extra: [String] = []) throws -> [String] {
        var freeze = FinetuningArguments.Freeze()
        (freeze.trainableLayers, freeze.trainableModules, freeze.extraModules) = (layers, modules, extra)
        return try model().trainLayers(freeze, dtype: .float32).entries.map(\.name)
    }

    @Test func theLastOrTheFirstLayersAreTrained() throws {
        let last = try trained(2, ["all"])
        #expect(
            last.count == 2 * 13 && last.allSatisfy { $0.contains("layers.1.") || $0.contains("layers.2.") })
        let first = try trained(-1, ["all"])
        #expect(first.count == 13 && first.allSatisfy { $0.contains("layers.0.") })
        #expect(try trained(99, ["all"]).count == 3 * 13)
        #expect(try trained(-99, ["all"]).count == 3 * 13)
        #expect(
            try trained(1, ["input_layernorm"]) == ["model.layers.2.input_layernorm.weight"])
        #expect(try trained(1, ["mlp"], extra: ["lm_head"]).count == 4)
    }

    /// Names of modules outside the layers do not reach into layers that stay frozen.
    @Test func extraModulesAreOutsideTheLayers() throws {
        #expect(
            try trained(1, ["mlp"], extra: ["norm"])
                == [
                    "model.layers.2.post_attention_layernorm.weight", "model.layers.2.mlp.gate_proj.weight",
                    "model.layers.2.mlp.up_proj.weight", "model.layers.2.mlp.down_proj.weight",
                    "model.layers.2.input_layernorm.weight", "model.norm.weight",
                ].sorted { order($0) < order($1) })
        #expect(
            try trained(-1, ["input_layernorm"], extra: ["embed_tokens", "lm_head"]) == [
                "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "lm_head.weight",
            ])
        let all = try trained(1, ["all"], extra: ["norm"])
        #expect(all.count == 14 && all.allSatisfy { $0.contains("layers.2.") || $0 == "model.norm.weight" })
        // No layer at all.
        #expect(try trained(0, ["all"], extra: ["norm"]) == ["model.norm.weight"])
    }

    private func order(_ name: String) -> Int {
        (try? model().parameters.firstIndex { $0.name == name }) ?? -1
    }

    @Test func unknownModulesAreRefused() throws {
        let inside = #expect(throws: UserError.self) { try trained(1, ["attention"]) }
        #expect(inside?.problem == "Module attention is not found.")
        #expect(
            inside?.remedy == "Please choose from input_layernorm, mlp, post_attention_layernorm, self_attn.")
        let outside = #expect(throws: UserError.self) { try trained(1, ["all"], extra: ["mlp"]) }
        #expect(outside?.remedy == "Please choose from embed_tokens, lm_head, norm.")
    }

    @Test func theShareOfTrainedWeightsReadsAsUpstreams() {
        #expect(
            trainableParametersLine(trainable: 16384, all: 322_880)
                == "trainable params: 16,384 || all params: 322,880 || trainable%: 5.0743")
        #expect(
            trainableParametersLine(trainable: 7, all: 7)
                == "trainable params: 7 || all params: 7 || trainable%: 100.0000")
        #expect(trainableParametersLine(trainable: 0, all: 0).hasSuffix("trainable%: 0.0000"))
        #expect(
            trainableParametersLine(trainable: 1, all: 1_234_567_890).contains(
                "all params: 1,234,567,890 || trainable%: 0.0000"))
    }
}
