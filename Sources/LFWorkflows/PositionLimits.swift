import LFConfig
import LFDiagnostics
import LFModels

/// Tables of learned positions (GPT-2, OPT), which no sequence may be longer than.
extension ModelLoader {
    /// The most tokens of a sequence that all models of a training or an evaluation can read; nil where none has a table.
    ///
    /// A prompt of PPO leaves a position to its answer.
    func positionLimit() throws -> Int? {
        guard config.use == .training else { return nil }
        let named =
            [(config.model.modelNameOrPath, "model_name_or_path")] + otherModels.map { ($0.name, $0.key) }
        let limit = try named.compactMap { name, key in
            try ModelConfig.read(directory: localFolder(name, key: key, config.model)).positionLimit
        }.min()
        return limit.map { config.finetuning.stage == .ppo ? max(1, $0 - 1) : $0 }
    }
}

extension ResolvedConfig {
    /// Makes the data fit models that read at most `limit` tokens of a sequence.
    ///
    /// Upstream knows no limit and fails within the model. A `cutoff_len` that nobody has named follows the table; one that is longer stays
    /// as it is, and rows are measured (`DataArguments.positionLimit`).
    ///
    /// - Returns: What the log says; nil where nothing has changed.
    /// - Throws: `UserError` where every example would be too long.
    mutating func fit(positions limit: Int) throws(UserError) -> String? {
        data.positionLimit = limit
        let cutoff = data.cutoffLen
        guard cutoff > limit else { return nil }
        guard isCutoffDefault else {
            guard finetuning.stage == .pt, data.packing else { return nil }
            throw UserError(
                .configuration,
                "cutoff_len makes blocks of \(cutoff) tokens, but the model has learned \(limit) positions and knows none beyond.",
                at: source, remedy: "Set cutoff_len: \(limit), or packing: false if the texts are short.")
        }
        data.cutoffLen = limit
        model.modelMaxLength = limit
        for index in values.indices where values[index].name == "cutoff_len" {
            // With packing in the file the argument is one more than what it comes to.
            if case .int(let written) = values[index].value {
                values[index].value = .int(written - cutoff + limit)
            }
        }
        return "cutoff_len is \(limit) instead of its default: the model has learned that many positions."
    }
}
