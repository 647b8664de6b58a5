/// A short way through the pipeline for tokenizers whose words can be found in the text as it is.
///
/// It gives the same ids as the steps that it leaves out, and remembers the ids of words.
struct WordEncoder: Sendable {
    private enum Words: Sendable {
        /// A pattern's words, written in GPT-2's byte alphabet.
        case bytes(KnownPattern)
        /// The whole text is one word for the model, but no merge reaches across the start of a run of this character.
        case runs(of: [UInt8])
    }

    private let words: Words
    private let model: BPEModel
    private let normalizer: Normalizer?

    /// - Returns: Nil where there is no short way.
    init?(model: Model, normalizer: Normalizer?, preTokenizer: PreTokenizer?) {
        guard case .bpe(let model) = model else { return nil }
        self.model = model
        self.normalizer = normalizer
        if let pattern = Self.bytePattern(of: preTokenizer) {
            words = .bytes(pattern)
        } else if preTokenizer == nil, let mark = Self.wordMark(of: normalizer),
            model.neverMerges(across: mark)
        {
            words = .runs(of: mark)
        } else {
            return nil
        }
    }

    private static func bytePattern(of preTokenizer: PreTokenizer?) -> KnownPattern? {
        switch preTokenizer {
        case .byteLevel(addsPrefixSpace: false, splits: true): return .gpt2
        case .sequence(let parts) where parts.count == 2:
            guard case .split(.words(let pattern), .isolated, inverted: false) = parts[0],
                case .byteLevel(addsPrefixSpace: false, splits: false) = parts[1]
            else { return nil }
            return pattern
        default: return nil
        }
    }

    /// What spaces are replaced by.
    private static func wordMark(of normalizer: Normalizer?) -> [UInt8]? {
        switch normalizer {
        case .replace(.string([0x20]), let mark): return mark
        case .sequence(let normalizers): return normalizers.lazy.compactMap { wordMark(of: $0) }.first
        default: return nil
        }
    }

    /// Whether the normalizer leaves a text as it is.
    func leavesUnchanged(_ text: UTF8Text) -> Bool {
        switch normalizer {
        case nil: true
        case .form(.nfc): !NormalizationData.mayChangeInNFC(text)
        default: false
        }
    }

    /// Appends the ids of normalized text.
    func encode(_ text: UTF8Text, into output: inout [Int32], _ scratch: EncoderScratch) {
        switch words {
        case .bytes(let pattern):
            pattern.forEachWord(of: text) { range in
                encode(text.slice(range), into: &output, scratch) { word, output in
                    model.encodeBytes(word.buffer, into: &output, scratch)
                }
            }
        case .runs(let mark):
            var start = 0
            while start < text.count {
                let end = endOfWord(in: text, from: start, mark)
                encode(text.slice(start..<end), into: &output, scratch) { word, output in
                    model.encode(word, into: &output, ranges: nil, scratch)
                }
                start = end
            }
        }
    }

    /// A word ends before the first mark that comes after anything but a mark.
    private func endOfWord(in text: UTF8Text, from start: Int, _ mark: [UInt8]) -> Int {
        var position = start
        while isMark(in: text, at: position, mark) { position += mark.count }
        let first = mark[0]
        while position < text.count {
            if text[position] == first, isMark(in: text, at: position, mark) { return position }
            position += 1
        }
        return position
    }

    @inline(__always)
    private func isMark(in text: UTF8Text, at position: Int, _ mark: [UInt8]) -> Bool {
        guard position + mark.count <= text.count else { return false }
        for index in mark.indices where text[position + index] != mark[index] { return false }
        return true
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

extension BPEModel {
    /// Whether text may be cut before every run of a character without changing its ids: no merged token holds that
    /// character behind another one, and it is a symbol of its own, so that unknown characters do not join across it.
    func neverMerges(across mark: [UInt8]) -> Bool {
        guard !ignoresMerges, continuingPrefix.isEmpty, endOfWordSuffix.isEmpty, !mark.isEmpty,
            vocabulary.id(mark) != nil, String(decoding: mark, as: UTF8.self).unicodeScalars.count == 1
        else { return false }
        return merges.pairs.allSatisfy { left, right in
            guard let left = vocabulary.token(Int(left)), let right = vocabulary.token(Int(right)) else {
                return false
            }
            return !right.starts(with: mark) || left.suffix(mark.count).elementsEqual(mark)
        }
    }
}
