import Foundation
import LFJSON
import LFTokenizer

/// Measures how fast a tokenizer loads and encodes, and prints one JSON object: times are the best of three.
///
/// - Parameter path: A file with one JSON string per line.
func runTokenizeBenchmark(directory: String, path: String, threads: Int) throws {
    var texts: [String] = []
    try JSONValue.forEachLine(path: path) { _, value in if let text = value.string { texts.append(text) } }
    let megabytes = Double(texts.reduce(0) { $0 + $1.utf8.count }) / 1e6
    var tokenizer = try Tokenizer.load(directory: directory)
    let loading = try bestOfThree { tokenizer = try Tokenizer.load(directory: directory) }
    var tokens = 0
    let single = try bestOfThree { tokens = try texts.reduce(0) { $0 + (try tokenizer.encode($1).count) } }
    let parallel = try bestOfThree {
        _ = try tokenizer.encodeBatch(texts, addSpecialTokens: false, threads: threads)
    }
    let report: JSONValue = [
        "load_ms": .double((loading * 1e4).rounded() / 10),
        "megabytes": .double((megabytes * 10).rounded() / 10),
        "tokens": .int(Int64(tokens)),
        "one_thread_mb_per_s": .double((megabytes / single * 10).rounded() / 10),
        "threads": .int(Int64(threads)),
        "all_threads_mb_per_s": .double((megabytes / parallel * 10).rounded() / 10),
    ]
    print(report.serialized())
}

private func bestOfThree(_ body: () throws -> Void) rethrows -> Double {
    var best = Double.infinity
    for _ in 0..<3 {
        let start = Date()
        try body()
        best = min(best, Date().timeIntervalSince(start))
    }
    return best
}
