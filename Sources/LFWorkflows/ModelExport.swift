import Foundation
import LFAdapters
import LFCheckpoint
public import LFConfig
import LFDiagnostics
import LFGGUF
import LFHub
import LFJSON
import LFModels
import LFNN
import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import Logging

/// Writes a model with its adapters merged as one Hugging Face folder (upstream `train/tuner.py`, `export_model`).
///
/// Weights are merged one by one as they are written, so memory holds one of them at a time. The folder changes only when
/// everything is written, and is not a model at any moment in between.
///
/// - Returns: False when Ctrl-C ended it; nothing has changed then.
/// - Throws: `UserError` for whatever a person can mend.
public func exportModel(_ config: ResolvedConfig) throws -> Bool {
    guard let directory = config.export.directory else {
        preconditionFailure("checked with the configuration")
    }
    let logger = Logger(label: "llamafactory.export")
    for warning in config.warnings { logger.warning("\(warning)") }
    if let threads = config.training.threads { TorchRuntime.setThreads(threads) }
    let upload = try config.export.hubRepository.map { repository in
        HubUpload(
            try uploadSettings(
                ProcessInfo.processInfo.environment, token: config.model.hubToken, repository: repository,
                key: "export_hub_model_id", asking: "export_hub_model_id"),
            keys: .export)
    }
    let adapter = config.export.writesAdapter ? try AdapterExport(config, logger) : nil
    var export = adapter == nil ? try ModelExport(config, to: directory, logger) : nil
    var created: [String] = []
    var path = directory
    while !path.isEmpty, path != "/", !FileManager.default.fileExists(atPath: path) {
        created.append(path)
        path = parentDirectory(of: path)
    }
    do {
        try createDirectories(at: directory)
        let lock = try FolderLock(directory, key: "export_dir")
        defer { withExtendedLifetime(lock) {} }
        try adapter?.write(to: directory)
        try export?.write()
    } catch {
        for folder in created { rmdir(folder) }
        if error is ModelExport.Interrupted { return false }
        throw error
    }
    guard let export else { return true }
    logger.info("The model is saved in \(directory)")
    if let upload, let name = config.export.hubRepository {
        try explainingBreaks("The model is saved in \(directory), but could not be uploaded to \(name)") {
            let repository = try upload.makeRepository(name, isPrivate: nil)
            let files = export.fileNames.map { RepositoryFile(name: $0, path: "\(directory)/\($0)") }
            let address = try upload.commit(files, to: repository, summary: "Upload model")
            logger.info("\(address.map { "Uploaded: \($0)" } ?? "\(repository) holds these files already.")")
        }
    }
    return true
}

/// Ctrl-C ended an export.
struct ExportInterrupted: Error {}

/// A model, its adapters and its tokenizer, checked and ready to be written.
private struct ModelExport {
    typealias Interrupted = ExportInterrupted

    private let config: ResolvedConfig
    private let directory: String
    private let logger: Logger
    private let setup: TemplateSetup
    private let model: LanguageModel
    private var merge: PendingMerge
    private let proof: ExportProof
    private let dtype: DType
    private let gguf: GGUFOutput?
    /// The value head to copy: its folder and file.
    private let valueHead: (folder: String, file: String)?
    /// The files that `write` wrote.
    private(set) var fileNames: [String] = []

