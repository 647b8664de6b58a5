import Foundation
import LFDiagnostics

/// jieba's words with their frequencies, and its model of unknown words (https://github.com/fxsjy/jieba, version 0.42).
package struct WordDictionary: Sendable {
    /// Hidden states of a character: begin, middle and end of a word, or a word of its own.
    enum State: Int, CaseIterable { case begin, middle, end, single }

    /// What stands for the logarithm of zero.
    static let impossible = -3.14e100

    /// Children of the nodes of all words' tree: node and scalar to node.
    private var children: [UInt64: Int32] = [:]
    /// How often the word that ends at a node occurs; 0 for mere beginnings of words.
    private var frequencies: [Int32] = [0]
    private(set) var total = 0
    private(set) var start: [Double]
    /// From state, to state.
    private(set) var transition: [[Double]]
    private(set) var emission: [[UInt32: Double]]

    /// Reads `dict.txt` and `finalseg/prob_*.py` of the package's folder.
    ///
    /// - Throws: `UserError` naming the file that is missing or malformed.
    package init(folder: String) throws {
        func tables(_ name: String) throws -> [String: PythonTable.Value] {
            let path = "\(folder)/finalseg/prob_\(name).py"
            return try PythonTable.read(contents(of: path), path: path)
        }
        func byState(_ table: [String: PythonTable.Value]) -> [PythonTable.Value?] {
            ["B", "M", "E", "S"].map { table[$0] }
        }
        start = byState(try tables("start")).map { $0?.number ?? Self.impossible }
        transition = byState(try tables("trans")).map { row in
            byState(row?.table ?? [:]).map { $0?.number ?? Self.impossible }
        }
        emission = byState(try tables("emit")).map { row in
            var result: [UInt32: Double] = [:]
            for (key, value) in row?.table ?? [:] {
                if let scalar = key.unicodeScalars.first, let number = value.number {
                    result[scalar.value] = number
                }
            }
            return result
        }
        let path = folder + "/dict.txt"
        try readWords(contents(of: path), path: path)
    }

    private mutating func readWords(_ bytes: [UInt8], path: String) throws {
        children.reserveCapacity(600_000)
        frequencies.reserveCapacity(600_000)
        for (number, line) in bytes.split(separator: UInt8(ascii: "\n")).enumerated() {
            let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
            guard parts.count >= 2, let count = Int32(String(decoding: parts[1], as: UTF8.self)), count >= 0
            else {
                throw UserError(
                    .failedRun, "The line is not a word with its frequency.", at: "\(path):\(number + 1)",
                    remedy: "Restore the file of the jieba package.")
            }
            var node: Int32 = 0
            for scalar in String(decoding: parts[0], as: UTF8.self).unicodeScalars {
                let key = UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar.value)
                if let next = children[key] {
                    node = next
                } else {
                    children[key] = Int32(frequencies.count)
                    node = Int32(frequencies.count)
                    frequencies.append(0)
                }
            }
            frequencies[Int(node)] = count
            total += Int(count)
        }
        guard total > 0 else {
            throw UserError(
                .failedRun, "The file holds no words.", at: path,
                remedy: "Restore the file of the jieba package.")
        }
    }

    static let root: Int32 = 0

    /// The node after `node` for a scalar; nil where no word goes on like that.
    func next(_ node: Int32, _ scalar: UInt32) -> Int32? {
        children[UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar)]
    }

    func frequency(_ node: Int32) -> Int { Int(frequencies[Int(node)]) }

    /// How often a text occurs as a word.
    func frequency<Text: Swift.Sequence<UInt32>>(of text: Text) -> Int {
        var node = Self.root
        for scalar in text {
            guard let following = next(node, scalar) else { return 0 }
            node = following
        }
        return frequency(node)
    }
}

private func contents(of path: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: path) else {
        throw UserError(
            .failedRun, "The file cannot be read.", at: path,
            remedy: "Remove the folder, so that it is fetched again, or set JIEBA_HOME to the jieba package.")
    }
    return [UInt8](data)
}

/// The one Python dictionary in a file of jieba's: string keys, values that are numbers or dictionaries.
enum PythonTable {
    indirect enum Value {
        case number(Double)
        case table([String: Value])

        var number: Double? { if case .number(let number) = self { number } else { nil } }
        var table: [String: Value]? { if case .table(let table) = self { table } else { nil } }
    }

    static func read(_ bytes: [UInt8], path: String) throws -> [String: Value] {
        var reader = Reader(bytes: bytes, place: bytes.firstIndex(of: UInt8(ascii: "{")) ?? bytes.count)
        guard case .table(let table)? = reader.value(depth: 0) else {
            throw UserError(
                .failedRun, "The file holds no table of probabilities.", at: path,
                remedy: "Restore the file of the jieba package.")
        }
        return table
    }

    private struct Reader {
        let bytes: [UInt8]
        var place: Int

        private mutating func peek() -> UInt8? {
            while place < bytes.count, bytes[place] <= 32 { place += 1 }
            return place < bytes.count ? bytes[place] : nil
        }

        mutating func value(depth: Int) -> Value? {
            guard let first = peek(), depth < 3 else { return nil }
            guard first == UInt8(ascii: "{") else {
                let end =
                    bytes[place...].firstIndex { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "}") }
                    ?? bytes.count
                defer { place = end }
                let text = String(decoding: bytes[place..<end], as: UTF8.self)
                return Double(text.trimmingCharacters(in: .whitespacesAndNewlines)).map { .number($0) }
            }
            place += 1
            var table: [String: Value] = [:]
            while let next = peek() {
                if next == UInt8(ascii: "}") {
                    place += 1
                    return .table(table)
                }
                if next == UInt8(ascii: ",") {
                    place += 1
                    continue
                }
                guard let key = key(), peek() == UInt8(ascii: ":") else { return nil }
                place += 1
                guard let value = value(depth: depth + 1) else { return nil }
                table[key] = value
            }
            return nil
        }

        private mutating func key() -> String? {
            let quote = bytes[place]
            guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\""),
                let end = bytes[(place + 1)...].firstIndex(of: quote)
            else { return nil }
            let text = String(decoding: bytes[(place + 1)..<end], as: UTF8.self)
            place = end + 1
            guard text.hasPrefix("\\u") || text.hasPrefix("\\x") else { return text }
            return UInt32(text.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init).map { String($0) }
        }
    }
}
