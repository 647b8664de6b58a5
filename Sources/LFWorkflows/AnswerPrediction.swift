import LFConfig
import LFData
import LFDiagnostics
import LFGeneration
import LFJSON
import LFModels
import LFReport
import LFStream
import LFTextMetrics
import LFTokenizer
import LFTorch
import LFTrainer
import Logging

/// Has the model answer the prompts of examples and compares its answers with theirs (`predict_with_generate`).
final class AnswerPredictor: ExampleScoring {
    let metricNames = TextSimilarity.metricNames
    /// What `generated_predictions.jsonl` says of the set gone through last, a line for each example of this process with the number of
    /// its batch.
    private(set) var lines: [(number: Int, line: String)] = []

    private let model: LanguageModel
    /// There while a set is gone through: what it keeps of texts would lie beside the training's memory, and belongs to other weights.
    private var engine: GenerationEngine?
    private let options: GenerationOptions
    private let tokenizer: Tokenizer
    private let cutter: WordCutter
    private let skipsSpecialTokens: Bool
    private let seed: UInt64

    /// - Throws: `UserError` when jieba's dictionary is not there and cannot be fetched, before anything is computed.
    init(_ config: ResolvedConfig, _ model: LanguageModel, tokenizer: Tokenizer, logger: Logger) throws {
        options = GenerationOptions(evaluating: config, stopTokens: tokenizer.answerEnds)
        try options.validate()
        let folder = try JiebaPackage.folder { logger.info("\($0)") }
        cutter = WordCutter(try WordDictionary(folder: folder))
        self.model = model
        self.tokenizer = tokenizer
        skipsSpecialTokens = config.generating.skipSpecialTokens
        seed = UInt64(bitPattern: Int64(config.training.seed))
    }

    func begin() throws {
        engine = try GenerationEngine(model, tokenizer: tokenizer)
        lines = []
    }

    func end() { engine = nil }

    /// Every evaluation draws the same numbers for a batch, whatever was computed before it and by whom.
    func scores(of batch: [Example], number: Int) throws -> [[Double]] {
        let pairs = batch.map { example in
            guard case .prompted(let prompt, let label) = example else {
                preconditionFailure("prediction goes over prompts")
            }
            return (prompt: prompt, label: label)
        }
        guard let engine else { preconditionFailure("scores come between begin and end") }
        let answers = try model.holdingWeights {
            try engine.generate(
                pairs.map(\.prompt), options: options,
                generator: Generator(seed: seed &+ UInt64(number)))
        }
        return zip(pairs, answers).map { pair, answer in
            let (prompt, label) = pair
            let line: JSONValue = [
                "prompt": .string(tokenizer.decode(prompt)),
                "predict": .string(tokenizer.decode(answer.ids, skipSpecialTokens: skipsSpecialTokens)),
                "label": .string(tokenizer.decode(label, skipSpecialTokens: skipsSpecialTokens)),
            ]
            lines.append((number, line.serialized(ensureASCII: false)))
            return TextSimilarity(
                prediction: tokenizer.decode(answer.ids, skipSpecialTokens: true),
                label: tokenizer.decode(label, skipSpecialTokens: true), cutter: cutter
            ).values
        }
    }
}

/// Answers all prompts and writes `generated_predictions.jsonl`: `{"prompt": …, "predict": …, "label": …}` a line.
///
/// - Returns: BLEU-4, ROUGE-1, -2 and -L, run time and rates, `predict_…` or, with several sets, `predict_<name>_…`.
/// - Throws: `UserError` naming a file that cannot be written.
func predictAnswers(
    of sets: [DatasetModule.Evaluation], by trainer: Trainer, _ predictor: AnswerPredictor,
    _ communicator: any Communicator
) throws -> LogEntry {
    var lines: [String] = []
    var all = LogEntry()
    for set in sets {
        let prefix = set.name.map { "predict_\($0)" } ?? "predict"
        all.merge(try trainer.evaluate(set.examples, prefix: prefix))
        lines += try communicator.orderedLines(predictor.lines).map(\.line)
    }
    if communicator.isMain {
        try writeFileAtomically(lines.map { $0 + "\n" }.joined(), to: trainer.files.predictions)
    }
    return all
}

extension GenerationOptions {
    /// How answers are written in evaluation and prediction.
    fileprivate init(evaluating config: ResolvedConfig, stopTokens: Set<Int32>) {
        self.init(config.generating, stopTokens: stopTokens)
        beamCount = config.data.evalNumBeams ?? config.training.generationNumBeams ?? beamCount
        if let length = config.training.generationMaxLength { (maxNewTokens, maxLength) = (nil, length) }
    }
}

extension Tokenizer {
    /// What ends an answer in training and prediction: EOS and every additional special token, a template's stop words among
    /// them (upstream `train/sft/workflow.py`, `train/ppo/trainer.py`).
    var answerEnds: Set<Int32> { Set(additionalSpecialIDs + (eosID.map { [$0] } ?? [])) }
}
