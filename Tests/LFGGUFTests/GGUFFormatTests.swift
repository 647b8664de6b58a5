import LFGGUF
import LFJSON
import Testing

/// Types as llama.cpp's quantizer chooses them.
@Suite struct GGUFFormatTests {
    private func types(
        _ format: GGUFFormat, layers: Int = 32, experts: Int = 0, sharesHead: Bool = false,
        is70B: Bool = false, _ tensors: [(String, [Int])]
    ) -> [String] {
        let facts = MixtureFacts(layers: layers, experts: experts, sharesHead: sharesHead, is70B: is70B)
        return tensors.map { format.type(of: $0.0, shape: $0.1, in: facts).name }
    }

    private let shape = [64, 512]

    @Test func vectorsNormsAndRoutersStayWhole() {
        for format in GGUFFormat.allCases {
            let found = types(
                format,
                [
                    ("blk.0.attn_norm.weight", [512]), ("blk.0.attn_q.bias", [512]),
                    ("blk.0.ffn_gate_inp.weight", [8, 512]), ("rope_freqs.weight", [64]),
                ])
            #expect(found == ["F32", "F32", "F32", "F32"])
        }
    }

    @Test func plainFormatsHaveOneType() {
        let tensors = [
            ("token_embd.weight", shape), ("output.weight", shape), ("blk.3.attn_v.weight", shape),
        ]
        #expect(types(.float32, tensors) == ["F32", "F32", "F32"])
        #expect(types(.float16, tensors) == ["F16", "F16", "F16"])
        #expect(types(.bfloat16, tensors) == ["BF16", "BF16", "BF16"])
        #expect(types(.q80, tensors) == ["Q8_0", "Q8_0", "Q8_0"])
        #expect(types(.q40, tensors) == ["Q4_0", "Q6_K", "Q4_0"])
        #expect(types(.q41, sharesHead: true, tensors) == ["Q6_K", "Q6_K", "Q4_1"])
        #expect(types(.q6K, tensors) == ["Q6_K", "Q6_K", "Q6_K"])
    }

    @Test func mediumGivesMoreToValuesAndDownProjections() {
        let layers = (0..<32).filter {
            types(.q4KMedium, [("blk.\($0).attn_v.weight", shape)]) == ["Q6_K"]
        }
        // The first and last eighth, and every third between.
        #expect(layers == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31])
        for layer in [0, 4, 6, 27] {
            let both = types(
                .q4KMedium,
                [("blk.\(layer).attn_v.weight", shape), ("blk.\(layer).ffn_down.weight", shape)])
            #expect(both[0] == both[1])
        }
        let others = ["attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"].map {
            ("blk.0.\($0).weight", shape)
        }
        #expect(types(.q4KMedium, others) == ["Q4_K", "Q4_K", "Q4_K", "Q4_K", "Q4_K"])
        #expect(
            types(.q4KMedium, [("token_embd.weight", shape), ("output.weight", shape)]) == ["Q4_K", "Q6_K"])
    }

    @Test func largeAndMixedModelsAreDifferent() {
        let tensors = ["attn_v", "attn_k", "attn_output", "ffn_down_exps"].map {
            ("blk.4.\($0).weight", shape)
        }
        #expect(types(.q4KMedium, is70B: true, tensors) == ["Q5_K", "Q4_K", "Q4_K", "Q4_K"])
        #expect(types(.q4KMedium, experts: 8, tensors) == ["Q8_0", "Q8_0", "Q5_K", "Q4_K"])
        #expect(types(.q40, experts: 8, tensors) == ["Q8_0", "Q8_0", "Q4_0", "Q4_0"])
        #expect(types(.q4KMedium, experts: 60, tensors) == ["Q4_K", "Q4_K", "Q4_K", "Q4_K"])
    }

    /// Rows that are no whole superblocks take blocks of 32, and those that are none of these float16.
    @Test func oddRowsFallBack() {
        let rows = [("blk.0.attn_q.weight", [4, 576]), ("blk.0.attn_v.weight", [4, 576])]
        #expect(types(.q4KMedium, rows) == ["Q5_0", "Q8_0"])
        #expect(types(.q6K, rows) == ["Q8_0", "Q8_0"])
        #expect(types(.q4KMedium, [("output.weight", [4, 576])]) == ["Q8_0"])
        #expect(
            types(.q40, [("output.weight", [4, 576]), ("blk.0.attn_q.weight", [4, 576])]) == ["Q8_0", "Q4_0"])
        for format in [GGUFFormat.q80, .q40, .q41, .q4KMedium, .q6K] {
            #expect(types(format, [("blk.0.attn_q.weight", [4, 40])]) == ["F16"])
        }
    }
}
