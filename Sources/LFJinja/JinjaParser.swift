import LFDiagnostics

/// Turns a template's segments into statements.
struct JinjaParser {
    private let segments: [Segment]
    let name: String
    private var next = 0
    /// How deep expressions and blocks nest.
    var depth = 0
    /// Whether a `generation` block was read.
    private(set) var marksGeneration = false

    static let maximumDepth = 120

    init(_ source: String, name: String) throws(UserError) {
        var lexer = JinjaLexer(source, name: name)
        segments = try lexer.segments()
        self.name = name
    }

    mutating func template() throws(UserError) -> [Statement] {
        let (body, end) = try statements(until: [])
        if let end { throw failure("\(end.tag) does not close anything", end.reader.line) }
        return body
    }

    func failure(_ problem: String, _ line: Int) -> UserError { .template(problem, name: name, line: line) }

    /// Statements up to a tag with one of the names, and that tag.
    private mutating func statements(
        until ends: Set<String>
    ) throws(UserError) -> (body: [Statement], end: (tag: String, reader: ExpressionReader)?) {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.maximumDepth { throw failure("blocks nest too deep", 1) }
        var body: [Statement] = []
        while next < segments.count {
            let segment = segments[next]
            next += 1
            switch segment {
            case .text(let text): body.append(.text(text))
            case .output(let tokens):
                var reader = ExpressionReader(tokens, name: name)
                let line = reader.line
                let expression = try reader.expressionOrTuple()
                try reader.expectEnd()
                body.append(.output(expression, line: line))
            case .tag(let tokens):
                var reader = ExpressionReader(tokens, name: name)
                guard let tag = reader.takeName() else { throw failure("a block has no name", reader.line) }
                if ends.contains(tag) { return (body, (tag, reader)) }
                if Self.closing.contains(tag) { return (body, (tag, reader)) }
                if let statement = try statement(tag, &reader) { body += statement }
            }
        }
        return (body, nil)
    }

    private static let closing: Set<String> = [
        "endif", "elif", "else", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith",
        "endgeneration", "endblock", "endraw",
    ]

    /// The body of a block up to its closing tag.
    private mutating func body(closedBy end: String, _ line: Int) throws(UserError) -> [Statement] {
        let (body, found) = try statements(until: [end])
        guard found?.tag == end else { throw unclosed(end, found?.tag, found?.reader.line ?? line) }
        return body
    }

    private func unclosed(_ end: String, _ found: String?, _ line: Int) -> UserError {
        failure(found.map { "\($0) stands where \(end) is needed" } ?? "\(end) is missing", line)
    }

    private mutating func statement(
        _ tag: String, _ reader: inout ExpressionReader
    ) throws(UserError) -> [Statement]? {
        let line = reader.line
        switch tag {
        case "if": return [try conditional(&reader)]
        case "for": return [try loop(&reader)]
        case "set": return [try assignment(&reader)]
        case "macro":
            guard let name = reader.takeName() else { throw failure("macro has no name", line) }
            let parameters = try reader.parameters()
            try reader.expectEnd()
            let first = next
            let body = try body(closedBy: "endmacro", line)
            return [
                .macro(
                    Macro(
                        name: name, parameters: parameters, body: body,
                        usesKeywords: segments[first..<next].contains { $0.names("kwargs") }))
            ]
        case "call":
            let parameters = reader.peekSymbol("(") ? try reader.parameters() : []
            let call = try reader.expression()
            try reader.expectEnd()
            return [
                .callBlock(
                    call, parameters: parameters, body: try body(closedBy: "endcall", line), line: line)
            ]
        case "filter":
            let filter = try reader.filterChain(of: .name(Self.captured))
            try reader.expectEnd()
            return [.filterBlock(filter, body: try body(closedBy: "endfilter", line), line: line)]
        case "with":
            var assignments: [(Target, Expression)] = []
            while !reader.isAtEnd {
                let target = try reader.target(isTuple: false)
                try reader.expectSymbol("=")
                assignments.append((target, try reader.expression()))
                if !reader.takeSymbol(",") { break }
            }
            try reader.expectEnd()
            return [.scope(assignments, body: try body(closedBy: "endwith", line), line: line)]
        case "generation":
            try reader.expectEnd()
            marksGeneration = true
            return [.generation(try body(closedBy: "endgeneration", line))]
        case "block":
            // Without inheritance a block is its body, in a scope of its own.
            guard reader.takeName() != nil else { throw failure("block has no name", line) }
            while reader.takeKeyword("scoped") || reader.takeKeyword("required") {}
            try reader.expectEnd()
            return [.scope([], body: try body(closedBy: "endblock", line), line: line)]
        case "break":
            try reader.expectEnd()
            return [.breakLoop]
        case "continue":
            try reader.expectEnd()
            return [.continueLoop]
        case "include", "import", "from", "extends", "autoescape", "trans", "do", "debug":
            throw failure("the block \"\(tag)\" is not supported", line)
        default: throw failure("there is no block \"\(tag)\"", line)
        }
    }

    /// The name under which a filter block's text reaches its filters: no template can write it.
    static let captured = "\u{0}captured"

    private mutating func conditional(_ reader: inout ExpressionReader) throws(UserError) -> Statement {
        let line = reader.line
        var branches: [(condition: Expression, body: [Statement])] = []
        var condition = try reader.expressionOrTuple()
        try reader.expectEnd()
        while true {
            let (body, end) = try statements(until: ["elif", "else", "endif"])
            branches.append((condition, body))
            guard var end else { throw unclosed("endif", nil, line) }
            switch end.tag {
            case "endif": return .conditional(branches, otherwise: [])
            case "else": return .conditional(branches, otherwise: try self.body(closedBy: "endif", line))
            case "elif":
                condition = try end.reader.expressionOrTuple()
                try end.reader.expectEnd()
            default: throw unclosed("endif", end.tag, end.reader.line)
            }
        }
    }

    private mutating func loop(_ reader: inout ExpressionReader) throws(UserError) -> Statement {
        let line = reader.line
        let target = try reader.target(isTuple: true)
        guard reader.takeKeyword("in") else { throw failure("for needs \"in\"", line) }
        let sequence = try reader.expressionOrTuple(withConditional: false)
        var filter: Expression?
        if reader.takeKeyword("if") { filter = try reader.expression() }
        let isRecursive = reader.takeKeyword("recursive")
        try reader.expectEnd()
        let (body, end) = try statements(until: ["else", "endfor"])
        func loop(otherwise: [Statement]) -> Statement {
            .loop(
                Loop(
                    target, over: sequence, filter: filter, isRecursive: isRecursive, line: line, body: body,
                    otherwise: otherwise))
        }
        switch end?.tag {
        case "endfor": return loop(otherwise: [])
        case "else": return loop(otherwise: try self.body(closedBy: "endfor", line))
        default: throw unclosed("endfor", end?.tag, end?.reader.line ?? line)
        }
    }

    private mutating func assignment(_ reader: inout ExpressionReader) throws(UserError) -> Statement {
        let line = reader.line
        let target = try reader.target(isTuple: true)
        if reader.takeSymbol("=") {
            let value = try reader.expressionOrTuple()
            try reader.expectEnd()
            return .set(target, value, line: line)
        }
        var filter: Expression?
        if reader.takeSymbol("|") { filter = try reader.filterChain(of: .name(Self.captured)) }
        try reader.expectEnd()
        return .capture(target, filter: filter, body: try body(closedBy: "endset", line), line: line)
    }
}
