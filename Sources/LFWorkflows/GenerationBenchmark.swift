import Foundation
import LFDiagnostics
import LFGeneration
public import LFJSON
import LFModels
import LFNN
import LFCheckpoint
import LFTorch

/// Measures greedy generation: one run to warm up, then one that is timed, prompts included.
///
/// - Parameters:
///   - prompts: A file with one JSON array of token ids per line.
///   - newTokens: Tokens that every prompt gets; none stops before.
///   - precision: `fp32` or `bf16`.
/// - Returns: `tokens`, `seconds`, `prefill_seconds` (the same with one token each) and the ids of all answers.
/// - Throws: `UserError` for a model or file that cannot be read.
public func generationBenchmark(
    model directory: String, prompts path: String, newTokens: Int, precision: String, threads: Int
) throws -> JSONValue {
    guard let dtype: DType = ["fp32": .float32, "bf16": .bfloat16][precision] else {
        throw UserError(
            .configuration, "The precision \"\(precision)\" is unknown.", remedy: "Use fp32 or bf16.")
    }
    TorchRuntime.keepFreedMemory()
    TorchRuntime.preferHugePages()
    TorchRuntime.setThreads(threads)
    var prompts: [[Int32]] = []
    try JSONValue.forEachLine(path: path) { _, value in
        prompts.append((value.array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } })
    }
    let model = try LanguageModel(
        ModelConfig.read(directory: directory),
        weights: CheckpointWeights(WeightStore.open(directory: directory), location: directory),
        storedDType: dtype, computeDType: dtype, on: .cpu)
    model.settle()
    try model.layWeightsTogether(free: FreeMemory.bytes)
    var limits = EngineLimits()
    limits.reusesPrefixes = false
    // What guesses save depends on the text; a step is measured, not a text.
    limits.guessesTokens = false
    let engine = try GenerationEngine(model, limits: limits)
    func run(_ count: Int) throws -> (answers: [GeneratedSequence], seconds: Double) {
        var options = GenerationOptions()
        options.maxNewTokens = count
        let start = monotonicSeconds()
        let answers = try engine.generate(prompts, options: options, generator: Generator(seed: 0))
        return (answers, monotonicSeconds() - start)
    }
    _ = try run(min(newTokens, 8))
    let prefill = try run(1).seconds
    let (answers, seconds) = try run(newTokens)
    return [
        "tokens": .int(Int64(answers.reduce(0) { $0 + $1.ids.count })), "seconds": .double(seconds),
        "prefill_seconds": .double(prefill),
        "ids": .array(answers.map { .array($0.ids.map { .int(Int64($0)) }) }),
    ]
}
