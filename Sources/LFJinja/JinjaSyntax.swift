/// An expression of a template.
indirect enum Expression: Sendable {
    case literal(JinjaValue)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dict([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
    case call(Expression, Arguments, line: Int)
    case filter(Expression, String, Arguments, line: Int)
    case test(Expression, String, Arguments, isNegated: Bool, line: Int)
    case negative(Expression)
    case not(Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case binary(String, Expression, Expression, line: Int)
    /// `a < b <= c`
    case comparison(Expression, [(symbol: String, Expression)])
    case conditional(Expression, condition: Expression, otherwise: Expression?)

    struct Arguments: Sendable {
        var positional: [Expression] = []
        var named: [(name: String, value: Expression)] = []
        /// `*list`
        var unpackedList: Expression?
        /// `**dictionary`
        var unpackedDict: Expression?
    }
}

/// What a value is assigned to.
indirect enum Target: Sendable {
    case name(String)
    /// A field of a namespace.
    case field(String, String)
    case tuple([Target])
}

/// A part of a template.
indirect enum Statement: Sendable {
    case text(String)
    case output(Expression, line: Int)
    case conditional([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(Loop)
    case set(Target, Expression, line: Int)
    /// The text of the body, filtered, is assigned.
    case capture(Target, filter: Expression?, body: [Statement], line: Int)
    case macro(Macro)
    case callBlock(Expression, parameters: [Macro.Parameter], body: [Statement], line: Int)
    case filterBlock(Expression, body: [Statement], line: Int)
    case scope([(Target, Expression)], body: [Statement], line: Int)
    /// Text that a model learns to write.
    case generation([Statement])
    case breakLoop
    case continueLoop
}

/// A loop and what it does where there is nothing to visit.
final class Loop: Sendable {
    let target: Target
    let sequence: Expression
    let filter: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]
    let line: Int

    init(
        _ target: Target, over sequence: Expression, filter: Expression?, isRecursive: Bool, line: Int,
        body: [Statement], otherwise: [Statement]
    ) {
        self.target = target
        self.sequence = sequence
        self.filter = filter
        self.isRecursive = isRecursive
        self.line = line
        self.body = body
        self.otherwise = otherwise
    }
}

/// A function that a template defines.
final class Macro: Sendable {
    typealias Parameter = (name: String, fallback: Expression?)

    let name: String
    let parameters: [Parameter]
    let body: [Statement]
    /// Whether the body reads `kwargs`, and so takes any named argument.
    let usesKeywords: Bool

    init(name: String, parameters: [Parameter], body: [Statement], usesKeywords: Bool) {
        self.name = name
        self.parameters = parameters
        self.body = body
        self.usesKeywords = usesKeywords
    }
}
