import LFJSON

/// Reads calls in Python's syntax, `[name(key="value", count=2), …]`, as LFM2 writes them.
struct PythonCallParser {
    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    private struct Malformed: Error {}

    private init(_ text: String) { self.text = Array(text.unicodeScalars) }

    private static let closing = "<|tool_call_end|>"

    /// The calls between LFM2's tool-call tokens and the text around them; nil where there are none or they are malformed.
    static func answer(_ content: String) -> AnswerWithCalls? {
        guard let start = content.firstRange(ofBytes: "<|tool_call_start|>") else { return nil }
        var parser = PythonCallParser(String(content[start.upperBound...]))
        guard let calls = try? parser.calls(), !calls.isEmpty else { return nil }
        let rest = parser.text[(parser.position + closing.unicodeScalars.count)...]
        return AnswerWithCalls(
            calls, String(content[..<start.lowerBound]), String(String.UnicodeScalarView(rest)))
    }

    private mutating func calls() throws -> [FunctionCall] {
        var calls: [FunctionCall] = []
        if skip("[") {
            while !skip("]") {
                calls.append(try call())
                guard skip(",") || peek() == "]" else { throw Malformed() }
            }
        } else {
            calls.append(try call())
        }
        skipSpace()
        guard text[position...].starts(with: Self.closing.unicodeScalars) else { throw Malformed() }
        return calls
    }

    private mutating func call() throws -> FunctionCall {
        skipSpace()
        let start = position
        while position < text.count, isNameCharacter(text[position]) { position += 1 }
        let name = String(String.UnicodeScalarView(text[start..<position]))
        guard !name.isEmpty, skip("(") else { throw Malformed() }
        var arguments = JSONObject()
        while !skip(")") {
            let key = try identifier()
            guard skip("="), arguments[key] == nil else { throw Malformed() }
            arguments[key] = try argument()
            guard skip(",") || peek() == ")" else { throw Malformed() }
        }
        return FunctionCall(name: name, arguments: .object(arguments))
    }

    /// A value; besides Python's, JSON's `true`, `false` and `null` are taken outside of lists and dictionaries.
    private mutating func argument() throws -> JSONValue {
        let start = position
        if let word = try? identifier() {
            switch word {
            case "true": return true
            case "false": return false
            case "null": return .null
            default: position = start
            }
        } else {
            position = start
        }
        return try value()
    }

    private mutating func value() throws -> JSONValue {
        depth += 1
        defer { depth -= 1 }
        guard depth < 100, let first = peek() else { throw Malformed() }
        switch first {
        case "\"", "'": return .string(try string())
        case "[", "(":
            position += 1
            let closing: Unicode.Scalar = first == "[" ? "]" : ")"
            var elements: [JSONValue] = []
            while !skip(closing) {
                elements.append(try value())
                guard skip(",") || peek() == closing else { throw Malformed() }
            }
            return .array(elements)
        case "{":
            position += 1
            var members = JSONObject()
            while !skip("}") {
                let key = try value()
                guard let name = key.string, skip(":") else { throw Malformed() }
                members[name] = try value()
                guard skip(",") || peek() == "}" else { throw Malformed() }
            }
            return .object(members)
        case "-", "+", "0"..."9", ".": return try number()
        default:
            switch try identifier() {
            case "True": return true
            case "False": return false
            case "None": return .null
            default: throw Malformed()
            }
        }
    }

    private mutating func number() throws -> JSONValue {
        let start = position
        while position < text.count,
            isWordCharacter(text[position]) || "+-.".unicodeScalars.contains(text[position])
        {
            position += 1
        }
        var digits = String(String.UnicodeScalarView(text[start..<position])).replacingAll("_", with: "")
        if digits.hasBytePrefix("+") { digits.removeFirst() }
        if let integer = Int64(digits) { return .int(integer) }
        if case .bigInteger(let integer)? = try? JSONValue.parse(digits, source: "number") {
            return .bigInteger(integer)
        }
        guard let number = Double(digits),
            digits.utf8.allSatisfy({ $0 != UInt8(ascii: "x") && $0 != UInt8(ascii: "n") })
        else { throw Malformed() }
        return .double(number)
    }

    private mutating func string() throws -> String {
        let quote = text[position]
        position += 1
        var result = String.UnicodeScalarView()
        while position < text.count {
            let scalar = text[position]
            position += 1
            switch scalar {
            case quote: return String(result)
            case "\n": throw Malformed()
            case "\\": try escape(into: &result)
            default: result.append(scalar)
            }
        }
        throw Malformed()
    }

    private mutating func escape(into result: inout String.UnicodeScalarView) throws {
        guard position < text.count else { throw Malformed() }
        let scalar = text[position]
        position += 1
        switch scalar {
        case "n": result.append("\n")
        case "t": result.append("\t")
        case "r": result.append("\r")
        case "b": result.append("\u{8}")
        case "f": result.append("\u{C}")
        case "v": result.append("\u{B}")
        case "a": result.append("\u{7}")
        case "\\", "\"", "'": result.append(scalar)
        case "\n": break
        case "x": result.append(try code(2))
        case "u": result.append(try code(4))
        case "U": result.append(try code(8))
        case "0"..."7":
            var code = scalar.value - 0x30
            var count = 1
            while count < 3, position < text.count, ("0"..."7").contains(text[position]) {
                code = code * 8 + text[position].value - 0x30
                position += 1
                count += 1
            }
            guard let scalar = Unicode.Scalar(code) else { throw Malformed() }
            result.append(scalar)
        default: result.append(contentsOf: ["\\", scalar])
        }
    }

    private mutating func code(_ count: Int) throws -> Unicode.Scalar {
        guard position + count <= text.count else { throw Malformed() }
        let digits = String(String.UnicodeScalarView(text[position..<position + count]))
        position += count
        guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else {
            throw Malformed()
        }
        return scalar
    }

    private mutating func identifier() throws -> String {
        skipSpace()
        let start = position
        while position < text.count, isWordCharacter(text[position]) { position += 1 }
        guard position > start, !("0"..."9").contains(text[start]) else { throw Malformed() }
        return String(String.UnicodeScalarView(text[start..<position]))
    }

    private func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
    }

    /// The names of tools may have more characters than Python's.
    private func isNameCharacter(_ scalar: Unicode.Scalar) -> Bool {
        isWordCharacter(scalar) || scalar == "." || scalar == "-" || scalar == "/"
    }

    private mutating func skipSpace() {
        while position < text.count, text[position].isPythonWhitespace { position += 1 }
    }

    private mutating func peek() -> Unicode.Scalar? {
        skipSpace()
        return position < text.count ? text[position] : nil
    }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard peek() == scalar else { return false }
        position += 1
        return true
    }
}