    init(_ config: ResolvedConfig, to directory: String, _ logger: Logger) throws {
        self.config = config
        self.directory = directory
        self.logger = logger
        let arguments = config.model
        var loader = ModelLoader(config: config)
        let folder = try localFolder(arguments.modelNameOrPath, key: "model_name_or_path", arguments)
        try makeAll(
            { try requireOtherFolder(directory, model: folder, arguments) },
            {
                let json = try ModelConfig.read(directory: folder).json
                if config.export.gguf != nil { _ = try GGUFModel(json, path: folder + "/config.json") }
            },
            { try loader.checkAdapters(arguments.adapterNameOrPath, key: "adapter_name_or_path") },
            { if let name = config.data.template { try Template.check(name: name) } })
        setup = try loader.templateSetup(folder: folder, today: .today, logger)
        try loader.checkFit(of: setup)
        model = try loader.base().model
        var proof = ExportProof(setup, vocabSize: model.config.vocabSize)
        if !arguments.adapterNameOrPath.isEmpty { try proof.read(base: model) }
        self.proof = proof
        var merge = PendingMerge()
        for name in arguments.adapterNameOrPath {
            let adapter = try localFolder(name, key: "adapter_name_or_path", arguments)
            let files = try LoRAAdapterFiles(directory: adapter)
            loader.warnOfOtherBase(files.config, name)
            loader.warnOfOtherTokens(files, name, folder: adapter, model: model)
            try merge.add(files, location: adapter, to: model)
            logger.info("Merged adapter \(name)")
        }
        self.merge = merge
        gguf = config.export.gguf.flatMap { GGUFFormat(rawValue: $0) }.map { GGUFOutput(format: $0) }
        dtype = Self.dtype(arguments.inferDType, model)
        logger.info("all params: \(model.parameterCount)")
        logger.info("Convert model dtype to: \(dtype.rawValue).")
        valueHead = try Self.valueHead(config, modelFolder: folder, logger)
    }

    /// What weights are written in: what is asked for, else what the checkpoint declares. A float32 model becomes bfloat16 where there
    /// is a GPU, as upstream has it.
    private static func dtype(_ choice: ModelArguments.InferenceDType, _ model: LanguageModel) -> DType {
        switch choice {
        case .float16: return .float16
        case .bfloat16: return .bfloat16
        case .float32: return .float32
        case .auto:
            let stored = model.parameters.first?.tensor.dtype ?? .float32
            let declared = model.config.declaredDType.flatMap { DType(rawValue: $0) } ?? stored
            guard declared.isFloatingPoint, declared != .float32 else {
                return Device.hasCUDA ? .bfloat16 : .float32
            }
            return declared
        }
    }

    private static func valueHead(
        _ config: ResolvedConfig, modelFolder: String, _ logger: Logger
    ) throws -> (folder: String, file: String)? {
        guard config.finetuning.stage == .rm else { return nil }
        var folder = modelFolder
        if let name = config.model.adapterNameOrPath.last {
            folder = try localFolder(name, key: "adapter_name_or_path", config.model)
        }
        for file in [ModelLoader.valueHeadFile, "value_head.bin"]
        where FileManager.default.fileExists(atPath: folder + "/" + file) {
            return (folder, file)
        }
        logger.warning("\(folder) holds no \(ModelLoader.valueHeadFile): the exported model cannot score.")
        return nil
    }

    // MARK: Writing

    mutating func write() throws {
        _ = removeAbandonedTemporaries(in: directory, includingOwn: true)
        Interruption.watch(during: .export)
        defer { Interruption.unwatch() }
        try updateDirectory(directory, keyFile: "config.json", isObsolete: isObsolete) { folder in
            try writeWeights(to: folder)
            let configurations = try ModelConfigurations(model, dtype: dtype, config.model, setup.tokenizer)
            try configurations.write(to: folder)
            try setup.tokenizer.save(to: folder, chatTemplate: setup.chatTemplate, paddingSide: "left")
            // Ollama reads a GGUF file as llama.cpp does, and of safetensors what `tokenizer_config.json` asks for.
            var beginning = setup.tokenizer.asksForBOS ? setup.tokenizer.bosToken : nil
            if let gguf {
                beginning = try gguf.write(
                    model, merge, configurations, setup, folder: folder, finalFolder: directory, logger)
            }
            if let valueHead {
                let content = try Data(
                    contentsOf: URL(fileURLWithPath: "\(valueHead.folder)/\(valueHead.file)"))
                try writeFileAtomically(content, to: "\(folder)/\(valueHead.file)")
                logger.info("Copied valuehead to \(directory).")
            }
            try writeModelfile(to: folder, beginning: beginning)
            try merge.restore()
            try proof.compare(model, with: folder, dtype: dtype, logger)
            fileNames = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        }
    }

