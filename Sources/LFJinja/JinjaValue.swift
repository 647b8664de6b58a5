import LFDiagnostics
import LFJSON

/// A value that a template works with; it behaves as the Python value of that name.
enum JinjaValue: Sendable {
    /// What has no value, with the name that was asked for.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    /// An integer beyond 64 bits, by its digits.
    case bigInteger(String)
    case double(Double)
    case string(String)
    /// Text that counts as escaped already (Python's `Markup`): other text is escaped when it is joined to it.
    case markup(String)
    case list([JinjaValue])
    case tuple([JinjaValue])
    /// Elements that can be visited once, as `map` and `select` give them.
    case generator(Generator)
    /// A dictionary's `items`, `keys` or `values`, by that name.
    case view(String, [JinjaValue])
    case dict(JinjaDict)
    case namespace(Namespace)
    case function(JinjaFunction)
    case loop(LoopState)

    init(_ value: JSONValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(Int(value))
        case .bigInteger(let digits): self = .bigInteger(digits)
        case .double(let value): self = .double(value)
        case .string(let value): self = .string(value)
        case .array(let elements): self = .list(elements.map { JinjaValue($0) })
        case .object(let members):
            self = .dict(JinjaDict(members.map { (.string($0.key), JinjaValue($0.value)) }))
        }
    }

    /// The value as JSON; nil where it has none.
    var json: JSONValue? {
        switch self {
        case .none: return .null
        case .bool(let value): return .bool(value)
        case .int(let value): return .int(Int64(value))
        case .bigInteger(let digits): return .bigInteger(digits)
        case .double(let value): return .double(value)
        case .string(let value), .markup(let value): return .string(value)
        case .list(let elements), .tuple(let elements):
            let values = elements.compactMap(\.json)
            return values.count == elements.count ? .array(values) : nil
        case .dict(let dict):
            var object = JSONObject()
            for (key, value) in dict.members {
                guard let value = value.json else { return nil }
                object[key.isString ? key.text : key.json?.serialized() ?? key.text] = value
            }
            return .object(object)
        case .undefined, .generator, .view, .namespace, .function, .loop: return nil
        }
    }

    /// The elements of a list or a tuple.
    var elements: [JinjaValue]? {
        switch self {
        case .list(let elements), .tuple(let elements): elements
        default: nil
        }
    }

    var isString: Bool {
        switch self {
        case .string, .markup: true
        default: false
        }
    }

    var isMarkup: Bool { if case .markup = self { true } else { false } }

    /// Markup as a string; anything else as it is.
    var plain: JinjaValue { if case .markup(let text) = self { .string(text) } else { self } }

    /// The text with HTML's special characters replaced, unless that was done.
    var escaped: String {
        if case .markup(let text) = self { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "'": escaped += "&#39;"
            case "\"": escaped += "&#34;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    var isNone: Bool { if case .none = self { true } else { false } }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .bigInteger: true
        case .double(let value): value != 0
        case .string(let text), .markup(let text): !text.isEmpty
        case .list(let elements), .tuple(let elements), .view(_, let elements): !elements.isEmpty
        case .dict(let dict): !dict.members.isEmpty
        case .generator, .namespace, .function, .loop: true
        }
    }

    /// A number, booleans included as in Python.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .int(let value): Double(value)
        case .bigInteger(let digits): Double(digits)
        case .double(let value): value
        default: nil
        }
    }

    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .int(let value): value
        default: nil
        }
    }

    /// What `str` makes of it, and so what is written.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let text), .markup(let text): text
        default: representation
        }
    }

    /// What `repr` makes of it.
    var representation: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "None"
        case .bool(let value): value ? "True" : "False"
        case .int(let value): String(value)
        case .bigInteger(let digits): digits
        case .double(let value):
            value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : JSONValue.literal(value)
        case .string(let text): Self.quoted(text)
        case .markup(let text): "Markup(\(Self.quoted(text)))"
        case .generator: "<generator>"
        case .view(let name, let elements): "dict_\(name)(\(JinjaValue.list(elements).representation))"
        case .list(let elements): "[" + elements.map(\.representation).joined(separator: ", ") + "]"
        case .tuple(let elements):
            "(" + elements.map(\.representation).joined(separator: ", ") + (elements.count == 1 ? ",)" : ")")
        case .dict(let dict):
            "{" + dict.members.map { "\($0.representation): \($1.representation)" }.joined(separator: ", ")
                + "}"
        case .namespace: "<Namespace>"
        case .loop(let loop): "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .function(let function): "<function \(function.name)>"
        }
    }

    private static func quoted(_ text: String) -> String {
        let quote = text.contains("'") && !text.contains("\"") ? "\"" : "'"
        var quoted = quote
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "'" where quote == "'": quoted += "\\'"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + quote
    }

    /// Its kind in words, for errors.
    var kind: String {
        switch self {
        case .undefined(let name): "\"\(name)\", which is undefined"
        case .none: "none"
        case .bool: "a boolean"
        case .int, .bigInteger: "an integer"
        case .double: "a float"
        case .string, .markup: "a string"
        case .generator: "a generator"
        case .view(let name, _): "a dictionary's \(name)"
        case .list: "a list"
        case .tuple: "a tuple"
        case .dict: "a dictionary"
        case .namespace: "a namespace"
        case .function: "a function"
        case .loop: "a loop"
        }
    }
}

