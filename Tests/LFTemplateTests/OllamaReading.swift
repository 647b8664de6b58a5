/// What Ollama makes of a Modelfile and its template, written from its documentation and its parser's rules.
struct OllamaReading {
    var commands: [(name: String, value: String)] = []

    struct Unreadable: Error { var why: String }

    // MARK: The file

    init(modelfile: String) throws {
        enum State { case between, comment, name, value }
        var (state, buffer, name) = (State.between, String.UnicodeScalarView(), "")
        func finish() -> String? { Self.unquoted(Self.trimmed(String(buffer))) }
        for scalar in modelfile.unicodeScalars {
            let (isBlank, isBreak) = (scalar == " " || scalar == "\t", scalar == "\n" || scalar == "\r")
            switch state {
            case .between:
                if scalar == "#" {
                    state = .comment
                } else if !isBlank, !isBreak {
                    (state, buffer) = (.name, .init([scalar]))
                }
            case .comment:
                if isBreak { state = .between }
            case .name:
                if isBlank, name == "", String(buffer) == "PARAMETER" {
                    (name, buffer) = ("PARAMETER ", .init())
                } else if isBlank {
                    name += String(buffer)
                    guard
                        ["FROM", "TEMPLATE", "SYSTEM", "PARAMETER stop", "PARAMETER num_ctx"].contains(name)
                    else {
                        throw Unreadable(why: "there is no command \(name)")
                    }
                    (state, buffer) = (.value, .init())
                } else {
                    buffer.append(scalar)
                }
            case .value:
                if isBreak, let value = finish() {
                    commands.append((name, value))
                    (state, buffer, name) = (.between, .init(), "")
                } else if isBreak || isBlank || Self.isPrintable(scalar) {
                    buffer.append(scalar)
                }
            }
        }
        if state == .value {
            guard let value = finish() else { throw Unreadable(why: "a value has no end") }
            commands.append((name, value))
        } else if state == .name {
            throw Unreadable(why: "a command has no value")
        }
    }

    private static func trimmed(_ text: String) -> String {
        var scalars = Array(text.unicodeScalars)
        while scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
        while scalars.first?.properties.isWhitespace == true { scalars.removeFirst() }
        return scalars.reduce(into: "") { $0.unicodeScalars.append($1) }
    }

