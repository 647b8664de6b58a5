import LFJSON
import LFJinja

/// Templates that open an answer behind every conversation, asked for or not (Command R7B): the opening belongs to the next prompt, so that
/// nothing learns to write it.
extension OwnTemplate {
    /// A text that ends with an answer, without the next one's opening.
    ///
    /// - Parameter prompt: The prompt for the answer, which ends with an opening too; nil where it is not known.
    func withoutOpening(_ closed: String, prompt: String? = nil) -> String {
        guard abilities.alwaysOpensAnswer else { return closed }
        var opening = abilities.openings?.first { closed.hasByteSuffix($0) }
        if opening == nil, abilities.openings?.isEmpty != true, let prompt, let end = endToken {
            // One that the probes do not know: what follows the token that ends the answer, and ends the prompt, too.
            let pieces = closed.split(byBytes: end)
            opening = pieces.count > 1 ? pieces.last.flatMap { prompt.hasByteSuffix($0) ? $0 : nil } : nil
        }
        guard let opening, !opening.isEmpty else { return closed }
        return String(decoding: closed.utf8.dropLast(opening.utf8.count), as: UTF8.self)
    }
}

extension TemplateProbe {
    /// Whether an answer is opened behind every conversation, asked for or not.
    var alwaysOpensAnswer: Bool {
        [[Self.question], [Self.question, Self.answer([:])]].allSatisfy { messages in
            guard let text = text(messages) else { return false }
            return (try? template.rendering(messages, opensAnswer: true))?.text == text
        }
    }

    /// The openings that are written behind an answer, the longest first; nil where they cannot be told from the answer's end.
    func openings() -> [String]? {
        let lists: [JSONValue?] = [nil, [Self.tool]]
        let found = lists.compactMap { opening(tools: $0) }
        guard !found.isEmpty else { return nil }
        return Set(found).subtracting([""]).sorted { $0.utf8.count > $1.utf8.count }
    }

    /// Behind an answer stand its end and the opening, before a further question the same end and the question's header. What both begin
    /// with is the end, up to the word or marker that every header begins with: the one at the beginning of the whole text.
    ///
    /// - Returns: Nothing where the template opens none; nil where it cannot be told.
    private func opening(tools: JSONValue?) -> String? {
        let asked = [Self.question, Self.answer([:])]
        guard let closed = text(asked, tools: tools), let behind = closed.behind("AnswerProbe"),
            let between = text(asked + [Self.laterQuestion], tools: tools)?.behind("AnswerProbe"),
            let header = between.firstRange(ofBytes: "LaterProbe")
        else { return nil }
        let written = pieces(of: behind)
        let shared = zip(written, pieces(of: String(between[..<header.lowerBound]))).prefix { $0 == $1 }
        guard shared.count < written.count else { return "" }
        let starts = headerStarts(of: String(closed.unicodeScalars.prefix(400)))
        let end = shared.prefix { !starts.contains($0.0) }.count
        return written.dropFirst(end).joined()
    }

    /// The markers that a text begins with, or its first word.
    private func headerStarts(of text: String) -> Set<String> {
        let parts = pieces(of: text).drop { $0.allSatisfy(\.isWhitespace) }
        let markers = parts.prefix { template.isMarker($0) }
        return Set(markers.isEmpty ? parts.prefix(1) : markers).subtracting([template.endToken ?? ""])
    }

    /// A text in markers, white space scalar by scalar, and words.
    private func pieces(of text: String) -> [String] {
        var pieces: [String] = []
        var word = ""
        var rest = text.unicodeScalars[...]
        func closeWord() {
            if !word.isEmpty { pieces.append(word) }
            word = ""
        }
        while let first = rest.first {
            let marker = template.marker(at: rest)
            guard marker != nil || first.properties.isWhitespace else {
                word.unicodeScalars.append(rest.removeFirst())
                continue
            }
            closeWord()
            pieces.append(marker ?? String(first))
            rest = rest.dropFirst(marker?.unicodeScalars.count ?? 1)
        }
        closeWord()
        return pieces
    }
}

extension OwnTemplate {
    /// Longest marker that is not a token of its own.
    private static let longestMarker = 40

    fileprivate func isMarker(_ piece: String) -> Bool {
        marker(at: piece.unicodeScalars[...])?.unicodeScalars.count == piece.unicodeScalars.count
    }

    /// The added token, or else the word between angle brackets, that a text begins with.
    fileprivate func marker(at text: Substring.UnicodeScalarView) -> String? {
        guard let first = text.first else { return nil }
        let token = markers[first]?.first { text.starts(with: $0.unicodeScalars) }
        if let token { return token }
        guard first == "<" else { return nil }
        let inner = text.dropFirst().prefix(Self.longestMarker).prefix {
            $0 != "<" && $0 != ">" && !$0.properties.isWhitespace
        }
        guard !inner.isEmpty, inner.endIndex < text.endIndex, text[inner.endIndex] == ">" else { return nil }
        return "<" + String(inner) + ">"
    }
}

extension String {
    fileprivate func hasByteSuffix(_ suffix: String) -> Bool {
        utf8.reversed().starts(with: suffix.utf8.reversed())
    }

    /// What follows the first place of a word; nil where it does not occur.
    fileprivate func behind(_ word: String) -> String? {
        firstRange(ofBytes: word).map { String(self[$0.upperBound...]) }
    }
}