    /// - Parameter beginning: The token that Ollama puts in front of a text.
    private func writeModelfile(to folder: String, beginning: String?) throws {
        if let modelfile = setup.template.ollamaModelfile(
            for: setup.tokenizer, weights: gguf.map { "./" + $0.fileName } ?? ".", beginning: beginning)
        {
            try writeFileAtomically(modelfile.text, to: folder + "/Modelfile")
            logger.info("Ollama modelfile saved in \(directory)/Modelfile")
            if !modelfile.lostStops.isEmpty {
                let words = modelfile.lostStops.map { JSONValue.literal($0) }.joined(separator: ", ")
                logger.warning(
                    "The Modelfile lacks the stop words \(words), which its language cannot express.")
            }
        } else {
            logger.warning(
                "The template \"\(setup.template.name)\" cannot be written for Ollama: there is no Modelfile."
            )
        }
    }

    private func writeWeights(to folder: String) throws {
        let parts = model.parameters.flatMap { parameter in parameter.fileParts.map { (parameter, $0) } }
        let progress = ProgressBar(label: "export", total: parts.count)
        var done = 0
        let tensors = parts.map { parameter, part in
            PendingTensor(name: part.name, shape: part.shape, dtype: dtype) {
                guard !Interruption.isRequested else { throw Interrupted() }
                let merged = try part.extract(merge.merged(parameter).detached())
                if dtype == .float16 { try requireFloat16Range(merged, name: part.name) }
                done += 1
                progress.advance(to: done)
                return try merged.to(dtype)
            }
        }
        do {
            try writeShardedSafetensors(tensors, shardSize: config.export.shardSize, to: folder)
        } catch {
            progress.finish(leavesLine: false)
            throw error
        }
        progress.finish()
    }

    private func requireFloat16Range(_ tensor: Tensor, name: String) throws {
        let limit = 65504.0
        guard tensor.count > 0, try tensor.max().item() > limit || tensor.min().item() < -limit else {
            return
        }
        throw UserError(
            .failedRun,
            "The tensor \"\(name)\" holds values beyond \(Int(limit)), which float16 cannot hold.",
            remedy: "Use `infer_dtype: bfloat16`.")
    }

    /// Files of an earlier export that would be read together with this one.
    private func isObsolete(_ name: String) -> Bool {
        if [
            "model.safetensors", "model.safetensors.index.json", "chat_template.jinja", "Modelfile",
            "special_tokens_map.json", "added_tokens.json",
            ModelLoader.valueHeadFile, "value_head.bin",
        ].contains(name) || GGUFOutput.isOne(name) {
            return true
        }
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        let isNumber = { (text: Substring) in
            text.utf8.count == 5 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        }
        return parts.count == 4 && parts[0] == "model" && isNumber(parts[1]) && parts[2] == "of"
            && parts[3].hasSuffix(".safetensors") && isNumber(parts[3].dropLast(".safetensors".count))
    }
}

/// Fails when the export would overwrite what it reads, or would be read as something else.
private func requireOtherFolder(_ directory: String, model folder: String, _ arguments: ModelArguments) throws
{
    let target = resolvedPath(directory)
    // Of a GGUF file the folder that it lies in: an export removes such files of earlier ones.
    let isFile = isGGUFName(arguments.modelNameOrPath)
    let base = isFile ? parentDirectory(of: resolvedPath(arguments.modelNameOrPath)) : resolvedPath(folder)
    guard target != base, isFile || !target.hasPrefix(base + "/") else {
        throw UserError(
            .configuration,
            "export_dir is \(target == base ? "the folder" : "inside the folder") of model_name_or_path.",
            at: directory,
            remedy: "Name another folder; the exported model stands beside the one that it is made of.")
    }
    for name in arguments.adapterNameOrPath {
        // A name that stands for no folder is found by another check.
        let adapter = try? localFolder(name, key: "adapter_name_or_path", arguments)
        guard adapter.map({ resolvedPath($0) }) != target else {
            throw UserError(
                .configuration, "export_dir is the folder of an adapter that is merged.", at: directory,
                remedy: "Name another folder; transformers would put the adapter on the merged model again.")
        }
    }
    guard !FileManager.default.fileExists(atPath: directory + "/adapter_config.json") else {
        throw UserError(
            .configuration, "export_dir holds an adapter (adapter_config.json).", at: directory,
            remedy: "Name another folder; transformers would put the adapter on the exported model.")
    }
}
