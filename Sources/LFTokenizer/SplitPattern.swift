import LFDiagnostics

#if canImport(Glibc)
    import Glibc
#endif

/// What a text is split or replaced at.
enum SplitPattern: Sendable {
    case string([UInt8])
    case regex(OnigurumaRegex)
    /// A scanner that is equal to a common expression; it matches everywhere.
    case words(KnownPattern)
    case characters(CharacterPredicate)

    init(regex: String, source: String) throws(UserError) {
        if let known = KnownPattern(regex) {
            self = .words(known)
        } else {
            self = .regex(try OnigurumaRegex(regex, source: source))
        }
    }

    /// The matches from left to right.
    func matches(in text: UTF8Text) -> [Range<Int>] {
        switch self {
        case .regex(let regex): return regex.matches(in: text)
        case .words(let pattern): return pattern.words(of: text)
        case .string(let wanted):
            var found: [Range<Int>] = []
            guard let first = wanted.first else { return found }
            var position = 0
            while position + wanted.count <= text.count {
                guard
                    let place = memchr(
                        text.base + position, Int32(first), text.count - position - wanted.count + 1)
                else { break }
                position = UnsafePointer(place.assumingMemoryBound(to: UInt8.self)) - text.base
                if text.slice(position..<position + wanted.count).buffer.elementsEqual(wanted) {
                    found.append(position..<position + wanted.count)
                    position += wanted.count
                } else {
                    position += 1
                }
            }
            return found
        case .characters(let predicate):
            var found: [Range<Int>] = []
            text.forEachScalar { value, range in if predicate.contains(value) { found.append(range) } }
            return found
        }
    }
}

/// A class of characters that a pre-tokenizer splits at.
enum CharacterPredicate: Sendable {
    case whitespace
    case set(CodePointSet)
    case scalar(UInt32)

    func contains(_ scalar: UInt32) -> Bool {
        switch self {
        case .whitespace: CharacterClasses.ofScalar(scalar) & CharacterClasses.whitespace != 0
        case .set(let set): set.contains(scalar)
        case .scalar(let wanted): scalar == wanted
        }
    }
}

/// What becomes of the matches when text is split at them.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// The pieces of a text of `count` bytes with these matches; empty pieces are left out.
    ///
    /// - Parameter inverted: Whether what lies between the matches counts as the match.
    func pieces(_ matches: [Range<Int>], count: Int, inverted: Bool = false) -> [Range<Int>] {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        var last = 0
        for match in matches {
            if last != match.lowerBound { parts.append((last..<match.lowerBound, inverted)) }
            parts.append((match, !inverted))
            last = match.upperBound
        }
        if last != count { parts.append((last..<count, inverted)) }
        return merged(parts).filter { !$0.isEmpty }
    }

    private func merged(_ parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        pieces.reserveCapacity(parts.count)
        var previousMatched = false
        switch self {
        case .removed: return parts.filter { !$0.isMatch }.map(\.range)
        case .isolated: return parts.map(\.range)
        case .contiguous, .mergedWithPrevious:
            for (range, isMatch) in parts {
                let joins = self == .contiguous ? isMatch == previousMatched : isMatch && !previousMatched
                if joins, let last = pieces.popLast() {
                    pieces.append(last.lowerBound..<range.upperBound)
                } else {
                    pieces.append(range)
                }
                previousMatched = isMatch
            }
            return pieces
        case .mergedWithNext:
            for (range, isMatch) in parts.reversed() {
                if isMatch, !previousMatched, let last = pieces.popLast() {
                    pieces.append(range.lowerBound..<last.upperBound)
                } else {
                    pieces.append(range)
                }
                previousMatched = isMatch
            }
            return pieces.reversed()
        }
    }
}
