import Foundation
import LFDiagnostics
import LFTokenizer

let tokenizeUsage = """
    Usage: llamafactory-cli tokenize MODEL_DIR [options] < lines > answers

    Reads one JSON string per line of standard input and writes one object per line:
    {"ids": [...], "ids_with_special": [...]}
    Blank lines are skipped; a line that cannot be read ends the command with its number.

      --tokens       also write the tokens as the vocabulary spells them ("tokens")
      --offsets      also write which characters each token stands for ("offsets")
      --decode       read arrays of ids instead, and write {"text": ..., "text_skip_special": ...};
                     ids beyond the vocabulary stand for nothing, as in Python
      --threads N    how many threads to use; all processors by default
      --benchmark F  measure instead, with the lines of the file F: time to load, speed of one thread and of all
    """

/// Tokenizes standard input, or turns ids back into text.
func runTokenize(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(tokenizeUsage)
        return 0
    }
    let options = try TokenizeOptions(arguments)
    if let path = options.benchmark {
        try runTokenizeBenchmark(directory: options.directory, path: path, threads: options.threads)
        return 0
    }
    let lines = TokenizeLines(
        tokenizer: try Tokenizer.load(directory: options.directory), decodes: options.decodes,
        showsTokens: options.showsTokens, showsOffsets: options.showsOffsets, threads: options.threads)
    try lines.run(path: "/dev/stdin") { bytes in
        try bytes.withUnsafeBytes { try writeAll($0, to: STDOUT_FILENO, path: "standard output") }
    }
    return 0
}

private struct TokenizeOptions {
    private(set) var directory = ""
    private(set) var decodes = false
    private(set) var showsTokens = false
    private(set) var showsOffsets = false
    private(set) var benchmark: String?
    private(set) var threads = ProcessInfo.processInfo.activeProcessorCount

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--decode": decodes = true
            case "--tokens": showsTokens = true
            case "--offsets": showsOffsets = true
            case "--benchmark":
                guard let path = rest.popFirst() else {
                    throw UserError(
                        .configuration, "--benchmark needs a file.",
                        remedy: "Name one with a JSON string per line.")
                }
                benchmark = path
            case "--threads":
                let value = rest.popFirst() ?? ""
                guard let count = Int(value), 1...1024 ~= count else {
                    throw UserError(
                        .configuration, "--threads must be a number from 1 to 1024, got \"\(value)\".",
                        remedy: "Leave it out to use all processors.")
                }
                threads = count
            case _ where argument.hasPrefix("-"):
                let known = ["--decode", "--tokens", "--offsets", "--threads", "--benchmark"]
                let hint = nearestName(to: argument, among: known).map { "Did you mean \"\($0)\"?" }
                throw UserError(
                    .configuration, "unknown option \"\(argument)\" of tokenize.",
                    remedy: hint ?? "Supported are \(known.joined(separator: ", ")).")
            case _ where directory.isEmpty: directory = argument
            default:
                throw UserError(
                    .configuration,
                    "tokenize takes one model folder, got \"\(directory)\" and \"\(argument)\".",
                    remedy: "Give the text on standard input, one JSON string per line.")
            }
        }
        if directory.isEmpty {
            throw UserError(
                .configuration, "tokenize needs a model folder.",
                remedy: "Write: llamafactory-cli tokenize MODEL_DIR.")
        }
        if decodes, showsTokens || showsOffsets {
            throw UserError(
                .configuration, "--decode writes texts, which have neither --tokens nor --offsets.",
                remedy: "Leave those out.")
        }
    }
}
