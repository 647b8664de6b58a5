import LFDiagnostics

/// Texts that are partly a template's and partly a message's, for `split_special_tokens`: the template's special tokens
/// are found, those that a message spells are tokenized as any other text.
extension Tokenizer {
    /// Whether text that spells a special token is tokenized as any other text (`split_special_tokens`).
    public var splitsSpecialTokens: Bool { added.splitsSpecialTokens }

    /// The text with `mark` inside each special token that it spells, so that none is found there any more.
    ///
    /// - Parameters:
    ///   - mark: A character that the text does not hold.
    ///   - kept: Tokens that stay whole.
    public func breakingSpecialTokens(
        in text: String, with mark: Unicode.Scalar, except kept: [String] = []
    ) -> String {
        var text = text
        let markBytes = Array(String(mark).utf8)
        // A token can begin inside another one, and is found once that one is broken.
        while true {
            let places = text.withUTF8 { added.breakingPoints(in: UTF8Text($0), except: Set(kept)) }
            if places.isEmpty { return text }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.utf8.count + places.count * markBytes.count)
            var done = 0
            text.withUTF8 { old in
                for place in places {
                    bytes += old[done..<place]
                    bytes += markBytes
                    done = place
                }
                bytes += old[done...]
            }
            text = String(decoding: bytes, as: UTF8.self)
        }
    }

    /// The ids of a text in which special tokens are found even where the tokenizer splits them.
    ///
    /// - Parameter mark: What `breakingSpecialTokens` put into the tokens that are to be split; it gets no id.
    /// - Throws: A `UserError` where the model needs an unknown token that it does not have.
    public func encode(_ text: String, brokenBy mark: Unicode.Scalar) throws -> [Int32] {
        let scratch = EncoderScratch()
        let markBytes = Array(String(mark).utf8)
        var ids: [Int32] = []
        var text = text
        text.withUTF8 { bytes in
            let text = UTF8Text(bytes)
            for segment in added.segments(of: text, normalized: false, splitting: false) {
                if let id = segment.id {
                    ids.append(id)
                } else {
                    encode(
                        text.slice(segment.range), start: segment.range.lowerBound, without: markBytes,
                        into: &ids, scratch)
                }
            }
        }
        try checkUnknown(scratch)
        return ids
    }

    private func encode(
        _ text: UTF8Text, start: Int, without mark: [UInt8], into ids: inout [Int32],
        _ scratch: EncoderScratch
    ) {
        var normalized = NormalizedText(
            text, originalStart: start, tracksOffsets: preTokenizer?.asksForStart ?? false)
        normalizer?.apply(to: &normalized)
        let segments = normalized.withText { added.segments(of: $0, normalized: true, splitting: false) }
        for segment in segments {
            if let id = segment.id {
                ids.append(id)
                continue
            }
            var part = segments.count == 1 ? normalized : normalized.slice(segment.range)
            let marks = part.withText { SplitPattern.string(mark).matches(in: $0) }
            part.replace(marks, by: [])
            var pieces = PreTokenizedText(part)
            preTokenizer?.apply(to: &pieces)
            pieces.text.withText { text in
                for piece in pieces.pieces {
                    wordEncoder.encodePiece(text.slice(piece), into: &ids, scratch)
                }
            }
        }
    }
}

extension AddedVocabulary {
    /// A place inside each special token that text spells, behind its first character; those of one character have none.
    fileprivate func breakingPoints(in text: UTF8Text, except kept: Set<String>) -> [Int] {
        var places: Set<Int> = []
        for matcher in [matcher, normalizedMatcher] {
            var searchFrom = 0
            while let match = matcher.firstMatch(in: text, from: searchFrom) {
                searchFrom = match.range.upperBound
                guard let token = tokensByID[match.id], isSpecial(token.content),
                    !kept.contains(token.content)
                else { continue }
                let place = match.range.lowerBound + text.scalar(at: match.range.lowerBound).length
                if place < match.range.upperBound { places.insert(place) }
            }
        }
        return places.sorted()
    }
}
