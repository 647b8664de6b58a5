/// What stands between the `%` and the kind of a field in Python's old formats.
struct FormatField {
    private(set) var flags: Set<Unicode.Scalar> = []
    private(set) var width = 0
    private(set) var precision: Int?

    /// No text is padded beyond this, whatever a template asks for.
    private static let largestWidth = 10_000

    mutating func read(_ scalars: inout ArraySlice<Unicode.Scalar>) {
        while let flag = scalars.first, "-0+ #".unicodeScalars.contains(flag) {
            flags.insert(flag)
            scalars.removeFirst()
        }
        width = number(&scalars) ?? 0
        if scalars.first == "." {
            scalars.removeFirst()
            precision = number(&scalars) ?? 0
        }
    }

    private func number(_ scalars: inout ArraySlice<Unicode.Scalar>) -> Int? {
        var value: Int?
        while let digit = scalars.first, ("0"..."9").contains(digit) {
            value = min((value ?? 0) * 10 + Int(digit.value - 48), Self.largestWidth)
            scalars.removeFirst()
        }
        return value
    }

    /// The first characters of a text, as many as the precision allows.
    func cut(_ text: String) -> String {
        guard let precision else { return text }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text.unicodeScalars.prefix(precision))
        return String(view)
    }

    /// A text brought to the width; zeros pad numbers only.
    func padded(_ text: String) -> String {
        let blanks = String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
        return flags.contains("-") ? text + blanks : blanks + text
    }

    /// - Parameter digits: The number without its sign.
    func padded(_ digits: String, isNegative: Bool) -> String {
        let sign = isNegative ? "-" : flags.contains("+") ? "+" : flags.contains(" ") ? " " : ""
        let isNumber = digits.unicodeScalars.allSatisfy { ("0"..."9").contains($0) || $0 == "." }
        guard flags.contains("0"), !flags.contains("-"), isNumber else { return padded(sign + digits) }
        let missing = max(0, width - sign.unicodeScalars.count - digits.unicodeScalars.count)
        return sign + String(repeating: "0", count: missing) + digits
    }
}
