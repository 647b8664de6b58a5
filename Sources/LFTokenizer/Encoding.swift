/// Token ids and the stretches of text that they stand for.
public struct Encoding: Sendable, Equatable {
    public var ids: [Int32]
    /// Per id a range of characters (Unicode scalars, as Python counts) of the text; empty for tokens that were added
    /// around it.
    public var offsets: [Range<Int>]

    /// Turns ranges of bytes into ranges of characters, and leaves spaces out where the tokenizer says so.
    struct Builder {
        private(set) var encoding = Encoding(ids: [], offsets: [])
        private let trimmings: [PostProcessor.OffsetTrimming]
        /// Per byte the number of the character that it belongs to, and at the end the number of characters.
        private var characters: [Int32] = []

        init(_ text: UTF8Text, trimmings: [PostProcessor.OffsetTrimming]) {
            self.trimmings = trimmings
            characters.reserveCapacity(text.count + 1)
            var number: Int32 = 0
            text.forEachScalar { _, range in
                for _ in range { characters.append(number) }
                number += 1
            }
            characters.append(number)
        }

        /// - Parameter token: The token's text, whose spaces count for trimming.
        mutating func append(_ id: Int32, _ bytes: Range<Int>, token: UTF8Text) {
            var range = characterRange(bytes)
            for trimming in trimmings {
                range = trimmed(range, token, trimming, isFirst: encoding.ids.isEmpty)
            }
            encoding.ids.append(id)
            encoding.offsets.append(range)
        }

        private func characterRange(_ bytes: Range<Int>) -> Range<Int> {
            let start = Int(characters[bytes.lowerBound])
            guard bytes.upperBound < characters.count - 1 else {
                return start..<max(start, Int(characters[characters.count - 1]))
            }
            return start..<Int(characters[bytes.upperBound])
        }

        private func trimmed(
            _ range: Range<Int>, _ token: UTF8Text, _ trimming: PostProcessor.OffsetTrimming, isFirst: Bool
        ) -> Range<Int> {
            var spaces: [Bool] = []
            token.forEachScalar { scalar, _ in
                // U+0120 stands for the space in GPT-2's alphabet.
                spaces.append(
                    scalar == 0x120 || CharacterClasses.ofScalar(scalar) & CharacterClasses.whitespace != 0)
            }
            var leading = spaces.prefix { $0 }.count
            let trailing = spaces.reversed().prefix { $0 }.count
            var start = range.lowerBound
            var end = range.upperBound
            if leading > 0 {
                // The space that was put before the text is none of its characters.
                if isFirst || start == 0, trimming.addsPrefixSpace, leading == 1 { leading = 0 }
                start = min(start + leading, end)
            }
            if trailing > 0, end >= trailing { end = max(end - trailing, start) }
            return start..<end
        }
    }
}

extension PostProcessor {
    func process(_ encoding: Encoding) -> Encoding {
        if single == [.text] { return encoding }
        var output = Encoding(ids: [], offsets: [])
        for piece in single {
            switch piece {
            case .text:
                output.ids += encoding.ids
                output.offsets += encoding.offsets
            case .special(let special):
                output.ids += special
                output.offsets += repeatElement(0..<0, count: special.count)
            }
        }
        return output
    }
}
