import LFDiagnostics

/// Reads expressions from the tokens of one tag.
struct ExpressionReader {
    private let tokens: [Token]
    private let name: String
    private var next = 0
    private var depth = 0

    init(_ tokens: [Token], name: String) {
        self.tokens = tokens
        self.name = name
    }

    // MARK: Tokens

    private var token: Token { tokens[min(next, tokens.count - 1)] }
    var line: Int { token.line }
    var isAtEnd: Bool { token.kind == .end }

    private func failure(_ problem: String) -> UserError { .template(problem, name: name, line: line) }

    private var found: String { isAtEnd ? "the end of the tag" : "\"\(token.text)\"" }

    func expectEnd() throws(UserError) {
        guard isAtEnd else { throw failure("\(found) stands where the tag should end") }
    }

    func peekSymbol(_ symbol: String) -> Bool { token.kind == .symbol && token.text == symbol }

    mutating func takeSymbol(_ symbol: String) -> Bool {
        guard peekSymbol(symbol) else { return false }
        next += 1
        return true
    }

    mutating func expectSymbol(_ symbol: String) throws(UserError) {
        guard takeSymbol(symbol) else { throw failure("\(found) stands where \"\(symbol)\" is needed") }
    }

    private func peekKeyword(_ word: String) -> Bool { token.kind == .name && token.text == word }

    mutating func takeKeyword(_ word: String) -> Bool {
        guard peekKeyword(word) else { return false }
        next += 1
        return true
    }

    mutating func takeName() -> String? {
        guard token.kind == .name else { return nil }
        defer { next += 1 }
        return token.text
    }

    // MARK: Targets and parameters

    mutating func target(isTuple: Bool) throws(UserError) -> Target {
        var parts = [try singleTarget()]
        guard isTuple, peekSymbol(",") else { return parts[0] }
        while takeSymbol(","), token.kind == .name || peekSymbol("(") { parts.append(try singleTarget()) }
        return .tuple(parts)
    }

    private mutating func singleTarget() throws(UserError) -> Target {
        if takeSymbol("(") {
            let inner = try target(isTuple: true)
            try expectSymbol(")")
            return inner
        }
        guard let name = takeName() else { throw failure("\(found) stands where a name is needed") }
        if takeSymbol(".") {
            guard let field = takeName() else {
                throw failure("\(found) stands where a field's name is needed")
            }
            return .field(name, field)
        }
        return .name(name)
    }

    /// `(a, b=1)`
    mutating func parameters() throws(UserError) -> [Macro.Parameter] {
        var parameters: [Macro.Parameter] = []
        try expectSymbol("(")
        while !takeSymbol(")") {
            guard let name = takeName() else { throw failure("\(found) stands where a parameter is needed") }
            parameters.append((name, takeSymbol("=") ? try expression() : nil))
            if !peekSymbol(")") { try expectSymbol(",") }
        }
        return parameters
    }

    // MARK: Expressions

    mutating func expressionOrTuple(withConditional: Bool = true) throws(UserError) -> Expression {
        let first = withConditional ? try expression() : try disjunction()
        guard peekSymbol(",") else { return first }
        var elements = [first]
        while takeSymbol(","), !isAtEnd, !peekSymbol(")") {
            elements.append(withConditional ? try expression() : try disjunction())
        }
        return .tuple(elements)
    }

    mutating func expression() throws(UserError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        if depth > JinjaParser.maximumDepth { throw failure("expressions nest too deep") }
        var value = try disjunction()
        while takeKeyword("if") {
            let condition = try disjunction()
            let otherwise = takeKeyword("else") ? try expression() : nil
            value = .conditional(value, condition: condition, otherwise: otherwise)
        }
        return value
    }

    private mutating func disjunction() throws(UserError) -> Expression {
        var left = try conjunction()
        while takeKeyword("or") { left = .or(left, try conjunction()) }
        return left
    }

    private mutating func conjunction() throws(UserError) -> Expression {
        var left = try negation()
        while takeKeyword("and") { left = .and(left, try negation()) }
        return left
    }

    private mutating func negation() throws(UserError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        if depth > JinjaParser.maximumDepth { throw failure("expressions nest too deep") }
        if takeKeyword("not") { return .not(try negation()) }
        return try comparison()
    }

    private mutating func comparison() throws(UserError) -> Expression {
        let first = try sum()
        var rest: [(symbol: String, Expression)] = []
        while true {
            if token.kind == .symbol, ["==", "!=", "<", "<=", ">", ">="].contains(token.text) {
                let symbol = token.text
                next += 1
                rest.append((symbol, try sum()))
            } else if takeKeyword("in") {
                rest.append(("in", try sum()))
            } else if peekKeyword("not"), next + 1 < tokens.count, tokens[next + 1].text == "in" {
                next += 2
                rest.append(("not in", try sum()))
            } else {
                return rest.isEmpty ? first : .comparison(first, rest)
            }
        }
    }

    private mutating func binary(
        _ symbols: Set<String>, _ operand: (inout Self) throws(UserError) -> Expression
    ) throws(UserError) -> Expression {
        var left = try operand(&self)
        while token.kind == .symbol, symbols.contains(token.text) {
            let (symbol, line) = (token.text, line)
            next += 1
            left = .binary(symbol, left, try operand(&self), line: line)
        }
        return left
    }

    private mutating func sum() throws(UserError) -> Expression {
        try binary(["+", "-"]) { (reader) throws(UserError) in try reader.concatenation() }
    }

    private mutating func concatenation() throws(UserError) -> Expression {
        try binary(["~"]) { (reader) throws(UserError) in try reader.product() }
    }

    private mutating func product() throws(UserError) -> Expression {
        try binary(["*", "/", "//", "%"]) { (reader) throws(UserError) in try reader.power() }
    }

