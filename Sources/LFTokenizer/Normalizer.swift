/// What happens to text before it is cut into words.
indirect enum Normalizer: Sendable {
    case form(NormalizationForm)
    case prepend(String)
    case replace(SplitPattern, with: [UInt8])
    case lowercase
    case strip(left: Bool, right: Bool)
    case sequence([Normalizer])

    func apply(to text: inout NormalizedText) {
        switch self {
        case .form(let form): form.apply(to: &text)
        case .prepend(let prefix): text.prepend(prefix)
        case .replace(let pattern, let content):
            text.replace(text.withText { pattern.matches(in: $0) }, by: content)
        case .lowercase: text.lowercase()
        case .strip(let left, let right): text.strip(left: left, right: right)
        case .sequence(let normalizers): for normalizer in normalizers { normalizer.apply(to: &text) }
        }
    }

    /// What becomes of a whole text.
    func normalized(_ text: String) -> [UInt8] {
        var text = text
        var normalized = text.withUTF8 {
            NormalizedText(UTF8Text($0), originalStart: 0, tracksOffsets: false)
        }
        apply(to: &normalized)
        return normalized.bytes
    }
}

extension NormalizedText {
    private static let lowercaseMapping = NormalizationData.mapping(UnicodeData.lowercase)

    mutating func lowercase() {
        var changes: [CharacterChange] = []
        changes.reserveCapacity(bytes.count)
        for scalar in scalars {
            if scalar < 0x80 {
                changes.append((scalar >= 0x41 && scalar <= 0x5A ? scalar + 0x20 : scalar, 0))
            } else if let mapped = Self.lowercaseMapping[scalar] {
                for (index, part) in mapped.enumerated() { changes.append((part, index > 0 ? 1 : 0)) }
            } else {
                changes.append((scalar, 0))
            }
        }
        transform(changes)
    }

    mutating func strip(left: Bool, right: Bool) {
        let scalars = scalars
        func isSpace(_ scalar: UInt32) -> Bool {
            CharacterClasses.ofScalar(scalar) & CharacterClasses.whitespace != 0
        }
        let leading = left ? scalars.prefix(while: isSpace).count : 0
        let trailing = right ? scalars.reversed().prefix(while: isSpace).count : 0
        guard leading + trailing > 0 else { return }
        guard leading + trailing < scalars.count else { return transform([], skipping: leading) }
        transform(scalars[leading..<scalars.count - trailing].map { ($0, 0) }, skipping: leading)
    }
}
