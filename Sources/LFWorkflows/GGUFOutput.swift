import Foundation
import LFAdapters
import LFDiagnostics
import LFGGUF
import LFJSON
import LFModels
import LFNN
import LFTemplate
import LFTokenizer
import LFTorch
import Logging

/// The GGUF file beside an exported model (`export_gguf`).
///
/// It is made of the merged weights in float32, not of what `infer_dtype` makes of them: they are rounded once.
struct GGUFOutput {
    let format: GGUFFormat

    var fileName: String { "model-\(format.label).gguf" }

    /// Whether an export of any format gives its file this name.
    static func isOne(_ name: String) -> Bool {
        GGUFFormat.allCases.contains { GGUFOutput(format: $0).fileName == name }
    }

    /// - Parameters:
    ///   - folder: Where the exported model's tokenizer lies already.
    ///   - finalFolder: What the folder will be called.
    /// - Returns: The token that llama.cpp puts in front of a text; nil for none.
    /// - Throws: `ExportInterrupted` after Ctrl-C; `UserError` naming what llama.cpp does not have.
    func write(
        _ model: LanguageModel, _ merge: PendingMerge, _ configurations: ModelConfigurations,
        _ setup: TemplateSetup, folder: String, finalFolder: String, _ logger: Logger
    ) throws -> String? {
        let export = try GGUFExport(
            config: configurations.model, configPath: finalFolder + "/config.json",
            sources: Self.sources(model, merge), format: format,
            tokenizer: (
                setup.tokenizer, folder, setup.chatTemplate ?? setup.tokenizer.chatTemplate,
                Self.ends(configurations)
            ),
            name: URL(fileURLWithPath: finalFolder).lastPathComponent)
        for warning in export.warnings { logger.warning("\(warning)") }
        let path = "\(folder)/\(fileName)"
        let progress = ProgressBar(label: "gguf", total: export.tensors.count)
        var done = 0
        do {
            let loss = try export.write(to: path) {
                done += 1
                progress.advance(to: done)
            }
            progress.finish()
            var line = "GGUF file saved in \(finalFolder)/\(fileName): \(export.summary)"
            if loss.relative > 0 {
                line += String(
                    format: "; rounding changes weights by %.2g %% (root mean square)", 100 * loss.relative)
            }
            logger.info("\(line).")
        } catch {
            progress.finish(leavesLine: false)
            throw error
        }
        return export.beginning.flatMap { setup.tokenizer.token(of: $0) }
    }

    private static func sources(_ model: LanguageModel, _ merge: PendingMerge) -> [SourceTensor] {
        model.parameters.flatMap { parameter in
            parameter.fileParts.map { part in
                SourceTensor(name: part.name, shape: part.shape) {
                    guard !Interruption.isRequested else { throw ExportInterrupted() }
                    let tensor = try part.extract(merge.merged(parameter).detached())
                    let rows = try tensor.contiguous().reshaped([-1, part.shape.last ?? 1])
                    return { range in try rows.slice(range).to(.float32).floats() }
                }
            }
        }
    }

    /// The tokens that end an answer, as `generation_config.json` has them.
    private static func ends(_ configurations: ModelConfigurations) -> [Int32] {
        let value = configurations.generation["eos_token_id"] ?? configurations.model["eos_token_id"]
        return (value?.array ?? [value].compactMap { $0 }).compactMap(\.int).map { Int32(clamping: $0) }
    }
}
