/// The normalization forms of Unicode (UAX 15), with the data that the Rust library has.
enum NormalizationForm: Sendable {
    case nfc, nfd, nfkc, nfkd

    func apply(to text: inout NormalizedText) {
        if text.bytes.allSatisfy({ $0 < 0x80 }) { return }
        if self == .nfc, !text.withText(NormalizationData.mayChangeInNFC) { return }
        let data = NormalizationData.shared
        let decomposed = data.decompose(text.scalars, compatibly: self == .nfkc || self == .nfkd)
        text.transform(self == .nfc || self == .nfkc ? data.compose(decomposed) : decomposed)
    }
}

/// Decompositions, compositions and combining classes, unfolded once.
final class NormalizationData: Sendable {
    static let shared = NormalizationData()

    private let canonical: [UInt32: [UInt32]]
    private let compatibility: [UInt32: [UInt32]]
    /// Keyed by both characters packed into one word.
    private let compositions: [UInt64: UInt32]
    private let combiningClasses: [UInt32: UInt8]

    /// Characters that text in NFC may not have, or not everywhere.
    private static let suspects: CodePointSet = {
        var set = CodePointSet(runs: UnicodeData.compositionSuspects)
        for codePoint in shared.combiningClasses.keys { set.insert(codePoint) }
        return set
    }()

    private init() {
        canonical = Self.mapping(UnicodeData.canonical)
        compatibility = canonical.merging(Self.mapping(UnicodeData.compatibility)) { $1 }
        var compositions: [UInt64: UInt32] = [:]
        for entry in UnicodeData.compositions.split(separator: ",") {
            let sides = entry.split(separator: "=")
            let parts = sides[0].split(separator: "+").compactMap { UInt64($0, radix: 16) }
            compositions[parts[0] << 32 | parts[1]] = UInt32(sides[1], radix: 16)
        }
        self.compositions = compositions
        var classes: [UInt32: UInt8] = [:]
        var position: UInt32 = 0
        for run in UnicodeData.combiningClasses.split(separator: ",") {
            let parts = run.split(separator: ":").compactMap { UInt32($0) }
            if parts[1] > 0 {
                for codePoint in position..<position + parts[0] { classes[codePoint] = UInt8(parts[1]) }
            }
            position += parts[0]
        }
        combiningClasses = classes
    }

    /// Reads `C0=41+300,...`.
    static func mapping(_ text: String) -> [UInt32: [UInt32]] {
        var mapping: [UInt32: [UInt32]] = [:]
        for entry in text.split(separator: ",") {
            let sides = entry.split(separator: "=")
            if let source = UInt32(sides[0], radix: 16) {
                mapping[source] = sides[1].split(separator: "+").compactMap { UInt32($0, radix: 16) }
            }
        }
        return mapping
    }

    /// Whether any character may keep the text from being in NFC already.
    static func mayChangeInNFC(_ text: UTF8Text) -> Bool {
        let suspects = suspects
        var position = 0
        while position < text.count {
            // No character below U+0300 is suspect.
            if text[position] < 0xCC {
                position += 1
                continue
            }
            let (value, length) = text.scalar(at: position)
            if suspects.contains(value) { return true }
            position += length
        }
        return false
    }

    func decompose(_ scalars: [UInt32], compatibly: Bool) -> [CharacterChange] {
        let mapping = compatibly ? compatibility : canonical
        var output: [CharacterChange] = []
        output.reserveCapacity(scalars.count * 2)
        // Marks from here on wait for their order.
        var pending = 0
        var pendingClasses: [UInt8] = []

        func sortPending() {
            if pendingClasses.count > 1 {
                // Stable, as the order of equal classes matters.
                let order = pendingClasses.indices.sorted {
                    (pendingClasses[$0], $0) < (pendingClasses[$1], $1)
                }
                let marks = output[pending...].map { $0 }
                for (place, index) in order.enumerated() { output[pending + place] = marks[index] }
            }
            pending = output.count
            pendingClasses.removeAll(keepingCapacity: true)
        }

        func append(_ scalar: UInt32, isFirst: Bool) {
            let combiningClass = scalar < 0x300 ? 0 : combiningClasses[scalar] ?? 0
            if combiningClass == 0 { sortPending() }
            output.append((scalar, isFirst ? 0 : 1))
            pendingClasses.append(combiningClass)
        }

        for scalar in scalars {
            if scalar >= 0xAC00, scalar < 0xAC00 + 11172 {
                let index = scalar - 0xAC00
                append(0x1100 + index / 588, isFirst: true)
                append(0x1161 + index % 588 / 28, isFirst: false)
                if index % 28 > 0 { append(0x11A7 + index % 28, isFirst: false) }
            } else if scalar >= 0xA0, let parts = mapping[scalar] {
                for (index, part) in parts.enumerated() { append(part, isFirst: index == 0) }
            } else {
                append(scalar, isFirst: true)
            }
        }
        sortPending()
        return output
    }

    func compose(_ decomposed: [CharacterChange]) -> [CharacterChange] {
        var output: [CharacterChange] = []
        output.reserveCapacity(decomposed.count)
        var starter: Int?
        var lastClass: UInt8?
        for character in decomposed {
            let combiningClass = character.scalar < 0x300 ? 0 : combiningClasses[character.scalar] ?? 0
            guard let place = starter else {
                output.append(character)
                if combiningClass == 0 { starter = output.count - 1 }
                continue
            }
            let isBlocked = lastClass.map { $0 >= combiningClass } ?? false
            if !isBlocked, let composed = composition(output[place].scalar, character.scalar) {
                output[place] = (composed, output[place].change + character.change - 1)
                continue
            }
            output.append(character)
            if combiningClass == 0 {
                starter = output.count - 1
                lastClass = nil
            } else {
                lastClass = combiningClass
            }
        }
        return output
    }

    private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if first >= 0x1100, first < 0x1113, second >= 0x1161, second < 0x1176 {
            return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
        }
        if first >= 0xAC00, first < 0xAC00 + 11172, (first - 0xAC00) % 28 == 0, second > 0x11A7,
            second < 0x11C3
        {
            return first + second - 0x11A7
        }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}
