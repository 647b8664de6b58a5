import LFDiagnostics
import LFJSON
import LFWorkflows

/// Commands that this project's own benchmarks and comparisons call; no list of commands names them.
///
/// - Returns: The status; nil for a command that is none of these.
func runDeveloperCommand(_ command: String, _ arguments: [String]) throws -> Int32? {
    switch command {
    case "bench-generate": print(try generationReport(arguments).serialized())
    case "bench-experts": print(try expertReport(arguments).serialized())
    case "logits":
        guard arguments.count >= 3 else {
            throw UserError(
                .configuration, "logits takes a model, a file of token ids, a file to write and adapters.",
                remedy: "See Tools/models/check_models.py.")
        }
        try writeLogits(
            model: arguments[0], adapters: Array(arguments.dropFirst(3)), sequences: arguments[1],
            to: arguments[2])
    default: return nil
    }
    return 0
}

/// For Benchmarks/generation.
private func generationReport(_ arguments: [String]) throws -> JSONValue {
    guard arguments.count == 5, let tokens = Int(arguments[2]), tokens > 0, let threads = Int(arguments[4]),
        threads > 0
    else {
        throw UserError(
            .configuration, "bench-generate takes a model, prompts, new tokens, fp32 or bf16, and threads.",
            remedy: "See Benchmarks/generation/README.md.")
    }
    return try generationBenchmark(
        model: arguments[0], prompts: arguments[1], newTokens: tokens, precision: arguments[3],
        threads: threads)
}

/// For Benchmarks/experts.
private func expertReport(_ arguments: [String]) throws -> JSONValue {
    let sizes = arguments.compactMap { Int($0) }.filter { $0 > 0 }
    guard arguments.count == 7, sizes.count == 7 else {
        throw UserError(
            .configuration,
            "bench-experts takes the hidden size, the inner size, experts, experts per token, tokens per expert, rounds and threads.",
            remedy: "See Benchmarks/README.md.")
    }
    return try expertBenchmark(
        hidden: sizes[0], inner: sizes[1], experts: sizes[2], chosen: sizes[3], tokensPerExpert: sizes[4],
        rounds: sizes[5], threads: sizes[6])
}
