import Foundation
import LFCheckpoint
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTorch
import Testing

/// Published files in MXFP4 (gpt-oss) and in 8-bit floats (DeepSeek V3, MiniMax-M2) are unpacked while they are read.
@Suite struct QuantizedFileTests {
    private func weights(_ tensors: [NamedTensor], in folder: ScratchFolder) throws -> CheckpointWeights {
        try writeSafetensors(tensors, metadata: [:], to: folder.path + "/model.safetensors")
        return CheckpointWeights(try WeightStore.open(directory: folder.path), location: folder.path)
    }

    /// The low half of a byte comes first; a scale is a power of two.
    @Test func fourBitsByHand() throws {
        let folder = try ScratchFolder()
        // Two rows of 32 numbers: 0.5, 1, 0, … times 2, and -6, 1.5, 0, … times 1/4.
        var bytes = [UInt8](repeating: 0, count: 32)
        (bytes[0], bytes[16]) = (0x21, 0x3F)
        let blocks = try Tensor(bytes.map { Float($0) }, [1, 2, 1, 16]).to(.uint8)
        let scales = try Tensor([128, 125] as [Float], [1, 2, 1]).to(.uint8)
        let weights = try weights([("m.x_blocks", blocks), ("m.x_scales", scales)], in: folder)
        #expect(weights.contains("m.x") && !weights.contains("m.y"))
        let found = try weights.tensor("m.x", shape: [1, 32, 2], start: .normal)
        #expect(found.dtype == .bfloat16 && weights.unusedNames == [])
        #expect(try found.slice(0..<3, dim: 1).floats() == [1, -1.5, 2, 0.375, 0, 0])
        #expect(throws: (any Error).self) { try weights.tensor("m.x", shape: [1, 64, 2], start: .normal) }
        #expect(throws: (any Error).self) { try weights.check("m.x", shape: [1, 32, 3]) }
    }

    /// A factor holds for a tile of 128 × 128; the last ones may be smaller.
    @Test func eightBitsByHand() throws {
        let folder = try ScratchFolder()
        let values = (0..<130 * 3).map { Float($0 % 3) - 1 }
        let weights = try weights(
            [
                ("a.weight", try Tensor(values, [130, 3]).to(.float8)),
                ("a.weight_scale_inv", try Tensor([0.5, 4] as [Float], [2, 1])),
                ("b.weight", try Tensor(values, [130, 3]).to(.float8)),
            ], in: folder)
        let found = try weights.tensor("a.weight", shape: [130, 3], start: .normal)
        #expect(found.dtype == .bfloat16)
        #expect(try found.slice(127..<129).floats() == [-0.5, 0, 0.5, -4, 0, 4])
        let error = #expect(throws: (any Error).self) {
            try weights.tensor("b.weight", shape: [130, 3], start: .normal)
        }
        #expect("\(String(describing: error))".contains("b.weight_scale_inv"))
    }

    private let config: JSONObject = [
        "model_type": "gpt_oss", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
        "num_local_experts": 3, "num_experts_per_tok": 2,
    ]

    /// A quantized checkpoint is the model of the numbers that it stands for, and is saved as that.
    @Test func aQuantizedModelIsItsNumbers() throws {
        let generator = try Generator(seed: 3)
        let plain = try ModelConfig(config, path: "config.json")
        let fresh = try LanguageModel(
            plain, weights: FreshWeights(generator, deviation: 0.1), storedDType: .bfloat16,
            computeDType: .float32, on: .cpu)
        var tensors = (plain: [NamedTensor](), packed: [NamedTensor]())
        for (name, tensor) in try fresh.parameters.flatMap({ try $0.fileTensors() }) {
            guard name.hasSuffix("_proj"), tensor.rank == 3 else {
                tensors.plain.append((name, tensor))
                tensors.packed.append((name, tensor))
                continue
            }
            let rows = tensor.dim(2)
            let bytes = try Tensor.zeros([3, rows, 1, 16])
            try bytes.fillUniformInPlace(0, 256, generator)
            let blocks = try bytes.to(.uint8), scales = try Tensor.full([3, rows, 1], 124).to(.uint8)
            tensors.packed += [("\(name)_blocks", blocks), ("\(name)_scales", scales)]
            tensors.plain.append(
                (name, try unpackedMXFP4(blocks, scales: scales).transposed(1, 2).contiguous()))
        }
        let folder = try ScratchFolder()
        let quantized = try plain.changing(["quantization_config": ["quant_method": "mxfp4"]])
        #expect(quantized.json["quantization_config"] == nil)
        func logits(_ tensors: [NamedTensor], _ config: ModelConfig) throws -> (LanguageModel, Tensor) {
            let weights = try weights(tensors, in: folder)
            let model = try LanguageModel(
                config, weights: weights, storedDType: .float32, computeDType: .float32, on: .cpu)
            #expect(weights.unusedNames == [])
            let ids = (0..<20).map { Int32($0 * 7 % 40) }
            let stream = try DeviceStream(
                Collator().stream(of: [.supervised([LabeledSequence(inputIDs: ids, labels: ids)])]), on: .cpu)
            return (
                model,
                try withoutGrad { () throws(TorchError) in try model.logits(model.hiddenStates(stream)) }
            )
        }
        let (_, expected) = try logits(tensors.plain, plain)
        let (model, found) = try logits(tensors.packed, quantized)
        #expect(try found.isIdentical(to: expected))
        let saved = try model.parameters.flatMap { try $0.fileTensors() }
        #expect(saved.map(\.name) == tensors.plain.map(\.name))
        for (one, other) in zip(saved, tensors.plain) {
            #expect(try one.tensor.isIdentical(to: other.tensor.to(.float32)), "\(one.name)")
        }
    }

    @Test func otherQuantizationsAreRefused() throws {
        func reads(_ quantization: JSONObject) -> Bool {
            var object = config
            object["quantization_config"] = .object(quantization)
            return (try? ModelConfig(object, path: "config.json")) != nil
        }
        #expect(reads(["quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"]))
        #expect(!reads(["quant_method": "fp8", "weight_block_size": [64, 64]]))
        #expect(!reads(["quant_method": "fp8"]))
        #expect(!reads(["quant_method": "gptq"]))
    }
}
