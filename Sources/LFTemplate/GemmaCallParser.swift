import LFJSON

/// Reads calls as Gemma 4 writes them: `call:name{key:value,…}`, keys bare and texts between marks of their own.
struct GemmaCallParser {
    private var scanner: AnswerScanner
    private var depth = 0

    private struct Malformed: Error {}

    private static let (opening, closing) = ("<|tool_call>call:", "<tool_call|>")

    /// The calls in an answer, in their order, and the text between them.
    static func answer(_ content: String) -> AnswerWithCalls {
        var calls: [FunctionCall] = [], texts: [String] = []
        var parser = GemmaCallParser(scanner: AnswerScanner(content))
        /// Where the text begins that belongs to no call.
        var rest = 0
        func take(_ call: FunctionCall, from start: Int) {
            calls.append(call)
            texts.append(parser.scanner.text(rest..<start - opening.utf8.count))
            rest = parser.scanner.position
        }
        while parser.scanner.text(until: opening) != nil {
            let start = parser.scanner.position
            if let call = try? parser.call() {
                take(call, from: start)
            } else {
                parser = GemmaCallParser(scanner: parser.scanner)
                parser.scanner.position = start
                if let call = parser.looseCall() {
                    take(call, from: start)
                } else {
                    parser.scanner.position = start
                }
            }
        }
        parser.scanner.position = rest
        return AnswerWithCalls(calls, texts + [parser.scanner.rest])
    }

    private mutating func call() throws -> FunctionCall {
        let name = try name()
        let arguments = try members()
        guard scanner.skip(Self.closing) else { throw Malformed() }
        return FunctionCall(name: name, arguments: arguments)
    }

    /// A call whose arguments are not members: JSON, or a text of its own kind.
    private mutating func looseCall() -> FunctionCall? {
        guard let name = try? name(), scanner.skip("{"),
            let inner = scanner.text(until: "}" + Self.closing)?.trimmingWhitespace()
        else { return nil }
        let arguments = ToolSchemas.json("{\(inner)}") ?? ToolSchemas.json(inner) ?? .string(inner)
        return FunctionCall(name: name, arguments: inner.isEmpty ? .object(JSONObject()) : arguments)
    }

    private mutating func name() throws -> String {
        let name = scanner.word { $0 == UInt8(ascii: "{") || $0 <= 0x20 }
        guard !name.isEmpty else { throw Malformed() }
        return name
    }

    private mutating func members() throws -> JSONValue {
        guard scanner.skip("{") else { throw Malformed() }
        var members = JSONObject()
        while !scanner.skipSpaced("}") {
            scanner.skipSpace()
            let key = try key()
            guard scanner.skipSpaced(":") else { throw Malformed() }
            members[key] = try value()
            if scanner.skipSpaced("}") { break }
            guard scanner.skipSpaced(",") else { throw Malformed() }
        }
        return .object(members)
    }

    private mutating func key() throws -> String {
        if let text = try quoted() { return text }
        if scanner.position < scanner.bytes.count, scanner.bytes[scanner.position] == UInt8(ascii: "\"") {
            guard let text = scanner.json()?.string else { throw Malformed() }
            return text
        }
        let key = scanner.word { ":,{}[]".utf8.contains($0) }.trimmingWhitespace()
        guard !key.isEmpty else { throw Malformed() }
        return key
    }

    private mutating func quoted() throws -> String? {
        guard scanner.skip(ToolPrompt.gemmaQuote) else { return nil }
        guard let text = scanner.text(until: ToolPrompt.gemmaQuote) else { throw Malformed() }
        return text
    }

    private mutating func value() throws -> JSONValue {
        depth += 1
        defer { depth -= 1 }
        guard depth < 100 else { throw Malformed() }
        scanner.skipSpace()
        if let text = try quoted() { return .string(text) }
        guard scanner.position < scanner.bytes.count else { throw Malformed() }
        switch scanner.bytes[scanner.position] {
        case UInt8(ascii: "{"): return try members()
        case UInt8(ascii: "["):
            scanner.position += 1
            var elements: [JSONValue] = []
            while !scanner.skipSpaced("]") {
                elements.append(try value())
                if scanner.skipSpaced("]") { break }
                guard scanner.skipSpaced(",") else { throw Malformed() }
            }
            return .array(elements)
        default:
            guard let value = scanner.json() else { throw Malformed() }
            return value
        }
    }
}
