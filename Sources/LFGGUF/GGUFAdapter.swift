package import LFDiagnostics
package import LFJSON
import LFModelConfig

/// A LoRA adapter as llama.cpp puts it on a model's GGUF file (`llama-adapter.cpp`), checked and ready to be written.
package struct GGUFAdapter {
    /// The two matrices of a module.
    package struct Matrices {
        /// The module's name in the Hugging Face checkpoint, such as `model.layers.0.self_attn.q_proj`.
        package let module: String
        /// `[rank, in]`; of an embedding turned, `[vocab, rank]`.
        package let a: SourceTensor
        /// `[out, rank]`
        package let b: SourceTensor

        package init(module: String, a: SourceTensor, b: SourceTensor) {
            (self.module, self.a, self.b) = (module, a, b)
        }
    }

    package let tensors: [GGUFTensor]
    package let metadata: GGUFMetadata

    /// - Parameters:
    ///   - config: The model's config.json, which lies at `configPath`.
    ///   - alpha: llama.cpp multiplies `B·A` by it and divides by the rank.
    ///   - sharesHead: Whether the model's head is its embedding.
    ///   - format: A type that holds single numbers.
    ///   - name: The adapter's name, for people.
    /// - Throws: `UserError` naming a module for which llama.cpp has no place.
    package init(
        config: JSONObject, configPath: String, matrices: [Matrices], alpha: Double, sharesHead: Bool,
        format: GGUFFormat, name: String
    ) throws(UserError) {
        let model = try GGUFModel(config, path: configPath)
        let type: TensorType =
            switch format {
            case .float32: .float32
            case .float16: .float16
            case .bfloat16: .bfloat16
            default: preconditionFailure("checked with the configuration")
            }
        var tensors: [GGUFTensor] = []
        for pair in matrices {
            let weight = try model.adaptedWeight(pair.module, sharesHead: sharesHead)
            tensors.append(
                GGUFTensor(
                    name: weight.name + ".lora_a", shape: pair.a.shape, type: type, sources: [pair.a],
                    change: WeightChange()))
            tensors.append(
                GGUFTensor(
                    name: weight.name + ".lora_b", shape: pair.b.shape, type: type, sources: [pair.b],
                    change: weight.change))
        }
        self.tensors = tensors
        metadata = [
            ("general.architecture", .string(model.family.architecture)),
            ("general.type", .string("adapter")), ("adapter.type", .string("lora")),
            ("general.name", .string(name)), ("general.file_type", .uint32(format.fileType)),
            ("general.quantization_version", .uint32(2)), ("adapter.lora.alpha", .number(alpha)),
        ]
    }

    /// Writes the file, whole or not at all.
    ///
    /// - Returns: What rounding has cost.
    /// - Throws: `UserError` naming `path` or a tensor; what reading a tensor throws.
    package func write(to path: String) throws -> RoundingLoss {
        try writeGGUF(tensors, metadata: metadata, to: path) {}
    }
}

extension GGUFModel {
    /// The name of a module's weight in GGUF, and what is done with its rows.
    fileprivate func adaptedWeight(
        _ module: String, sharesHead: Bool
    ) throws(UserError) -> (name: String, change: WeightChange) {
        let place = try place(of: module + ".weight")
        guard place.expert == nil else { throw homeless(module + ".weight") }
        let isTable = place.name == "token_embd.weight"
        if sharesHead, !family.needsHead, isTable || place.name == "output.weight" {
            throw UserError(
                .failedRun,
                "llama.cpp cannot put an adapter on \"\(module)\" alone: the model's head is its embedding.",
                at: config.path,
                remedy: "Remove `export_gguf_lora`: the export then merges the adapter into the model.")
        }
        return (place.name, try change(of: place.name))
    }
}
