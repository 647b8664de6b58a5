/// Parts an answer into its thought and what it says, although it comes in pieces.
///
/// A thought stands first, between the words of the template, whose white space does not count; where the prompt has opened it, it has a
/// closing word alone. The white space at its ends, and in front of what follows it, belongs to neither part.
package struct ThoughtSplitter: Sendable {
    /// What a piece adds to both parts.
    package typealias Parts = (thought: String, content: String)

    private enum Place { case start, thought, behindThought, content }

    private let opening: String
    private let closing: String
    private var place: Place
    /// What may yet turn out to be a word of the template, or white space at the end of the thought.
    private var kept = ""
    private var hasThought = false

    /// - Parameter beginsInside: Whether the prompt has opened a thought.
    package init(_ words: Template.Markers, beginsInside: Bool) {
        opening = words.opening.trimmingWhitespace()
        closing = words.closing.trimmingWhitespace()
        place = beginsInside ? .thought : opening.isEmpty || closing.isEmpty ? .content : .start
    }

    package mutating func append(_ text: String) -> Parts {
        kept += text
        var parts: Parts = ("", "")
        if place == .start { leaveStart() }
        if place == .thought { parts.thought = takeThought() }
        if place == .behindThought {
            kept = String(kept.drop { $0.isWhitespace })
            if !kept.isEmpty { place = .content }
        }
        if place == .content {
            parts.content = kept
            kept = ""
        }
        return parts
    }

    /// What was kept at the end of the answer.
    package mutating func finish() -> Parts {
        defer { kept = "" }
        switch place {
        case .start, .content: return ("", kept)
        case .thought: return (String(kept.trimmingWhitespace()), "")
        case .behindThought: return ("", "")
        }
    }

    private mutating func leaveStart() {
        let text = kept.drop { $0.isWhitespace }
        if text.hasPrefix(opening) {
            kept = String(text.dropFirst(opening.count))
            place = .thought
        } else if !opening.hasPrefix(text) {
            place = .content
        }
    }

    /// The part of the kept text that belongs to the thought for certain.
    private mutating func takeThought() -> String {
        if !hasThought { kept = String(kept.drop { $0.isWhitespace }) }
        if let end = kept.firstRange(ofBytes: closing) {
            let thought = kept[..<end.lowerBound]
            kept = String(kept[end.upperBound...])
            place = .behindThought
            return String(String(thought).reversed().drop { $0.isWhitespace }.reversed())
        }
        var waiting = 0
        let limit = min(closing.count - 1, kept.count)
        for count in stride(from: limit, to: 0, by: -1) where closing.hasPrefix(kept.suffix(count)) {
            waiting = count
            break
        }
        var shown = kept.dropLast(waiting)
        while let last = shown.last, last.isWhitespace { shown.removeLast() }
        let thought = String(shown)
        kept = String(kept.dropFirst(thought.count))
        hasThought = hasThought || !thought.isEmpty
        return thought
    }
}
