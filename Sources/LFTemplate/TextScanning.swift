#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

// Chat formats are about exact bytes, while Swift's own search compares characters: "\r\n" is one, and a combining
// accent behind a marker hides it. These functions look at bytes and code points, as Python does.
extension String {
    /// The first place, at or after `start`, where the bytes of `needle` occur.
    func firstRange(ofBytes needle: String, from start: Index? = nil) -> Range<Index>? {
        var text = self
        var needle = needle
        let skipped = start.map { utf8.distance(from: startIndex, to: $0) } ?? 0
        let found = text.withUTF8 { text in
            needle.withUTF8 { needle -> Int? in
                guard let base = text.baseAddress, let wanted = needle.baseAddress else { return nil }
                guard needle.count > 0, skipped <= text.count else { return nil }
                var start = base + skipped
                var remaining = text.count - skipped - needle.count + 1
                while remaining > 0, let hit = memchr(start, Int32(wanted[0]), remaining) {
                    let candidate = UnsafePointer(hit.assumingMemoryBound(to: UInt8.self))
                    if memcmp(candidate, wanted, needle.count) == 0 { return base.distance(to: candidate) }
                    remaining -= start.distance(to: candidate) + 1
                    start = candidate + 1
                }
                return nil
            }
        }
        guard let found else { return nil }
        let lower = utf8.index(startIndex, offsetBy: found)
        return lower..<utf8.index(lower, offsetBy: needle.utf8.count)
    }

    func containsBytes(of needle: String) -> Bool { needle.isEmpty || firstRange(ofBytes: needle) != nil }

    func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

    /// The text with the first occurrence replaced, or the text itself.
    func replacingFirst(_ needle: String, with replacement: String) -> String {
        guard let range = firstRange(ofBytes: needle) else { return self }
        return self[..<range.lowerBound] + replacement + self[range.upperBound...]
    }

    /// The text with every occurrence replaced, from the left, without overlap.
    func replacingAll(_ needle: String, with replacement: String) -> String {
        var result = ""
        var rest = startIndex
        while let range = firstRange(ofBytes: needle, from: rest) {
            result += self[rest..<range.lowerBound] + replacement
            rest = range.upperBound
        }
        return rest == startIndex ? self : result + self[rest...]
    }

    /// The parts between the occurrences of a separator.
    func split(byBytes separator: String) -> [String] {
        var parts: [String] = []
        var rest = startIndex
        while let range = firstRange(ofBytes: separator, from: rest) {
            parts.append(String(self[rest..<range.lowerBound]))
            rest = range.upperBound
        }
        return parts + [String(self[rest...])]
    }

    /// The first text between two markers, and that text with its markers.
    func firstSpan(_ opening: String, _ closing: String, from start: Index? = nil) -> MarkedSpan? {
        guard let open = firstRange(ofBytes: opening, from: start),
            let close = firstRange(ofBytes: closing, from: open.upperBound)
        else { return nil }
        return MarkedSpan(
            whole: open.lowerBound..<close.upperBound, inner: open.upperBound..<close.lowerBound)
    }

    /// The text without any span between two markers, markers included.
    func removingSpans(_ opening: String, _ closing: String) -> String {
        var result = ""
        var rest = startIndex
        while let span = firstSpan(opening, closing, from: rest) {
            result += self[rest..<span.whole.lowerBound]
            rest = span.whole.upperBound
        }
        return rest == startIndex ? self : result + self[rest...]
    }

    /// Without leading line feeds; Python's `lstrip("\n")`.
    func trimmingLeadingLineFeeds() -> String { String(decoding: utf8.drop { $0 == 0x0A }, as: UTF8.self) }

    /// Without line feeds at both ends; Python's `strip("\n")`.
    func trimmingLineFeeds() -> String { trimming("\n") }

    /// Without white space at both ends; Python's `strip()`.
    func trimmingWhitespace() -> String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.isPythonWhitespace }),
            let last = scalars.lastIndex(where: { !$0.isPythonWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }

    /// Without any of `characters` at both ends; Python's `strip(characters)`.
    func trimming(_ characters: Unicode.Scalar) -> String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { $0 != characters }),
            let last = scalars.lastIndex(where: { $0 != characters })
        else { return "" }
        return String(scalars[first...last])
    }
}

/// A text between two markers.
struct MarkedSpan {
    /// With the markers.
    var whole: Range<String.Index>
    /// Without them.
    var inner: Range<String.Index>
}

extension Unicode.Scalar {
    /// What Python's `str.isspace` and the `\s` of its `re` take for white space.
    var isPythonWhitespace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }
}
