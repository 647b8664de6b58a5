import LFCheckpoint
import LFJSON
import LFModels
import LFNN
import LFTorch
import Testing

/// The rows of new tokens, and where torch's stream stands after them, against LLaMA-Factory 0.9.5 with transformers
/// 5.5.4 (`Tools/golden/record_vocabulary.py`): the same bits.
@Suite struct ExtendedVocabularyTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var descriptions: [NewTokens.Description]?
        var addsNoise = false
        /// Rows of the head that start otherwise than upstream's on purpose.
        var ownHeadRows: Range<Int>?

        init(_ name: String) { testDescription = name }

        /// Described as in the recording: two tokens, whose own ids do not count.
        init(described name: String, noise: Bool = false) {
            self.init(name)
            descriptions = [.init(id: 62, words: [3, 9, 61]), .init(id: 63, words: [5, 5, 40])]
            addsNoise = noise
            ownHeadRows = 62..<64
        }

        static let all = [
            Case("untied"), Case("tied"), Case("half"), Case("wide"), Case(described: "described"),
            Case(described: "described_tied"), Case(described: "described_noise", noise: true),
            Case("bias"), Case("bias_wide"),
        ]
    }

    /// The recorded weights before.
    private final class RecordedWeights: WeightProvider {
        let tables: [String: Tensor]

        init(_ store: WeightStore, _ name: String) throws {
            var tables: [String: Tensor] = [:]
            for (part, key) in [
                ("embed", "model.embed_tokens.weight"), ("head", "lm_head.weight"), ("bias", "lm_head.bias"),
            ] where store.contains("\(name).\(part).before") {
                tables[key] = try store.tensor("\(name).\(part).before")
            }
            self.tables = tables
        }

        func contains(_ name: String) -> Bool { tables[name] != nil }
        func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
            let tensor = try #require(tables[name])
            #expect(tensor.shape == shape)
            return tensor
        }
    }

    private static func config(
        _ table: Tensor, isTied: Bool, modelType: String = "llama"
    ) throws -> ModelConfig {
        try ModelConfig(
            [
                "model_type": .string(modelType), "vocab_size": .int(Int64(table.dim(0))),
                "hidden_size": .int(Int64(table.dim(1))), "intermediate_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "tie_word_embeddings": .bool(isTied),
            ], path: "config.json")
    }

    @Test(arguments: Case.all) func newRowsEqualTheRecording(_ recorded: Case) throws {
        let store = try WeightStore.open(file: Golden.root + "/vocabulary/embeddings.safetensors")
        let name = recorded.testDescription
        let weights = try RecordedWeights(store, name)
        let old = try #require(weights.tables["model.embed_tokens.weight"])
        let config = try Self.config(
            old, isTied: weights.tables.count == 1, modelType: weights.tables.count == 3 ? "phi" : "llama")
        let generator = try Generator(seed: 7)
        let extended = try ExtendedVocabulary(
            weights, config,
            NewTokens(
                idEnd: config.vocabSize + 2, count: 2, descriptions: recorded.descriptions,
                addsNoise: recorded.addsNoise),
            generator)
        #expect(extended.isChanged)
        #expect(extended.config.vocabSize == 64 && extended.config.json["vocab_size"] == 64)

        let shape = [64, config.hiddenSize]
        let embedding = try extended.tensor("model.embed_tokens.weight", shape: shape, start: .normal)
        #expect(embedding.dtype == old.dtype)
        try expectSameBits(embedding, store.tensor("\(name).embed.after"), "embedding")
        if weights.tables.count == 3 {
            try expectSameBits(
                extended.tensor("lm_head.bias", shape: [64], start: .zeros),
                store.tensor("\(name).bias.after"), "bias")
        }
        if weights.tables.count > 1 {
            let head = try extended.tensor("lm_head.weight", shape: shape, start: .normal)
            let after = try store.tensor("\(name).head.after")
            let kept = 0..<(recorded.ownHeadRows?.lowerBound ?? 64)
            try expectSameBits(head.slice(kept), after.slice(kept), "head")
            if recorded.ownHeadRows != nil, !recorded.addsNoise {
                let own = try #require(weights.tables["lm_head.weight"])
                let mean = try own.selecting(Tensor([Int64(3), 9, 61])).mean(dim: 0)
                try expectSameBits(head.slice(62..<63).reshaped([config.hiddenSize]), mean, "described")
            }
        }
        let next = try Tensor.zeros([4])
        try next.fillUniformInPlace(0, 1, generator)
        try expectSameBits(next, store.tensor("\(name).next"), "stream")
    }

    private func expectSameBits(_ actual: Tensor, _ expected: Tensor, _ what: String) throws {
        #expect(actual.shape == expected.shape, "\(what)")
        #expect(try actual.doubles() == expected.doubles(), "\(what)")
    }

    /// Many published embeddings have more rows than the tokenizer has ids.
    @Test func tokensThatFindFreeRowsDrawNothing() throws {
        let store = try WeightStore.open(file: Golden.root + "/vocabulary/embeddings.safetensors")
        let weights = try RecordedWeights(store, "described")
        let old = try #require(weights.tables["model.embed_tokens.weight"])
        let config = try Self.config(old, isTied: false)
        let generator = try Generator(seed: 7)
        let before = try generator.state().doubles()
        let plain = try ExtendedVocabulary(weights, config, NewTokens(idEnd: 60, count: 2), generator)
        #expect(!plain.isChanged && plain.config.vocabSize == 62)

        let described = try ExtendedVocabulary(
            weights, config,
            NewTokens(
                idEnd: 60, count: 2,
                descriptions: [.init(id: 58, words: [1, 2]), .init(id: 59, words: [700])]), generator)
        #expect(described.isChanged && described.config.vocabSize == 62)
        let table = try described.tensor("model.embed_tokens.weight", shape: old.shape, start: .normal)
        try expectSameBits(table.slice(0..<58), old.slice(0..<58), "other rows")
        try expectSameBits(
            table.slice(58..<59), old.slice(1..<3).mean(dim: 0, keepDim: true), "described row")
        try expectSameBits(
            table.slice(59..<60), old.mean(dim: 0, keepDim: true), "row of unknown words")
        #expect(try generator.state().doubles() == before)
    }
}
