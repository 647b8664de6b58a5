/// Writes text into other languages so that it is read there as it is here: one rule per language.
enum TextEscaping {
    // MARK: Jinja

    /// A Jinja string literal, in single quotes.
    ///
    /// Jinja decodes backslashes as Python does and reads any line break in a literal as a line feed, so that only carriage returns need
    /// another spelling.
    static func jinjaLiteral(_ text: String) -> String {
        var literal = "'"
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": literal += "\\\\"
            case "'": literal += "\\'"
            case "\r": literal += "\\r"
            default: literal.unicodeScalars.append(scalar)
            }
        }
        return literal + "'"
    }

    // MARK: Ollama's templates

    /// Text of a template in Go's language, as Ollama's `TEMPLATE` holds it between three quotes.
    ///
    /// A brace that could open an action, quotes that could end the value and characters that Ollama drops become actions that print
    /// them.
    static func goText(_ text: String) -> String {
        let scalars = Array(text.unicodeScalars)
        var escaped = ""
        for (index, scalar) in scalars.enumerated() {
            switch scalar {
            case "{" where index + 1 == scalars.count || scalars[index + 1] == "{":
                escaped += #"{{ "{" }}"#
            case "\"" where isInQuotes(scalars, index): escaped += #"{{ "\"" }}"#
            case _ where !isKept(scalar): escaped += "{{ \"\(goEscape(scalar))\" }}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// Whether a quote is one of three in a row or more.
    private static func isInQuotes(_ scalars: [Unicode.Scalar], _ index: Int) -> Bool {
        var (start, end) = (index, index + 1)
        while start > 0, scalars[start - 1] == "\"" { start -= 1 }
        while end < scalars.count, scalars[end] == "\"" { end += 1 }
        return end - start >= 3
    }

    private static func goEscape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        let width = scalar.value > 0xFFFF ? 8 : 4
        return "\\\(width == 8 ? "U" : "u")" + String(repeating: "0", count: width - digits.count) + digits
    }

    // MARK: Modelfile

    /// A value of a Modelfile that Ollama reads as `text`; nil where its language has none.
    ///
    /// There is no escape in it: a value ends at the line break behind its closing quotes, so a text that holds such an end itself
    /// cannot be quoted, and neither can one with characters that Ollama drops.
    static func modelfileValue(_ text: String) -> String? {
        ["\"\(text)\"", "\"\"\"\(text)\"\"\"", text].first { modelfileText($0) == text.unicodeScalarArray }
    }

    /// The same with three quotes first, as they are usual for texts of several lines.
    static func modelfileBlock(_ text: String) -> String? {
        let block = "\"\"\"\(text)\"\"\""
        return modelfileText(block) == text.unicodeScalarArray ? block : modelfileValue(text)
    }

    /// What Ollama reads where a line goes on with `source` after a command's name; nil where the value does not end with it.
    private static func modelfileText(_ source: String) -> [Unicode.Scalar]? {
        var buffer: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            let isBreak = scalar == "\n" || scalar == "\r"
            if isBreak, unquoted(buffer) != nil { return nil }
            if isBreak || isKept(scalar) { buffer.append(scalar) }
        }
        return unquoted(buffer)
    }

    private static func unquoted(_ buffer: [Unicode.Scalar]) -> [Unicode.Scalar]? {
        let value = Array(buffer.trimmed)
        let quote: Unicode.Scalar = "\""
        let opening = value.prefix { $0 == quote }.count
        let closing = value.reversed().prefix { $0 == quote }.count
        if opening >= 3 {
            return value.count >= 6 && closing >= 3 ? Array(value[3..<(value.count - 3)]) : nil
        }
        if opening >= 1 {
            return value.count >= 2 && closing >= 1 ? Array(value[1..<(value.count - 1)]) : nil
        }
        return value.isEmpty ? nil : value
    }

    /// Whether Ollama keeps a character of a value: what Go calls printable, blanks and line breaks.
    private static func isKept(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\n", "\r": return true
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .spaceSeparator, .lineSeparator,
            .paragraphSeparator:
            return false
        default: return true
        }
    }
}

extension String {
    fileprivate var unicodeScalarArray: [Unicode.Scalar] { Array(unicodeScalars) }
}

extension [Unicode.Scalar] {
    /// Without white space at both ends.
    fileprivate var trimmed: ArraySlice<Unicode.Scalar> {
        let isSpace = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace }
        return self[...].drop(while: isSpace).reversed().drop(while: isSpace).reversed()[...]
    }
}
