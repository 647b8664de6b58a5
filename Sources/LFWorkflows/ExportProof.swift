import Foundation
import LFCheckpoint
import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFModels
import LFNN
import LFStream
import LFTemplate
import LFTokenizer
import LFTorch
import Logging

/// Shows that an exported model is the one that it was made of: a few prompts through both, logit by logit.
struct ExportProof {
    private let prompts: [[Int32]]
    /// The logits of the model without its adapters, `[rows, vocab]`.
    private var baseLogits: Tensor?

    /// Questions in the model's own format, and ids from all over the vocabulary.
    ///
    /// - Parameter vocabSize: How many tokens the model has embeddings for.
    init(_ setup: TemplateSetup, vocabSize: Int) {
        var prompts: [[Int32]] = []
        for question in ["Who are you?", "Write one sentence about the sea.", "17 + 25 = ?"] {
            // A template may ask for more than a question; the ids below speak for it then.
            let messages = [Message(.user, question), Message(.assistant, "")]
            if let turn = try? setup.template.encodeOneTurn(messages, with: setup.tokenizer) {
                prompts.append(turn.prompt)
            }
        }
        let step = max(1, vocabSize / 32)
        prompts.append(stride(from: step / 2, to: vocabSize, by: step).map { Int32($0) })
        self.prompts = prompts.map { $0.filter { $0 < vocabSize } }.filter { !$0.isEmpty }
    }

    /// Keeps what a model says before any adapter is put on it.
    mutating func read(base model: LanguageModel) throws { baseLogits = try logits(of: model) }

    /// Reads the written model and compares it with the model in memory, whose adapters act unmerged.
    ///
    /// What rounding to the written type may change grows with the number of matrices that a token passes.
    ///
    /// - Throws: `UserError` where the two differ by more than rounding explains.
    func compare(_ model: LanguageModel, with folder: String, dtype: DType, _ logger: Logger) throws {
        let expected = try logits(of: model)
        let written = try logits(of: load(folder))
        try requireNumbers(expected, of: model, written, dtype)
        let largest = try (written - expected).abs().max().item()
        let distance = try Self.size(written - expected)
        let unit = [DType.float16: 0x1p-11, .bfloat16: 0x1p-8][dtype] ?? 0x1p-24
        let depth = Double(7 * model.config.layerCount + 2).squareRoot()
        let allowed = try Self.size(expected) * max(1e-4, 2 * unit * depth)
        let effect = try baseLogits.map { try Self.size($0 - expected) }
        var line =
            "Checked the files with \(prompts.count) prompts: the merged model's logits differ from the unmerged one's by at most \(Self.text(largest))"
        if let baseLogits {
            line +=
                ", and the adapters change them by up to \(Self.text(try (baseLogits - expected).abs().max().item()))"
        }
        let isExplained = distance <= allowed && dtype != .float32
        logger.info("\(line)\(isExplained ? "; rounding to \(dtype.rawValue) explains the difference" : "").")
        if distance <= allowed {
            if let effect, effect > 0, distance > effect / 2 {
                logger.warning(
                    "Rounding to \(dtype.rawValue) changes the answers by more than half of what the adapters do. Use infer_dtype: \(dtype == .bfloat16 ? "float16 or float32" : "float32") to keep what was trained."
                )
            }
            return
        }
        let isLost = try baseLogits.map { try Self.size(written - $0) < distance } ?? false
        guard dtype == .float32 || isLost || !(distance <= 10 * allowed) else {
            logger.warning(
                "The exported model differs from the unmerged one by more than rounding to \(dtype.rawValue) usually explains: \(Self.text(distance)) on average, \(Self.text(allowed)) expected. Compare their answers, or use infer_dtype: float32."
            )
            return
        }
        throw UserError(
            .failedRun,
            "The merged model answers otherwise than the unmerged one: its logits differ by up to \(Self.text(largest)), \(Self.text(distance)) on average, where rounding to \(dtype.rawValue) explains \(Self.text(allowed)).",
            at: folder,
            remedy:
                "Use infer_dtype: float32, and check that the adapters were trained on this model, in this order."
        )
    }

    /// Fails where logits are NaN or infinite, for which there is nothing to compare.
    private func requireNumbers(
        _ expected: Tensor, of model: LanguageModel, _ written: Tensor, _ dtype: DType
    ) throws {
        guard try expected.isFinite() else {
            throw model.notNumbers(
                "The model's logits are", otherwise: "Its activations overflow: use another model or adapter."
            )
        }
        guard try !written.isFinite() else { return }
        throw UserError(
            .failedRun,
            "The merged model's logits are not numbers, although the unmerged one's are: they overflow as \(dtype.rawValue).",
            remedy: "Use infer_dtype: \(dtype == .float32 ? "bfloat16" : "float32").")
    }

    private func load(_ folder: String) throws -> LanguageModel {
        try LanguageModel(
            ModelConfig.read(directory: folder),
            weights: CheckpointWeights(WeightStore.open(directory: folder), location: folder),
            storedDType: nil, computeDType: .float32, on: .cpu)
    }

    private func logits(of model: LanguageModel) throws -> Tensor {
        let examples = prompts.map { ids in
            let labels = Array(repeating: ignoreIndex, count: ids.count)
            return Example.supervised([LabeledSequence(inputIDs: ids, labels: labels)])
        }
        let stream = try DeviceStream(Collator().stream(of: examples), on: model.device)
        return try withoutGrad { () throws(TorchError) in
            try model.logits(model.hiddenStates(stream)).to(.float32)
        }
    }

    /// The root of the mean square.
    private static func size(_ tensor: Tensor) throws -> Double {
        (try tensor.squared().sum().item() / Double(max(1, tensor.count))).squareRoot()
    }

    private static func text(_ number: Double) -> String { String(format: "%.3g", number) }
}
