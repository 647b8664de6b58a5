import Foundation
import LFConfig
import LFDiagnostics

/// Fails before anything is loaded when the results could not be written, and clears away what killed runs left half-written.
///
/// - Returns: The folders that had to be made, the innermost first.
func prepareOutputFolder(_ folder: String) throws -> [String] {
    var created: [String] = []
    var path = folder
    while !path.isEmpty, path != "/", !FileManager.default.fileExists(atPath: path) {
        created.append(path)
        path = parentDirectory(of: path)
    }
    try createDirectories(at: folder)
    _ = removeAbandonedTemporaries(in: folder, includingOwn: true)
    let probe = folder + "/.write-test-\(ProcessInfo.processInfo.processIdentifier)"
    try writeFileAtomically("", to: probe)
    removeTree(probe)
    return created
}

/// Fails when training would write over a model that it reads.
func requireOtherFolder(_ config: ResolvedConfig) throws(UserError) {
    guard config.training.doTrain else { return }
    let output = resolvedPath(config.training.outputDir)
    let policy = config.finetuning.policyOptimization
    for (key, name) in [
        ("model_name_or_path", config.model.modelNameOrPath),
        ("ref_model", config.finetuning.preference.refModel),
        ("reward_model", policy.rewardModelType == .api ? nil : policy.rewardModel),
    ] {
        guard let name, resolvedPath(name) == output else { continue }
        throw UserError(
            .configuration, "output_dir is the folder of \(key).", at: config.training.outputDir,
            remedy: "Name another folder: training would write over the model that it starts from.")
    }
    // An adapter that is trained on may stay where it is; one that is merged first belongs to the new one's base.
    var merged = config.model.adapterNameOrPath
    if config.finetuning.type == .lora, !config.finetuning.lora.createNewAdapter, !merged.isEmpty {
        merged.removeLast()
    }
    guard merged.contains(where: { resolvedPath($0) == output }) else { return }
    throw UserError(
        .configuration, "output_dir is the folder of an adapter that is merged before training.",
        at: config.training.outputDir,
        remedy: "Name another folder: the new weights are of no use without that adapter.")
}

/// Saves the result of a training into its folder, as one change for whoever opens it.
///
/// What an earlier run left there and a program would load together with the new model goes: an adapter beside a whole model, a whole
/// model beside an adapter, shards, a value head, a chat template.
///
/// - Throws: `UserError` naming a file; then the folder is as it was.
func saveResult(by saver: ModelSaver, in folder: String) throws {
    try updateDirectory(
        folder, keyFile: saver.prepared.adapter == nil ? "config.json" : "adapter_config.json",
        isObsolete: isModelFile
    ) { try saver.save(in: $0) }
}

/// Whether a file is read as part of a model, an adapter or a tokenizer, here or in Python.
private func isModelFile(_ name: String) -> Bool {
    let names: Set = [
        "config.json", "generation_config.json", "adapter_config.json", "adapter_model.safetensors",
        "adapter_model.bin", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
        "pytorch_model.bin.index.json", ModelLoader.valueHeadFile, "value_head.bin", "chat_template.jinja",
        "chat_template.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json",
        "special_tokens_map.json", "Modelfile",
    ]
    return names.contains(name) || isShard(name, of: "model", ".safetensors")
        || isShard(name, of: "pytorch_model", ".bin")
}

/// Whether a name is `STEM-00001-of-00002.SUFFIX`.
private func isShard(_ name: String, of stem: String, _ suffix: String) -> Bool {
    guard name.hasPrefix(stem + "-"), name.hasSuffix(suffix) else { return false }
    let parts = name.dropFirst(stem.count + 1).dropLast(suffix.count).split(
        separator: "-", omittingEmptySubsequences: false)
    func isNumber(_ text: Substring) -> Bool {
        text.utf8.count == 5 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    return parts.count == 3 && isNumber(parts[0]) && parts[1] == "of" && isNumber(parts[2])
}