    private static func unquoted(_ text: String) -> String? {
        for quote in ["\"\"\"", "\""] where text.unicodeScalars.starts(with: quote.unicodeScalars) {
            let scalars = Array(text.unicodeScalars)
            let count = quote.unicodeScalars.count
            guard scalars.count >= 2 * count, scalars.suffix(count).elementsEqual(quote.unicodeScalars) else {
                return nil
            }
            return scalars[count..<(scalars.count - count)].reduce(into: "") { $0.unicodeScalars.append($1) }
        }
        return text
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator,
            .paragraphSeparator:
            return scalar == " "
        default: return true
        }
    }

    // MARK: The template

    /// The template rendered for a talk, as Go's text/template renders the few actions that we write.
    func rendered(system: String?, _ messages: [(role: String, content: String)]) throws -> String {
        guard let template = commands.first(where: { $0.name == "TEMPLATE" })?.value else {
            throw Unreadable(why: "there is no template")
        }
        let system = system ?? commands.first { $0.name == "SYSTEM" }?.value ?? ""
        var parts = try Self.parts(template)[...]
        let nodes = try Self.nodes(&parts)
        guard parts.isEmpty else { throw Unreadable(why: "an end too many") }
        var first: Bool?
        return try Self.text(nodes, system, messages, nil, &first)
    }

    private enum Part { case text(String), action(String) }
    private indirect enum Node {
        case text(String), print(String), condition([(test: String?, body: [Node])]), loop([Node])
    }

    private static func parts(_ template: String) throws -> [Part] {
        var (parts, text) = ([Part](), String.UnicodeScalarView())
        var rest = Array(template.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "{", rest.first == "{" else {
                text.append(scalar)
                continue
            }
            parts.append(.text(String(text)))
            text = .init()
            rest.removeFirst()
            var (action, isQuoted) = (String.UnicodeScalarView(), false)
            while true {
                guard let next = rest.popFirst() else { throw Unreadable(why: "an action has no end") }
                if !isQuoted, next == "}", rest.first == "}" { break }
                if next == "\"" { isQuoted.toggle() }
                action.append(next)
                if isQuoted, next == "\\", let escaped = rest.popFirst() { action.append(escaped) }
            }
            rest.removeFirst()
            parts.append(.action(trimmed(String(action))))
        }
        return parts + [.text(String(text))]
    }

    private static func nodes(_ parts: inout ArraySlice<Part>) throws -> [Node] {
        var nodes: [Node] = []
        while let part = parts.first {
            switch part {
            case .text(let text): nodes.append(.text(text))
            case .action("end"): return nodes
            case .action(let action) where action.hasPrefix("else"): return nodes
            case .action(let action) where action.hasPrefix("if "):
                var branches: [(test: String?, body: [Node])] = []
                var test: String? = String(action.dropFirst(3))
                while true {
                    parts.removeFirst()
                    branches.append((test, try Self.nodes(&parts)))
                    guard case .action(let next)? = parts.first else {
                        throw Unreadable(why: "an if has no end")
                    }
                    if next == "end" { break }
                    test = next == "else" ? nil : String(next.dropFirst("else if ".count))
                }
                nodes.append(.condition(branches))
            case .action("range .Messages"):
                parts.removeFirst()
                nodes.append(.loop(try Self.nodes(&parts)))
            case .action(let action): nodes.append(.print(action))
            }
            parts.removeFirst()
        }
        return nodes
    }

    /// - Parameter first: The variable of that name; nil before it is declared.
    private static func text(
        _ nodes: [Node], _ system: String, _ messages: [(role: String, content: String)],
        _ message: (role: String, content: String)?, _ first: inout Bool?
    ) throws -> String {
        var result = ""
        for node in nodes {
            switch node {
            case .text(let text): result += text
            case .print(".System") where message == nil, .print("$.System"): result += system
            case .print(".Content") where message != nil: result += message?.content ?? ""
            case .print("$first := true") where message == nil: first = true
            case .print("$first = false") where first != nil: first = false
            case .print(let literal): result += try self.literal(literal)
            case .loop(let body):
                for message in messages { result += try text(body, system, messages, message, &first) }
            case .condition(let branches):
                let now = first
                let branch = try branches.first { try holds($0.test, system, message?.role, now) }
                if let branch { result += try text(branch.body, system, messages, message, &first) }
            }
        }
        return result
    }

    /// A message has no system text: inside the loop it belongs to the whole.
    private static func holds(
        _ test: String?, _ system: String, _ role: String?, _ first: Bool?
    ) throws -> Bool {
        switch (test, first) {
        case (nil, _): true
        case (".System", _) where role == nil, ("$.System", _): !system.isEmpty
        case ("eq .Role \"user\"", _) where role != nil: role == "user"
        case ("eq .Role \"assistant\"", _) where role != nil: role == "assistant"
        case ("$first", let first?): first
        case ("not $first", let first?): !first
        case ("or $.System (not $first)", let first?): !system.isEmpty || !first
        default: throw Unreadable(why: "there is no test \(test ?? "")")
        }
    }

    private static func literal(_ source: String) throws -> String {
        guard source.hasPrefix("\""), source.hasSuffix("\""), source.count > 2 else {
            throw Unreadable(why: "the function \(source) is not defined")
        }
        let inner = String(source.dropFirst().dropLast())
        switch inner {
        case "{": return "{"
        case "\\\"": return "\""
        default:
            guard inner.hasPrefix("\\u") || inner.hasPrefix("\\U"),
                let value = UInt32(inner.dropFirst(2), radix: 16),
                let scalar = Unicode.Scalar(value), inner.count == (inner.hasPrefix("\\u") ? 6 : 10)
            else { throw Unreadable(why: "\(source) is no string") }
            return String(scalar)
        }
    }
}
