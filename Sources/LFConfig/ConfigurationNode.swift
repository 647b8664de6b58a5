/// A value as it stands in a file or on the command line, before the argument's type is applied.
///
/// Scalars keep their spelling, so that `run_name: 007` stays `007` and `eval_strategy: no` is not a boolean.
struct ConfigurationNode: Sendable {
    enum Content: Sendable {
        /// `isPlain` is false for quoted text, which is never null.
        case scalar(String, isPlain: Bool)
        case list([ConfigurationNode])
        case mapping([(key: String, value: ConfigurationNode)])
    }

    var content: Content
    /// Counted from 1; nil where there are no lines.
    var line: Int?

    init(_ content: Content, line: Int? = nil) {
        self.content = content
        self.line = line
    }

    init(_ value: ArgumentValue) {
        switch value {
        case .null: self.init(.scalar("null", isPlain: true))
        case .bool(let flag): self.init(.scalar(flag ? "true" : "false", isPlain: true))
        case .int(let number): self.init(.scalar(String(number), isPlain: true))
        case .double(let number): self.init(.scalar(spelledPrecisely(number), isPlain: true))
        case .string(let text): self.init(.scalar(text, isPlain: false))
        case .list(let items): self.init(.list(items.map { ConfigurationNode($0) }))
        case .mapping(let pairs): self.init(.mapping(pairs.map { ($0.0, ConfigurationNode($0.1)) }))
        }
    }

    /// The value that the spelling means in YAML 1.1, as upstream's loader reads it.
    var plainValue: ArgumentValue {
        switch content {
        case .scalar(let text, let isPlain): isPlain ? resolvePlainScalar(text) : .string(text)
        case .list(let items): .list(items.map(\.plainValue))
        case .mapping(let pairs): .mapping(pairs.map { ($0.key, $0.value.plainValue) })
        }
    }

    /// The spelling for a message: short, and one line.
    var spelling: String {
        switch content {
        case .scalar(let text, let isPlain):
            if isPlain, case .string = resolvePlainScalar(text) { return quoted(text) }
            if isPlain { return text.isEmpty ? "nothing" : text }
            return quoted(text)
        case .list(let items): return "a list of \(items.count)"
        case .mapping: return "a mapping"
        }
    }
}

/// A double that reads back as the same double, `.nan` and `.inf` included.
func spelledPrecisely(_ number: Double) -> String {
    if number.isNaN { return ".nan" }
    if number.isInfinite { return number < 0 ? "-.inf" : ".inf" }
    return String(number)
}

/// Text in quotes for a message, cut to 60 characters and kept on one line.
func quoted(_ text: String) -> String {
    let line = String(text.prefix(60).map { $0.isNewline || $0 == "\t" ? " " : $0 })
    return "\"\(line)\(text.count > 60 ? "…" : "")\""
}

/// The value of an unquoted scalar in YAML 1.1, with floats like `1e-4` (no dot) read as floats.
func resolvePlainScalar(_ text: String) -> ArgumentValue {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
    case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
    case ".inf", ".Inf", ".INF", "+.inf": return .double(.infinity)
    case "-.inf", "-.Inf", "-.INF": return .double(-.infinity)
    case ".nan", ".NaN", ".NAN": return .double(.nan)
    default: break
    }
    if let number = wholeNumber(text) { return .int(number) }
    if let number = decimalNumber(text) { return .double(number) }
    return .string(text)
}

/// Digits with an optional sign, `_` allowed between them; nil for anything else, leading zeros included.
func wholeNumber(_ text: String) -> Int? {
    let digits = text.utf8.first == 0x2B || text.utf8.first == 0x2D ? text.utf8.dropFirst() : text.utf8[...]
    guard let first = digits.first, (0x30...0x39).contains(first), digits.last != 0x5F else { return nil }
    guard digits.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x5F }) else { return nil }
    if first == 0x30, digits.count > 1 { return nil }
    return Int(text.filter { $0 != "_" })
}

/// A decimal number with a dot, an exponent or both; never hexadecimal, `inf` or `nan`.
func decimalNumber(_ text: String) -> Double? {
    guard let last = text.utf8.last, (0x30...0x39).contains(last) || last == 0x2E else { return nil }
    var hasDigit = false
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x39: hasDigit = true
        case 0x2B, 0x2D, 0x2E, 0x45, 0x65, 0x5F: continue
        default: return nil
        }
    }
    guard hasDigit, let first = text.utf8.first, first != 0x45, first != 0x65, first != 0x5F else {
        return nil
    }
    return Double(text.filter { $0 != "_" })
}
