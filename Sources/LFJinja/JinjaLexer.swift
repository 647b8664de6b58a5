import LFDiagnostics

/// A piece of a template's code.
struct Token: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case name
        case string
        case integer
        case float
        case symbol
        /// The end of a tag.
        case end
    }

    let kind: Kind
    let text: String
    let line: Int
}

/// What lies between tags, and tags.
enum Segment: Sendable {
    case text(String)
    case output([Token])
    case tag([Token])

    /// Whether its code holds a name.
    func names(_ name: String) -> Bool {
        switch self {
        case .text: false
        case .output(let tokens), .tag(let tokens): tokens.contains { $0.kind == .name && $0.text == name }
        }
    }
}

/// Cuts a template into text and tags, with the settings of chat templates: the first line end behind a block goes
/// (`trim_blocks`), and so do blanks before a block that starts its line (`lstrip_blocks`).
struct JinjaLexer {
    private let source: [Unicode.Scalar]
    private let name: String
    private var position = 0
    private var line = 1
    private var found: [Segment] = []

    init(_ source: String, name: String) {
        var scalars: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            // Line ends are line feeds.
            if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
            scalars.append(scalar)
        }
        for index in scalars.indices where scalars[index] == "\r" { scalars[index] = "\n" }
        if scalars.last == "\n" { scalars.removeLast() }
        self.source = scalars
        self.name = name
    }

    func failure(_ problem: String) -> UserError { UserError.template(problem, name: name, line: line) }

    mutating func segments() throws(UserError) -> [Segment] {
        var text: [Unicode.Scalar] = []
        while position < source.count {
            guard source[position] == "{", let opening = peek(1), "{%#".unicodeScalars.contains(opening)
            else {
                if source[position] == "\n" { line += 1 }
                text.append(source[position])
                position += 1
                continue
            }
            let modifier = peek(2)
            let isBlock = opening != "{"
            if modifier == "-" {
                while let last = text.last, Self.isSpace(last) { text.removeLast() }
            } else if isBlock, modifier != "+" {
                stripLineStart(&text)
            }
            if !text.isEmpty { found.append(.text(Self.string(text))) }
            text = []
            position += modifier == "-" || modifier == "+" ? 3 : 2
            if opening == "#" {
                try skipComment()
            } else {
                if isBlock, try skipRawTag() {
                    try readRaw()
                    continue
                }
                let tokens = try tokens(closing: opening == "{" ? "}" : "%")
                found.append(isBlock ? .tag(tokens) : .output(tokens))
            }
        }
        if !text.isEmpty { found.append(.text(Self.string(text))) }
        return found
    }

    private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { Scalars.isSpace(scalar) }

    private func peek(_ offset: Int) -> Unicode.Scalar? {
        position + offset < source.count ? source[position + offset] : nil
    }

    /// Removes blanks that are all that stands before a block on its line.
    private func stripLineStart(_ text: inout [Unicode.Scalar]) {
        let lineStart = text.lastIndex(of: "\n").map { $0 + 1 } ?? 0
        // Text after another tag on the same line does not start a line.
        let textStart = position - text.count
        if lineStart == 0, textStart > 0, source[textStart - 1] != "\n" { return }
        if text[lineStart...].allSatisfy({ $0 != "\n" && Self.isSpace($0) }) {
            text.removeSubrange(lineStart...)
        }
    }

    /// Behind the closing braces: all whitespace for `-`, the first line end behind a block.
    private mutating func finishTag(modifier: Unicode.Scalar?, isBlock: Bool) {
        if modifier == "-" {
            while position < source.count, Self.isSpace(source[position]) {
                if source[position] == "\n" { line += 1 }
                position += 1
            }
        } else if isBlock, modifier != "+", position < source.count, source[position] == "\n" {
            line += 1
            position += 1
        }
    }

    private mutating func skipComment() throws(UserError) {
        while position + 1 < source.count {
            if source[position] == "#", source[position + 1] == "}" {
                let modifier = position > 0 ? source[position - 1] : nil
                position += 2
                finishTag(modifier: modifier == "-" || modifier == "+" ? modifier : nil, isBlock: true)
                return
            }
            if source[position] == "\n" { line += 1 }
            position += 1
        }
        throw failure("a comment is not closed")
    }

    /// Goes behind the rest of `{% raw %}`, after which no line end is removed; false where another tag stands.
    private mutating func skipRawTag() throws(UserError) -> Bool {
        let start = (position, line)
        while let scalar = peek(0), Self.isSpace(scalar) {
            if scalar == "\n" { line += 1 }
            position += 1
        }
        guard source[position...].starts(with: "raw".unicodeScalars) else {
            (position, line) = start
            return false
        }
        position += 3
        while let scalar = peek(0), Self.isSpace(scalar) {
            if scalar == "\n" { line += 1 }
            position += 1
        }
        let strips = peek(0) == "-"
        if strips { position += 1 }
        guard peek(0) == "%", peek(1) == "}" else {
            (position, line) = start
            return false
        }
        position += 2
        if strips { finishTag(modifier: "-", isBlock: true) }
        return true
    }

    /// The text up to `{% endraw %}`, as it is.
    private mutating func readRaw() throws(UserError) {
        var text: [Unicode.Scalar] = []
        while position < source.count {
            if source[position] == "{", peek(1) == "%" {
                let start = (position, line)
                let modifier = peek(2)
                position += modifier == "-" || modifier == "+" ? 3 : 2
                if let tokens = try? tokens(closing: "%"), tokens.first?.text == "endraw" {
                    if modifier == "-" {
                        while let last = text.last, Self.isSpace(last) { text.removeLast() }
                    } else if modifier != "+" {
                        let lineStart = text.lastIndex(of: "\n").map { $0 + 1 } ?? 0
                        let isLineStart = lineStart > 0 || source[start.0 - text.count - 1] == "\n"
                        if isLineStart, text[lineStart...].allSatisfy(Self.isSpace) {
                            text.removeSubrange(lineStart...)
                        }
                    }
                    if !text.isEmpty { found.append(.text(Self.string(text))) }
                    return
                }
                (position, line) = start
            }
            if source[position] == "\n" { line += 1 }
            text.append(source[position])
            position += 1
        }
        throw failure("raw has no endraw")
    }

    // MARK: Code

    private static let symbols = [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]",
        "{", "}", ",",
        ":", ".", "|",
    ].map { Array($0.unicodeScalars) }

    /// The tokens of a tag up to its closing braces.
    private mutating func tokens(closing: Unicode.Scalar) throws(UserError) -> [Token] {
        var tokens: [Token] = []
        var depth = 0
        while position < source.count {
            let scalar = source[position]
            if Self.isSpace(scalar) {
                if scalar == "\n" { line += 1 }
                position += 1
                continue
            }
            if depth == 0 {
                let hasModifier = (scalar == "-" || scalar == "+") && peek(1) == closing && peek(2) == "}"
                if hasModifier || scalar == closing && peek(1) == "}" {
                    position += hasModifier ? 3 : 2
                    finishTag(modifier: hasModifier ? scalar : nil, isBlock: closing == "%")
                    tokens.append(Token(kind: .end, text: "", line: line))
                    return tokens
                }
            }
            let token = try nextToken()
            if ["(", "[", "{"].contains(token.text), token.kind == .symbol { depth += 1 }
            if [")", "]", "}"].contains(token.text), token.kind == .symbol { depth -= 1 }
            tokens.append(token)
        }
        throw failure("a tag is not closed")
    }

    private mutating func nextToken() throws(UserError) -> Token {
        let scalar = source[position]
        let start = position
        if scalar == "_" || scalar.properties.isXIDStart {
            while let next = peek(0), next.properties.isXIDContinue { position += 1 }
            return Token(kind: .name, text: Self.string(source[start..<position]), line: line)
        }
        if ("0"..."9").contains(scalar) { return try number() }
        if scalar == "'" || scalar == "\"" { return try string(quote: scalar) }
        for symbol in Self.symbols where source[position...].starts(with: symbol) {
            position += symbol.count
            return Token(kind: .symbol, text: Self.string(symbol), line: line)
        }
        throw failure("the character \"\(scalar)\" has no meaning here")
    }

    private mutating func number() throws(UserError) -> Token {
        var text = ""
        var isFloat = false
        while let next = peek(0) {
            if ("0"..."9").contains(next) {
                text.unicodeScalars.append(next)
            } else if next == ".", !isFloat, let digit = peek(1), ("0"..."9").contains(digit) {
                isFloat = true
                text.append(".")
            } else if next == "e" || next == "E", let sign = peek(1),
                ("0"..."9").contains(sign)
                    || (sign == "-" || sign == "+") && peek(2).map({ ("0"..."9").contains($0) }) == true
            {
                isFloat = true
                text.append("e")
                if !("0"..."9").contains(sign) {
                    text.unicodeScalars.append(sign)
                    position += 1
                }
            } else if next != "_" {
                break
            }
            position += 1
        }
        return Token(kind: isFloat ? .float : .integer, text: text, line: line)
    }

    private mutating func string(quote: Unicode.Scalar) throws(UserError) -> Token {
        let startLine = line
        var text: [Unicode.Scalar] = []
        position += 1
        while let scalar = peek(0) {
            position += 1
            if scalar == quote { return Token(kind: .string, text: Self.string(text), line: startLine) }
            if scalar == "\n" { line += 1 }
            guard scalar == "\\", let escaped = peek(0) else {
                text.append(scalar)
                continue
            }
            position += 1
            switch escaped {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "r": text.append("\r")
            case "b": text.append("\u{8}")
            case "f": text.append("\u{C}")
            case "v": text.append("\u{B}")
            case "a": text.append("\u{7}")
            case "0"..."7": text.append(octal(escaped))
            case "\n": line += 1
            case "\\", "'", "\"": text.append(escaped)
            case "x": text.append(try hexadecimal(digits: 2))
            case "u": text.append(try hexadecimal(digits: 4))
            case "U": text.append(try hexadecimal(digits: 8))
            default: text += ["\\", escaped]
            }
        }
        throw failure("a string is not closed")
    }

    /// Up to three octal digits, the first of which is read.
    private mutating func octal(_ first: Unicode.Scalar) -> Unicode.Scalar {
        var value = first.value - 48
        for _ in 0..<2 {
            guard let digit = peek(0), ("0"..."7").contains(digit) else { break }
            value = value * 8 + digit.value - 48
            position += 1
        }
        return Unicode.Scalar(value) ?? "\u{FFFD}"
    }

    private mutating func hexadecimal(digits: Int) throws(UserError) -> Unicode.Scalar {
        guard position + digits <= source.count,
            let value = UInt32(Self.string(source[position..<position + digits]), radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw failure("a backslash escape needs \(digits) hexadecimal digits") }
        position += digits
        return scalar
    }
}

extension UserError {
    /// A template that cannot be read or rendered.
    static func template(_ problem: String, name: String, line: Int) -> UserError {
        UserError(.failedRun, "\(problem).", at: "\(name):\(line)", remedy: "Correct the template.")
    }
}
