import LFDiagnostics

/// Why a JSON text cannot be read, and on which line.
struct JSONConfigurationFailure: Error {
    var problem: String
    var line: Int
}

/// Reads strict JSON (RFC 8259) into a configuration node, keeping line numbers, which bulk JSON readers do not.
///
/// - Throws: `JSONConfigurationFailure` for malformed text, nesting beyond 32 levels and duplicate keys.
func parseJSONConfiguration(_ text: String) throws(JSONConfigurationFailure) -> ConfigurationNode {
    var reader = JSONConfigurationReader(bytes: Array(text.utf8))
    reader.skipSpace()
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.position == reader.bytes.count else {
        throw reader.failure("text after the end of the value")
    }
    return value
}

private struct JSONConfigurationReader {
    let bytes: [UInt8]
    var position = 0
    var line = 1

    init(bytes: [UInt8]) { self.bytes = bytes }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    func failure(_ problem: String) -> JSONConfigurationFailure {
        JSONConfigurationFailure(problem: problem, line: line)
    }

    mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            if byte == 0x0A { line += 1 }
            position += 1
        }
    }

    mutating func value(depth: Int) throws(JSONConfigurationFailure) -> ConfigurationNode {
        guard depth < 32 else { throw failure("nesting deeper than 32 levels") }
        let start = line
        switch current {
        case UInt8(ascii: "{"): return ConfigurationNode(.mapping(try object(depth: depth)), line: start)
        case UInt8(ascii: "["): return ConfigurationNode(.list(try array(depth: depth)), line: start)
        case UInt8(ascii: "\""): return ConfigurationNode(.scalar(try string(), isPlain: false), line: start)
        case nil: throw failure("the text ends where a value is expected")
        default: return ConfigurationNode(.scalar(try bareWord(), isPlain: true), line: start)
        }
    }

    private mutating func object(
        depth: Int
    ) throws(JSONConfigurationFailure) -> [(key: String, value: ConfigurationNode)] {
        position += 1
        var pairs: [(key: String, value: ConfigurationNode)] = []
        var seen: Set<String> = []
        skipSpace()
        if current == UInt8(ascii: "}") {
            position += 1
            return pairs
        }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw failure("a key in double quotes is expected") }
            let keyLine = line
            let key = try string()
            guard seen.insert(key).inserted else { throw failure("key \"\(key)\" is given twice") }
            skipSpace()
            guard current == UInt8(ascii: ":") else { throw failure("a colon is expected after \"\(key)\"") }
            position += 1
            skipSpace()
            var element = try value(depth: depth + 1)
            element.line = keyLine
            pairs.append((key, element))
            skipSpace()
            if try endsList(with: UInt8(ascii: "}")) { return pairs }
        }
    }

    private mutating func array(depth: Int) throws(JSONConfigurationFailure) -> [ConfigurationNode] {
        position += 1
        var items: [ConfigurationNode] = []
        skipSpace()
        if current == UInt8(ascii: "]") {
            position += 1
            return items
        }
        while true {
            skipSpace()
            items.append(try value(depth: depth + 1))
            skipSpace()
            if try endsList(with: UInt8(ascii: "]")) { return items }
        }
    }

    /// Steps over a comma (false) or the closing bracket (true).
    private mutating func endsList(with bracket: UInt8) throws(JSONConfigurationFailure) -> Bool {
        defer { position += 1 }
        if current == bracket { return true }
        guard current == UInt8(ascii: ",") else {
            throw failure("a comma or the closing bracket is expected")
        }
        return false
    }

    private mutating func bareWord() throws(JSONConfigurationFailure) -> String {
        let start = position
        while let byte = current,
            !(byte <= 0x20 || byte == 0x2C || byte == 0x5D || byte == 0x7D || byte == 0x3A)
        {
            position += 1
        }
        let word = String(decoding: bytes[start..<position], as: UTF8.self)
        if ["true", "false", "null"].contains(word) || wholeNumber(word) != nil || decimalNumber(word) != nil
        {
            return word
        }
        throw failure("\(quoted(word)) is no JSON value")
    }

    private mutating func string() throws(JSONConfigurationFailure) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = current {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure("a line end or control character inside a text")
            default: text.append(byte)
            }
        }
        throw failure("a text without a closing quote")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONConfigurationFailure) {
        guard let byte = current else { throw failure("a text without a closing quote") }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "u"):
            var code = try hexDigits()
            if (0xD800...0xDBFF).contains(code), current == UInt8(ascii: "\\"), position + 1 < bytes.count,
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                let low = try hexDigits()
                guard (0xDC00...0xDFFF).contains(low) else { throw failure("half a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
            text.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw failure("an unknown escape in a text")
        }
    }

    private mutating func hexDigits() throws(JSONConfigurationFailure) -> UInt32 {
        guard position + 4 <= bytes.count,
            let code = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw failure("four hexadecimal digits are expected after \\u") }
        position += 4
        return code
    }
}