extension JinjaValue: Equatable {
    static func == (a: JinjaValue, b: JinjaValue) -> Bool {
        if let first = a.number, let second = b.number {
            if case .bigInteger(let first) = a, case .bigInteger(let second) = b { return first == second }
            return first == second
        }
        switch (a.plain, b.plain) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)): return a == b
        case (.dict(let a), .dict(let b)):
            return a.members.count == b.members.count && a.members.allSatisfy { b[$0.key] == $0.value }
        case (.view(let a, let x), .view(let b, let y)): return a == b && x == y
        case (.generator(let a), .generator(let b)): return a === b
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.function(let a), .function(let b)): return a === b
        default: return false
        }
    }
}

/// A dictionary that keeps the order of its members.
struct JinjaDict: Sendable {
    private(set) var members: [(key: JinjaValue, value: JinjaValue)] = []
    /// Where strings are among the members.
    private var positions: [String: Int] = [:]

    init(_ members: [(JinjaValue, JinjaValue)] = []) {
        for (key, value) in members { self[key] = value }
    }

    private func position(_ key: JinjaValue) -> Int? {
        if case .string(let text) = key.plain { return positions[text] }
        return members.firstIndex { $0.key == key }
    }

    subscript(key: JinjaValue) -> JinjaValue? {
        get { position(key).map { members[$0].value } }
        set {
            guard let newValue else { return }
            if let position = position(key) {
                members[position].value = newValue
            } else {
                if case .string(let text) = key.plain { positions[text] = members.count }
                members.append((key, newValue))
            }
        }
    }
}

/// Elements that are handed out once.
///
/// Unchecked Sendable, because a rendering, which alone can reach it, runs on one thread.
final class Generator: @unchecked Sendable {
    private var rest: ArraySlice<JinjaValue>

    init(_ elements: [JinjaValue]) { rest = elements[...] }

    func next() -> JinjaValue? { rest.popFirst() }

    /// What is left, after which nothing is.
    func drain() -> [JinjaValue] {
        defer { rest = [] }
        return Array(rest)
    }
}

/// An object whose fields a template may set from inner scopes.
///
/// Unchecked Sendable, because a rendering, which alone can reach it, runs on one thread.
final class Namespace: @unchecked Sendable {
    var fields: [String: JinjaValue]

    init(_ fields: [String: JinjaValue]) { self.fields = fields }
}

/// Where a loop is, which its body sees as `loop`.
///
/// Unchecked Sendable, because a rendering, which alone can reach it, runs on one thread.
final class LoopState: @unchecked Sendable {
    let items: [JinjaValue]
    var index = 0
    /// What `changed` was last asked about.
    private var last: JinjaValue?
    /// How many loops of the same recursive loop are around this one.
    let depth: Int
    /// Runs the same loop over other items and gives its text; nil for a loop that is not recursive.
    let recurse: ((JinjaValue) throws(UserError) -> String)?

    init(_ items: [JinjaValue], depth: Int = 0, recurse: ((JinjaValue) throws(UserError) -> String)? = nil) {
        self.items = items
        self.depth = depth
        self.recurse = recurse
    }

    subscript(name: String) -> JinjaValue? {
        switch name {
        case "index": .int(index + 1)
        case "index0": .int(index)
        case "revindex": .int(items.count - index)
        case "revindex0": .int(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .int(items.count)
        case "depth": .int(depth + 1)
        case "depth0": .int(depth)
        case "previtem": index > 0 ? items[index - 1] : nil
        case "nextitem": index + 1 < items.count ? items[index + 1] : nil
        default: nil
        }
    }

    func call(_ name: String, _ values: [JinjaValue]) -> JinjaValue? {
        switch name {
        case "cycle": return values.isEmpty ? nil : values[index % values.count]
        case "changed":
            defer { last = .list(values) }
            return .bool(last != .list(values))
        default: return nil
        }
    }
}

/// Something that a template can call.
final class JinjaFunction: Sendable {
    typealias Body = @Sendable (_ call: Call, _ interpreter: Interpreter) throws(UserError) -> JinjaValue

    /// The arguments of a call.
    struct Call {
        var positional: [JinjaValue] = []
        var named: [(name: String, value: JinjaValue)] = []
        var line = 0

        /// The argument at a position or of a name; nil where neither is given.
        func argument(_ position: Int, _ name: String) -> JinjaValue? {
            position < positional.count ? positional[position] : named.first { $0.name == name }?.value
        }
    }

    let name: String
    let body: Body

    init(_ name: String, _ body: @escaping Body) {
        self.name = name
        self.body = body
    }
}