    private mutating func power() throws(UserError) -> Expression {
        try binary(["**"]) { (reader) throws(UserError) in try reader.unary(withFilters: true) }
    }

    private mutating func unary(withFilters: Bool) throws(UserError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        if depth > JinjaParser.maximumDepth { throw failure("expressions nest too deep") }
        var value: Expression
        if takeSymbol("-") {
            value = .negative(try unary(withFilters: false))
        } else if takeSymbol("+") {
            value = try unary(withFilters: false)
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return withFilters ? try filtersAndTests(value) : value
    }

    private mutating func primary() throws(UserError) -> Expression {
        let current = token
        switch current.kind {
        case .string:
            var text = ""
            while token.kind == .string {
                text += token.text
                next += 1
            }
            return .literal(.string(text))
        case .integer:
            next += 1
            return .literal(Int(current.text).map { .int($0) } ?? .bigInteger(current.text))
        case .float:
            next += 1
            return .literal(.double(Double(current.text) ?? 0))
        case .name:
            next += 1
            switch current.text {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default: return .name(current.text)
            }
        case .symbol where current.text == "(":
            next += 1
            if takeSymbol(")") { return .tuple([]) }
            let value = try expressionOrTuple()
            try expectSymbol(")")
            return value
        case .symbol where current.text == "[":
            next += 1
            var elements: [Expression] = []
            while !takeSymbol("]") {
                elements.append(try expression())
                if !peekSymbol("]") { try expectSymbol(",") }
            }
            return .list(elements)
        case .symbol where current.text == "{":
            next += 1
            var members: [(key: Expression, value: Expression)] = []
            while !takeSymbol("}") {
                let key = try expression()
                try expectSymbol(":")
                members.append((key, try expression()))
                if !peekSymbol("}") { try expectSymbol(",") }
            }
            return .dict(members)
        default: throw failure("\(found) stands where a value is needed")
        }
    }

    private mutating func postfix(_ start: Expression) throws(UserError) -> Expression {
        var value = start
        while true {
            let line = line
            if takeSymbol(".") {
                if token.kind == .integer, let index = Int(token.text) {
                    next += 1
                    value = .item(value, .literal(.int(index)))
                } else if let field = takeName() {
                    value = .attribute(value, field)
                } else {
                    throw failure("\(found) stands where an attribute's name is needed")
                }
            } else if takeSymbol("[") {
                value = try subscripted(value)
            } else if peekSymbol("(") {
                value = .call(value, try arguments(), line: line)
            } else {
                return value
            }
        }
    }

    private mutating func subscripted(_ value: Expression) throws(UserError) -> Expression {
        var bounds: [Expression?] = [nil]
        while !takeSymbol("]") {
            if takeSymbol(":") {
                bounds.append(nil)
                guard bounds.count <= 3 else { throw failure("a slice has three parts at most") }
            } else {
                if case .some = bounds[bounds.count - 1] {
                    throw failure("\(found) stands where \"]\" is needed")
                }
                bounds[bounds.count - 1] = try expression()
            }
        }
        if bounds.count == 1 {
            guard let index = bounds[0] else { throw failure("an index is missing") }
            return .item(value, index)
        }
        return .slice(value, start: bounds[0], stop: bounds[1], step: bounds.count > 2 ? bounds[2] : nil)
    }

    private mutating func arguments() throws(UserError) -> Expression.Arguments {
        var arguments = Expression.Arguments()
        try expectSymbol("(")
        while !takeSymbol(")") {
            if token.kind == .name, next + 1 < tokens.count, tokens[next + 1].kind == .symbol,
                tokens[next + 1].text == "="
            {
                let name = token.text
                next += 2
                arguments.named.append((name, try expression()))
            } else {
                if takeSymbol("**") {
                    arguments.unpackedDict = try expression()
                } else if takeSymbol("*") {
                    arguments.unpackedList = try expression()
                } else {
                    arguments.positional.append(try expression())
                }
            }
            if !peekSymbol(")") { try expectSymbol(",") }
        }
        return arguments
    }

    private mutating func filtersAndTests(_ start: Expression) throws(UserError) -> Expression {
        var value = start
        while true {
            if takeSymbol("|") {
                value = try filter(of: value)
            } else if takeKeyword("is") {
                value = try test(of: value)
            } else if peekSymbol("(") {
                let line = line
                value = .call(value, try arguments(), line: line)
            } else {
                return value
            }
        }
    }

    /// Filters without their first bar, as `filter` blocks have them.
    mutating func filterChain(of start: Expression) throws(UserError) -> Expression {
        var value = try filter(of: start)
        while takeSymbol("|") { value = try filter(of: value) }
        return value
    }

    private mutating func filter(of value: Expression) throws(UserError) -> Expression {
        let line = line
        guard let name = takeName() else { throw failure("\(found) stands where a filter's name is needed") }
        let arguments = peekSymbol("(") ? try arguments() : Expression.Arguments()
        return .filter(value, name, arguments, line: line)
    }

    private mutating func test(of value: Expression) throws(UserError) -> Expression {
        let line = line
        let isNegated = takeKeyword("not")
        guard let name = takeName() else { throw failure("\(found) stands where a test's name is needed") }
        var arguments = Expression.Arguments()
        if peekSymbol("(") {
            arguments = try self.arguments()
        } else if token.kind != .end, token.kind != .symbol || peekSymbol("[") || peekSymbol("{"),
            !(token.kind == .name && ["and", "or", "else", "if", "is", "in", "not"].contains(token.text))
        {
            // `is divisibleby 3`
            arguments.positional = [try postfix(try primary())]
        }
        return .test(value, name, arguments, isNegated: isNegated, line: line)
    }
}
