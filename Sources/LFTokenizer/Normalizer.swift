/// What happens to text before it is cut into words.
indirect enum Normalizer: Sendable {
    case form(NormalizationForm)
    case prepend(String)
    case replace(SplitPattern, with: [UInt8])
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case bert(BertNormalization)
    /// Control characters away, other separators to spaces, as in the NMT rules of SentencePiece.
    case nmt
    case byteLevel
    case charsMap(CharsMap)
    case sequence([Normalizer])

    func apply(to text: inout NormalizedText) {
        switch self {
        case .form(let form): form.apply(to: &text)
        case .prepend(let prefix): text.prepend(prefix)
        case .replace(let pattern, let content):
            text.replace(text.withText { pattern.matches(in: $0) }, by: content)
        case .lowercase: text.lowercase()
        case .strip(let left, let right): text.strip(left: left, right: right)
        case .stripAccents: text.filter { !CodePointSet.accents.contains($0) }
        case .bert(let normalization): normalization.apply(to: &text)
        case .nmt:
            text.filter { !Self.isControl($0) }
            text.map { Self.isSeparator($0) ? 0x20 : $0 }
        case .byteLevel: text = text.withStandIns()
        case .charsMap(let map): map.apply(to: &text)
        case .sequence(let normalizers): for normalizer in normalizers { normalizer.apply(to: &text) }
        }
    }

    private static func isControl(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: true
        default: false
        }
    }

    private static func isSeparator(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: true
        default: false
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

extension CodePointSet {
    /// Marks that StripAccents removes.
    static let accents = CodePointSet(runs: UnicodeData.accents)
    /// Marks that BertNormalizer removes.
    static let bertAccents = CodePointSet(runs: UnicodeData.bertAccents)
    /// What BertNormalizer takes for control characters.
    static let bertControls = CodePointSet(runs: UnicodeData.bertControls)
}

/// BERT's clean-up of text.
struct BertNormalization: Sendable {
    let cleansText: Bool
    let spacesChinese: Bool
    /// Nil means: where text becomes lower-case.
    let stripsAccents: Bool?
    let lowercases: Bool

    func apply(to text: inout NormalizedText) {
        if cleansText {
            text.filter { !CodePointSet.bertControls.contains($0) }
            text.map { CharacterClasses.ofScalar($0) & CharacterClasses.whitespace != 0 ? 0x20 : $0 }
        }
        if spacesChinese {
            text.transform(
                text.scalars.flatMap { scalar -> [CharacterChange] in
                    Self.isChinese(scalar) ? [(0x20, 0), (scalar, 1), (0x20, 1)] : [(scalar, 0)]
                })
        }
        if stripsAccents ?? lowercases {
            NormalizationForm.nfd.apply(to: &text)
            text.filter { !CodePointSet.bertAccents.contains($0) }
        }
        if lowercases { text.lowercase() }
    }

    private static func isChinese(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
