import Foundation
import LFAdapters
import LFCheckpoint
import LFConfig
import LFDiagnostics
import LFGGUF
import LFModels
import LFTemplate
import LFTorch
import Logging

/// Writes an adapter as a GGUF LoRA file, and no model (`export_gguf_lora`). Of the model only its shapes are read.
struct AdapterExport {
    private let adapter: GGUFAdapter
    let fileName: String
    private let logger: Logger

    /// - Throws: `UserError` for what llama.cpp's adapters do not have, or that does not fit the model.
    init(_ config: ResolvedConfig, _ logger: Logger) throws {
        self.logger = logger
        guard let format = config.export.gguf.flatMap({ GGUFFormat(rawValue: $0) }),
            let name = config.model.adapterNameOrPath.first
        else { preconditionFailure("checked with the configuration") }
        fileName = "adapter-\(format.label).gguf"
        var loader = ModelLoader(config: config)
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        let location = try localFolder(name, key: "adapter_name_or_path", config.model)
        try makeAll(
            { _ = try GGUFModel(ModelConfig.read(directory: folder).json, path: folder + "/config.json") },
            { try loader.checkAdapters([name], key: "adapter_name_or_path") },
            { if let name = config.data.template { try Template.check(name: name) } })
        let setup = try loader.templateSetup(folder: folder, today: .today, logger)
        try loader.checkFit(of: setup)
        let files = try LoRAAdapterFiles(directory: location)
        loader.warnOfOtherBase(files.config, name)
        try Self.requirePlain(files, location)
        let modelConfig = try ModelConfig.read(directory: folder)
        let modules = try loader.outline(folder, modelConfig).modules(of: files)
        let bypassed = modules.filter(\.isBypassed)
        if let first = bypassed.first {
            logger.warning(
                "The adapters of \(bypassed.count) routers (\(first.name) is the first) are left out: this model computes its routing without them, so they change nothing."
            )
        }
        let alpha = files.config.scaling * Double(files.config.r)
        var matrices: [GGUFAdapter.Matrices] = []
        for module in modules where !module.isBypassed {
            guard let pair = files.matrices[module.name] else { continue }
            // llama.cpp knows one α for all modules.
            let own = files.config.scaling(of: module.name) * Double(files.config.rank(of: module.name))
            matrices.append(Self.matrices(pair, of: module.name, factor: own / alpha))
        }
        adapter = try GGUFAdapter(
            config: modelConfig.json, configPath: folder + "/config.json", matrices: matrices, alpha: alpha,
            sharesHead: modelConfig.tiesEmbeddings,
            format: format, name: URL(fileURLWithPath: location).lastPathComponent)
    }

    private static func requirePlain(_ files: LoRAAdapterFiles, _ location: String) throws(UserError) {
        let remedy = "Remove `export_gguf_lora`: the export then merges the adapter into the model."
        if files.config.usesDoRA {
            throw UserError(
                .failedRun, "The adapter is DoRA's, which llama.cpp does not put on models.", at: location,
                remedy: remedy)
        }
        if let module = files.config.modulesToSave?.first ?? files.replacements.first?.name {
            throw UserError(
                .failedRun,
                "The adapter replaces \"\(module)\" as a whole, for which llama.cpp's adapters have no place.",
                at: location, remedy: remedy)
        }
    }

    /// - Parameter factor: Multiplies B.
    private static func matrices(
        _ matrices: LoRAMatrices, of module: String, factor: Double
    ) -> GGUFAdapter.Matrices {
        func source(
            _ part: String, _ tensor: Tensor, _ shape: [Int], turned: Bool = false, factor: Double = 1
        ) -> SourceTensor {
            SourceTensor(name: "\(module).\(part)", shape: shape) {
                let rows = try (turned ? tensor.transposed() : tensor).contiguous()
                return { range in try (rows.slice(range).to(.float32) * factor).floats() }
            }
        }
        let (a, b) = (matrices.a, matrices.b)
        let isTable = matrices.isOfEmbedding
        return GGUFAdapter.Matrices(
            module: module,
            a: source("lora_A", a, isTable ? a.shape.reversed() : a.shape, turned: isTable),
            b: source("lora_B", b, b.shape, factor: factor))
    }

    /// - Parameter directory: An existing folder.
    func write(to directory: String) throws {
        let path = "\(directory)/\(fileName)"
        let loss = try adapter.write(to: path)
        var line = "Adapter saved in \(path): \(adapter.tensors.count) tensors"
        if loss.relative > 0 {
            line += String(
                format: "; rounding changes weights by %.2g %% (root mean square)", 100 * loss.relative)
        }
        logger.info("\(line). llama.cpp takes it as --lora, a Modelfile as ADAPTER, beside the base model.")
    }
}
