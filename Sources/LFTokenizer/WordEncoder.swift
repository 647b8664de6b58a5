/// Encodes pieces of text and remembers the ids of words; for common tokenizers it also finds the words without the
/// steps in between.
///
/// It gives the same ids as the steps that it leaves out.
final class WordEncoder: Sendable {
    private enum Shortcut: Sendable {
        /// The words of a pattern, written in GPT-2's byte alphabet.
        case bytes(BPEModel, KnownPattern)
        /// The whole text is one piece, with spaces replaced by the mark.
        case metaspace(mark: [UInt8], MetaspacePrepending)
    }

    private let model: Model
    private let normalizer: Normalizer?
    private let shortcut: Shortcut?
    /// Where pieces can be cut because no merge reaches across.
    private let borders: WordBorders?

    init(model: Model, normalizer: Normalizer?, preTokenizer: PreTokenizer?) {
        self.model = model
        self.normalizer = normalizer
        switch (model, preTokenizer) {
        case (.bpe(let model), .byteLevel(addsPrefixSpace: false, splits: true)):
            shortcut = .bytes(model, .gpt2)
        case (.bpe(let model), .sequence(let parts)) where parts.count == 2:
            if case .split(.words(let pattern), .isolated, inverted: false) = parts[0],
                case .byteLevel(addsPrefixSpace: false, splits: false) = parts[1]
            {
                shortcut = .bytes(model, pattern)
            } else {
                shortcut = nil
            }
        case (_, .metaspace(_, let prepends, splits: false)) where normalizer == nil:
            shortcut = Self.mark(of: nil, preTokenizer).map { .metaspace(mark: $0, prepends) }
        default: shortcut = nil
        }
        // Words in the byte alphabet are short as they are.
        if case .bpe(let model) = model, !Self.isBytes(shortcut) {
            borders = WordBorders(model, mark: Self.mark(of: normalizer, preTokenizer))
        } else {
            borders = nil
        }
    }

    private static func isBytes(_ shortcut: Shortcut?) -> Bool {
        if case .bytes = shortcut { true } else { false }
    }

    /// What spaces are replaced by.
    private static func mark(of normalizer: Normalizer?, _ preTokenizer: PreTokenizer?) -> [UInt8]? {
        if case .metaspace(let replacement, _, _) = preTokenizer {
            var mark: [UInt8] = []
            mark.append(scalar: replacement)
            return mark
        }
        switch normalizer {
        case .replace(.string([0x20]), let mark): return mark
        case .sequence(let normalizers): return normalizers.lazy.compactMap { Self.mark(of: $0, nil) }.first
        default: return nil
        }
    }

    /// Appends the ids of a text between tokens, where there is a short way that starts with the text as it is.
    ///
    /// - Parameter startsText: Whether the text is the start of the whole.
    /// - Returns: False where there is none.
    func encodeDirectly(
        _ text: UTF8Text, startsText: Bool, into output: inout [Int32], _ scratch: EncoderScratch
    ) -> Bool {
        switch shortcut {
        case .bytes:
            switch normalizer {
            case nil: break
            case .form(.nfc): if NormalizationData.mayChangeInNFC(text) { return false }
            default: return false
            }
            return encodeNormalized(text, into: &output, scratch)
        case .metaspace(let mark, let prepends):
            var replaced: [UInt8] = []
            replaced.reserveCapacity(text.count + text.count / 2 + 8)
            let hasMark = text.buffer.first == 0x20 || text.buffer.starts(with: mark)
            if !hasMark, prepends == .always || prepends == .first && startsText { replaced += mark }
            for byte in text.buffer {
                if byte == 0x20 { replaced.append(contentsOf: mark) } else { replaced.append(byte) }
            }
            replaced.withUnsafeBufferPointer { encodePiece(UTF8Text($0), into: &output, scratch) }
            return true
        case nil: return false
        }
    }

    /// Appends the ids of a normalized text between tokens, where there is a short way; returns false where there is
    /// none.
    func encodeNormalized(_ text: UTF8Text, into output: inout [Int32], _ scratch: EncoderScratch) -> Bool {
        guard case .bytes(let model, let pattern) = shortcut else { return false }
        pattern.forEachWord(of: text) { range in
            encode(text.slice(range), into: &output, scratch) { word, output in
                model.encodeBytes(word.buffer, into: &output, scratch)
            }
        }
        return true
    }

    /// Appends the ids of a piece that the pre-tokenizer made.
    func encodePiece(_ piece: UTF8Text, into output: inout [Int32], _ scratch: EncoderScratch) {
        var start = 0
        while start < piece.count {
            let end = borders?.endOfWord(in: piece, from: start) ?? piece.count
            encode(piece.slice(start..<end), into: &output, scratch) { word, output in
                model.encode(word, into: &output, scratch)
            }
            start = end
        }
    }

    @inline(__always)
    private func encode(
        _ word: UTF8Text, into output: inout [Int32], _ scratch: EncoderScratch,
        _ encodeUnknown: (UTF8Text, inout [Int32]) -> Void
    ) {
        guard word.count <= WordCache.maximumBytes else { return encodeUnknown(word, &output) }
        let key = WordCache.Key(word.buffer)
        if scratch.cache.appendIDs(of: key, byteCount: word.count, to: &output) { return }
        let start = output.count
        encodeUnknown(word, &output)
        if scratch.missesUnknown { return }
        scratch.cache.insert(key, byteCount: word.count, idsFrom: start, of: output)
    }
}
