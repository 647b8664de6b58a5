/// Where a byte of normalized text comes from: bytes of the original text.
struct Alignment: Equatable, Sendable {
    var start: Int32
    var end: Int32
}

/// A character of transformed text, and how it relates to the text before.
///
/// `change` is 0 where it replaces one character, positive where it is inserted, and -n where it replaces one and the n
/// characters behind that one vanish.
typealias CharacterChange = (scalar: UInt32, change: Int)

/// A stretch of text on its way through the normalizers and pre-tokenizers.
struct NormalizedText {
    private(set) var bytes: [UInt8]
    /// One per byte; empty where nobody asks for offsets.
    private(set) var alignments: [Alignment]
    let tracksOffsets: Bool

    /// - Parameter originalStart: Where `text` starts in the whole text; alignments count from there.
    init(_ text: UTF8Text, originalStart: Int, tracksOffsets: Bool) {
        bytes = Array(text.buffer)
        alignments = []
        self.tracksOffsets = tracksOffsets
        guard tracksOffsets else { return }
        alignments.reserveCapacity(bytes.count)
        text.forEachScalar { _, range in
            let alignment = Alignment(
                start: Int32(originalStart + range.lowerBound), end: Int32(originalStart + range.upperBound))
            for _ in range { alignments.append(alignment) }
        }
    }

    init(bytes: [UInt8], alignments: [Alignment], tracksOffsets: Bool) {
        self.bytes = bytes
        self.alignments = alignments
        self.tracksOffsets = tracksOffsets
    }

    var isEmpty: Bool { bytes.isEmpty }

    func slice(_ range: Range<Int>) -> NormalizedText {
        NormalizedText(
            bytes: Array(bytes[range]), alignments: tracksOffsets ? Array(alignments[range]) : [],
            tracksOffsets: tracksOffsets)
    }

    func withText<R, E: Error>(_ body: (UTF8Text) throws(E) -> R) throws(E) -> R {
        try bytes.withUnsafeBufferPointer { (buffer) throws(E) -> R in try body(UTF8Text(buffer)) }
    }

    var scalars: [UInt32] {
        var scalars: [UInt32] = []
        scalars.reserveCapacity(bytes.count)
        withText { text in text.forEachScalar { value, _ in scalars.append(value) } }
        return scalars
    }

    /// The stretch of the original text that a range of the normalized one comes from.
    func originalRange(_ range: Range<Int>) -> Range<Int> {
        guard tracksOffsets, !range.isEmpty else { return 0..<0 }
        let start = Int(alignments[range.lowerBound].start)
        return start..<max(start, Int(alignments[range.upperBound - 1].end))
    }

    /// Replaces the whole text.
    ///
    /// - Parameter skipped: How many characters at the start vanish before the first change.
    mutating func transform(_ characters: [CharacterChange], skipping skipped: Int = 0) {
        replace(0..<bytes.count, by: characters, skipping: skipped)
    }

    /// Replaces a part of the text.
    mutating func replace(_ range: Range<Int>, by characters: [CharacterChange], skipping skipped: Int = 0) {
        var replacement: [UInt8] = []
        replacement.reserveCapacity(range.count)
        var newAlignments: [Alignment] = []
        var offset = range.lowerBound
        for _ in 0..<skipped where offset < range.upperBound {
            offset += UTF8Text.length(ofLead: bytes[offset])
        }
        for (scalar, change) in characters {
            let before = replacement.count
            replacement.append(scalar: scalar)
            if tracksOffsets {
                let alignment: Alignment
                if change > 0 {
                    alignment = offset > 0 ? alignments[offset - 1] : startAlignment
                } else {
                    alignment = offset < alignments.count ? alignments[offset] : startAlignment
                }
                for _ in before..<replacement.count { newAlignments.append(alignment) }
            }
            if change <= 0 {
                for _ in 0...(-change) where offset < range.upperBound {
                    offset += UTF8Text.length(ofLead: bytes[offset])
                }
            }
        }
        bytes.replaceSubrange(range, with: replacement)
        if tracksOffsets { alignments.replaceSubrange(range, with: newAlignments) }
    }

    /// What is inserted before everything else comes from nothing at the start.
    private var startAlignment: Alignment {
        Alignment(start: alignments.first?.start ?? 0, end: alignments.first?.start ?? 0)
    }

    /// Replaces each of the ranges, which are in order, by the same text.
    mutating func replace(_ ranges: [Range<Int>], by content: [UInt8]) {
        guard !ranges.isEmpty else { return }
        var replaced: [UInt8] = []
        replaced.reserveCapacity(bytes.count)
        var newAlignments: [Alignment] = []
        var last = 0
        for range in ranges {
            replaced.append(contentsOf: bytes[last..<range.lowerBound])
            replaced.append(contentsOf: content)
            if tracksOffsets {
                newAlignments.append(contentsOf: alignments[last..<range.lowerBound])
                let alignment = range.upperBound > 0 ? alignments[range.upperBound - 1] : startAlignment
                newAlignments.append(contentsOf: repeatElement(alignment, count: content.count))
            }
            last = range.upperBound
        }
        replaced.append(contentsOf: bytes[last...])
        if tracksOffsets { newAlignments.append(contentsOf: alignments[last...]) }
        bytes = replaced
        alignments = newAlignments
    }

    /// Puts text before the first character; empty text stays empty.
    mutating func prepend(_ prefix: String) {
        guard let lead = bytes.first else { return }
        let (first, _) = withText { $0.scalar(at: 0) }
        var changes: [CharacterChange] = prefix.unicodeScalars.enumerated().map {
            ($1.value, $0 == 0 ? 0 : 1)
        }
        changes.append((first, 1))
        replace(0..<UTF8Text.length(ofLead: lead), by: changes)
    }

    /// Removes the characters that do not satisfy `keeps`.
    mutating func filter(_ keeps: (UInt32) -> Bool) {
        var changes: [CharacterChange] = []
        var skipped = 0
        var removed = 0
        var last: UInt32?
        for scalar in scalars {
            guard keeps(scalar) else {
                removed += 1
                continue
            }
            if let last { changes.append((last, -removed)) } else { skipped = removed }
            last = scalar
            removed = 0
        }
        if let last { changes.append((last, -removed)) }
        transform(changes, skipping: skipped)
    }

    /// Replaces characters one by one.
    mutating func map(_ body: (UInt32) -> UInt32) { transform(scalars.map { (body($0), 0) }) }
}
