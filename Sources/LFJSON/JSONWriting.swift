extension JSONValue {
    /// The text that Python's `json.dumps` writes for this value.
    ///
    /// - Parameters:
    ///   - indent: Spaces per level, each member on its own line; nil for one line with `", "` and `": "`.
    ///   - sortKeys: Whether members are ordered by the code points of their keys.
    ///   - ensureASCII: Whether characters beyond ASCII become `\u` escapes.
    public func serialized(indent: Int? = nil, sortKeys: Bool = false, ensureASCII: Bool = true) -> String {
        serialized(
            indent: indent, sortKeys: sortKeys, ensureASCII: ensureASCII, itemSeparator: ", ",
            keySeparator: ": ")
    }

    /// As `serialized(indent:sortKeys:ensureASCII:)`, with Python's `separators`.
    public func serialized(
        indent: Int? = nil, sortKeys: Bool = false, ensureASCII: Bool = true, itemSeparator: String,
        keySeparator: String
    ) -> String {
        let separator = indent == nil ? itemSeparator : itemSeparator.trimmingTrailingSpaces()
        var writer = JSONWriter(
            indent: indent, sortKeys: sortKeys, ensureASCII: ensureASCII,
            itemSeparator: Array(separator.utf8),
            keySeparator: Array(keySeparator.utf8))
        writer.write(self)
        return String(decoding: writer.output, as: UTF8.self)
    }

    /// A string as a JSON literal, quotes included.
    public static func literal(_ text: String, ensureASCII: Bool = true) -> String {
        JSONValue.string(text).serialized(ensureASCII: ensureASCII)
    }

    /// A number as Python's `repr` writes it: the shortest digits that read back to the same value, an exponent below
    /// 1e-4 and from 1e16 on, and at least one digit behind the point.
    public static func literal(_ number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
        if number == 0 { return number.sign == .minus ? "-0.0" : "0.0" }
        // Swift's description has the same digits, but other thresholds for the exponent.
        var digits: [UInt8] = []
        var pointPosition: Int?
        var exponent = 0
        for (index, byte) in number.magnitude.description.utf8.enumerated() {
            if byte == UInt8(ascii: ".") {
                pointPosition = digits.count
            } else if byte == UInt8(ascii: "e") {
                exponent = Int(number.magnitude.description.dropFirst(index + 1)) ?? 0
                break
            } else {
                digits.append(byte)
            }
        }
        var pointAt = (pointPosition ?? digits.count) + exponent
        while digits.count > 1, digits[0] == UInt8(ascii: "0") {
            digits.removeFirst()
            pointAt -= 1
        }
        while digits.count > 1, digits[digits.count - 1] == UInt8(ascii: "0") { digits.removeLast() }
        let sign = number < 0 ? "-" : ""
        let text = String(decoding: digits, as: UTF8.self)
        guard pointAt > -4, pointAt <= 16 else {
            let power = pointAt - 1
            let fraction = text.count > 1 ? "." + text.dropFirst() : ""
            let powerText = (power.magnitude < 10 ? "0" : "") + String(power.magnitude)
            return "\(sign)\(text.prefix(1))\(fraction)e\(power < 0 ? "-" : "+")\(powerText)"
        }
        if pointAt <= 0 { return sign + "0." + String(repeating: "0", count: -pointAt) + text }
        if pointAt >= text.count {
            return sign + text + String(repeating: "0", count: pointAt - text.count) + ".0"
        }
        return sign + text.prefix(pointAt) + "." + text.dropFirst(pointAt)
    }
}

private struct JSONWriter {
    let indent: Int?
    let sortKeys: Bool
    let ensureASCII: Bool
    let itemSeparator: [UInt8]
    let keySeparator: [UInt8]
    var output: [UInt8] = []
    private var depth = 0

    init(indent: Int?, sortKeys: Bool, ensureASCII: Bool, itemSeparator: [UInt8], keySeparator: [UInt8]) {
        self.indent = indent
        self.sortKeys = sortKeys
        self.ensureASCII = ensureASCII
        self.itemSeparator = itemSeparator
        self.keySeparator = keySeparator
    }

    mutating func write(_ value: JSONValue) {
        switch value {
        case .null: append("null")
        case .bool(let value): append(value ? "true" : "false")
        case .int(let value): append(String(value))
        case .bigInteger(let digits): append(digits)
        case .double(let value): append(JSONValue.literal(value))
        case .string(let value): write(value)
        case .array(let elements):
            writeContainer("[", "]", elements) { writer, element in writer.write(element) }
        case .object(let members):
            let ordered =
                sortKeys
                ? members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } : Array(members)
            writeContainer("{", "}", ordered) { writer, member in
                writer.write(member.key)
                writer.output.append(contentsOf: writer.keySeparator)
                writer.write(member.value)
            }
        }
    }

    private mutating func writeContainer<Item>(
        _ opening: String, _ closing: String, _ items: [Item], _ writeItem: (inout Self, Item) -> Void
    ) {
        append(opening)
        depth += 1
        for (index, item) in items.enumerated() {
            if index > 0 { output.append(contentsOf: itemSeparator) }
            startLine()
            writeItem(&self, item)
        }
        depth -= 1
        if !items.isEmpty { startLine() }
        append(closing)
    }

    private mutating func startLine() {
        guard let indent else { return }
        output.append(0x0A)
        output.append(contentsOf: repeatElement(0x20, count: indent * depth))
    }

    private mutating func append(_ text: String) { output.append(contentsOf: text.utf8) }

    private mutating func write(_ text: String) {
        output.append(UInt8(ascii: "\""))
        if ensureASCII, text.utf8.contains(where: { $0 >= 0x7F }) {
            for unit in text.utf16 {
                if unit < 0x7F { writeEscaped(UInt8(unit)) } else { writeHex(unit) }
            }
        } else {
            for byte in text.utf8 { writeEscaped(byte) }
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func writeEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 0x08: append("\\b")
        case 0x09: append("\\t")
        case 0x0A: append("\\n")
        case 0x0C: append("\\f")
        case 0x0D: append("\\r")
        case 0..<0x20: writeHex(UInt16(byte))
        default: output.append(byte)
        }
    }

    private mutating func writeHex(_ unit: UInt16) {
        let digits = String(unit, radix: 16)
        append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
    }
}

extension String {
    fileprivate func trimmingTrailingSpaces() -> String {
        var text = Substring(self)
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
