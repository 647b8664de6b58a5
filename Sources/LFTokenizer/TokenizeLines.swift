import LFDiagnostics
import LFJSON

/// Tokenizes a stream of lines, each a JSON string, or detokenizes lines of ids: what `llamafactory-cli tokenize` does.
public struct TokenizeLines: Sendable {
    public var tokenizer: Tokenizer
    /// Whether each line is an array of ids, to be turned into text.
    public var decodes: Bool
    /// Whether the tokens' texts are written too.
    public var showsTokens: Bool
    /// Whether the characters that tokens stand for are written too.
    public var showsOffsets: Bool
    /// How many threads work on a block of lines.
    public var threads: Int

    public init(
        tokenizer: Tokenizer, decodes: Bool = false, showsTokens: Bool = false, showsOffsets: Bool = false,
        threads: Int = 1
    ) {
        self.tokenizer = tokenizer
        self.decodes = decodes
        self.showsTokens = showsTokens
        self.showsOffsets = showsOffsets
        self.threads = threads
    }

    /// Reads all lines of a file, `/dev/stdin` included, and hands their answers over block by block, in order.
    ///
    /// - Parameter write: Gets whole lines, newlines included.
    /// - Throws: A `UserError` that names the line that is no JSON, or neither a string nor an array of ids.
    public func run(path: String, write: (_ bytes: [UInt8]) throws -> Void) throws {
        var block: [(line: Int, value: JSONValue)] = []
        var blockSize = 0
        func flush() throws {
            let answers = try answer(block, path: path)
            block.removeAll(keepingCapacity: true)
            blockSize = 0
            for bytes in answers where !bytes.isEmpty { try write(bytes) }
        }
        try JSONValue.forEachLine(path: path) { line, value in
            blockSize += 64 + (value.string?.utf8.count ?? 16 * (value.array?.count ?? 0))
            block.append((line, value))
            if blockSize > 8 << 20 { try flush() }
        }
        try flush()
    }

    /// The answers to a block of lines, cut into shares that threads work on.
    private func answer(_ lines: [(line: Int, value: JSONValue)], path: String) throws -> [[UInt8]] {
        try mapShares(lines.count, threads: threads) { range in
            var output: [UInt8] = []
            for (line, value) in lines[range] {
                try append(value, at: "\(path):\(line)", to: &output)
                output.append(0x0A)
            }
            return output
        }
    }

    private func append(_ value: JSONValue, at location: String, to output: inout [UInt8]) throws {
        if decodes {
            var ids: [Int32] = []
            for element in value.array ?? [.null] {
                guard let id = element.int, let id = Int32(exactly: id) else {
                    throw UserError(
                        .failedRun, "the line is not an array of token ids.", at: location,
                        remedy: "Write one JSON array of integers per line.")
                }
                guard id >= 0 else {
                    throw UserError(
                        .failedRun, "\(id) is not a token id.", at: location,
                        remedy: "Leave out what marks masked labels, such as -100.")
                }
                ids.append(id)
            }
            output += "{\"text\": ".utf8
            output += JSONValue.literal(tokenizer.decode(ids)).utf8
            output += ", \"text_skip_special\": ".utf8
            output += JSONValue.literal(tokenizer.decode(ids, skipSpecialTokens: true)).utf8
            output += "}".utf8
            return
        }
        guard let text = value.string else {
            throw UserError(
                .failedRun, "the line is \(value.kind), not a string.", at: location,
                remedy: "Write one JSON string per line.")
        }
        let ids = try tokenizer.encode(text)
        output += "{\"ids\": ".utf8
        append(ids, to: &output)
        output += ", \"ids_with_special\": ".utf8
        append(tokenizer.addingSpecialTokens(to: ids), to: &output)
        if showsTokens {
            output += ", \"tokens\": ".utf8
            let tokens = ids.map { JSONValue.string(tokenizer.token(of: $0) ?? "") }
            output += JSONValue.array(tokens).serialized().utf8
        }
        if showsOffsets {
            let encoding = try tokenizer.encodeWithOffsets(text)
            output += ", \"offsets\": [".utf8
            for (index, range) in encoding.offsets.enumerated() {
                output += "\(index > 0 ? ", " : "")[\(range.lowerBound), \(range.upperBound)]".utf8
            }
            output += "]".utf8
        }
        output += "}".utf8
    }

    private func append(_ ids: [Int32], to output: inout [UInt8]) {
        output.append(UInt8(ascii: "["))
        for (index, id) in ids.enumerated() {
            if index > 0 {
                output.append(UInt8(ascii: ","))
                output.append(0x20)
            }
            output.append(decimal: Int(id))
        }
        output.append(UInt8(ascii: "]"))
    }
}

extension [UInt8] {
    /// Appends a number's digits.
    fileprivate mutating func append(decimal value: Int) {
        var divisor = 1
        while value / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }
}
