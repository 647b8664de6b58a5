import LFDiagnostics
package import LFJSON
package import LFTokenizer

/// A GGUF file that is checked and ready to be written.
package struct GGUFExport {
    package let tensors: [GGUFTensor]
    package let metadata: GGUFMetadata
    /// What llama.cpp will do otherwise than the model, in sentences.
    package let warnings: [String]
    /// The token that llama.cpp puts in front of a text; nil for none.
    package let beginning: Int32?

    /// - Parameters:
    ///   - config: The model's config.json, which lies at `configPath`.
    ///   - sources: The model's tensors as a Hugging Face checkpoint has them.
    ///   - tokenizer: What is saved in `tokenizerFolder`.
    ///   - chatTemplate: In Jinja; nil where there is none.
    ///   - ends: The tokens that end an answer, the most usual first.
    ///   - name: The model's name, for people.
    /// - Throws: `UserError` naming a tensor, key or tokenizer that llama.cpp does not have.
    package init(
        config: JSONObject, configPath: String, sources: [SourceTensor], format: GGUFFormat,
        tokenizer: (tokenizer: Tokenizer, folder: String, chatTemplate: String?, ends: [Int32]), name: String
    ) throws {
        var model = try GGUFModel(config, path: configPath)
        tensors = try model.tensors(from: sources, format: format)
        guard let rows = tensors.first(where: { $0.name == "token_embd.weight" })?.shape.first else {
            throw UserError(
                .failedRun, "holds no embedding (model.embed_tokens.weight).", at: configPath,
                remedy: "Download the model again.")
        }
        let words = try TokenizerMetadata(
            tokenizer.tokenizer, folder: tokenizer.folder, model: config, count: rows,
            chatTemplate: tokenizer.chatTemplate, ends: tokenizer.ends)
        let parameters = sources.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let general: GGUFMetadata = [
            ("general.architecture", .string(model.family.architecture)), ("general.type", .string("model")),
            ("general.name", .string(name)), ("general.size_label", .string(Self.sizeLabel(parameters))),
            ("general.file_type", .uint32(format.fileType)), ("general.quantization_version", .uint32(2)),
        ]
        metadata = try general + model.metadata(vocabSize: rows) + words.entries
        warnings = model.warnings + words.warnings
        beginning = words.beginning
    }

    /// A count as published files name it: 135M, 1.1B, 70B.
    package static func sizeLabel(_ parameters: Int) -> String {
        var size = Double(parameters)
        for unit in ["", "K", "M", "B", "T"] {
            if size < 999.5 || unit == "T" {
                let tenths = (size * 10).rounded()
                let isWhole = size >= 9.95 || tenths.truncatingRemainder(dividingBy: 10) == 0
                return isWhole ? "\(Int(size.rounded()))\(unit)" : "\(tenths / 10)\(unit)"
            }
            size /= 1000
        }
        return ""
    }

    /// How many tensors there are of each type, the most frequent first: `210 Q8_0, 61 F32`.
    package var summary: String {
        let counts = Dictionary(tensors.map { ($0.type.name, 1) }, uniquingKeysWith: +)
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.value) \($0.key)" }
            .joined(separator: ", ")
    }

    /// Writes the file, whole or not at all.
    ///
    /// - Parameter advance: Called after each tensor.
    /// - Returns: What rounding has cost, over all tensors that are not float32.
    /// - Throws: `UserError` naming `path` or a tensor; what reading a tensor and `advance` throw.
    package func write(to path: String, advance: () throws -> Void) throws -> RoundingLoss {
        try writeGGUF(tensors, metadata: metadata, to: path, advance: advance)
    }
}
