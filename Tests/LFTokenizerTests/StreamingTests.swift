import Foundation
import LFJSON
import LFTokenizer
import Testing

@Suite struct StreamingTests {
    private func stream(_ tokenizer: Tokenizer, _ ids: [Int32], skip: Bool) -> [String] {
        var decoder = StreamingDecoder(tokenizer, skipSpecialTokens: skip)
        return ids.map { decoder.append($0) } + [decoder.finish()]
    }

    @Test(arguments: ["llama3", "qwen2", "llama2", "gemma"])
    func piecesMakeTheWholeText(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        let recorded = try JSONValue.read(path: "\(golden)/tokenizer_goldens/\(kind).json")
        let isByteLevel = kind == "llama3" || kind == "qwen2"
        for key in ["cases", "decode_only"] {
            for entry in try #require(recorded[key]?.array) {
                let ids = try #require((entry["ids_with_special"] ?? entry["ids"])?.array)
                    .map { Int32(try #require($0.int)) }
                for skip in [false, true] {
                    let whole = tokenizer.decode(ids, skipSpecialTokens: skip)
                    let pieces = stream(tokenizer, ids, skip: skip)
                    if isByteLevel || !whole.contains("\u{FFFD}") {
                        #expect(pieces.joined() == whole, "\(JSONValue.literal(whole))")
                    }
                    if !whole.contains("\u{FFFD}") {
                        #expect(pieces.allSatisfy { !$0.contains("\u{FFFD}") })
                    }
                }
            }
        }
    }

    /// A text that goes on from another has the blank of its first word: both together are the whole, wherever they part.
    @Test(arguments: ["llama3", "qwen2", "llama2", "gemma"])
    func aTextGoesOnFromAnother(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        var blanks = 0
        for text in [
            "The ferry leaves at nine.", " two  blanks", "Löwe 渡し船 \u{1F9FF} end", "a\n\n b", "x", "",
        ] {
            for special in [true, false] {
                let ids = try tokenizer.encode(text, addSpecialTokens: special)
                for skip in [true, false] {
                    for place in 0...ids.count {
                        let front = Array(ids[..<place])
                        let before = tokenizer.decode(front, skipSpecialTokens: skip)
                        // Half a character is nobody's.
                        guard before.unicodeScalars.last != "\u{FFFD}" else { continue }
                        var decoder = StreamingDecoder(tokenizer, skipSpecialTokens: skip, behind: front)
                        let rest = ids[place...].map { decoder.append($0) }.joined() + decoder.finish()
                        #expect(
                            before + rest == tokenizer.decode(ids, skipSpecialTokens: skip),
                            "\(kind) \(place)")
                        if place > 1, rest.hasPrefix(" ") { blanks += 1 }
                    }
                }
            }
        }
        #expect(blanks > 10)
        // Half a character before it does not keep the text back.
        let halves = try tokenizer.encode("\u{1F9FF}", addSpecialTokens: false)
        let word = try tokenizer.encode("a ferry", addSpecialTokens: false)
        if halves.count > 2 {
            var decoder = StreamingDecoder(
                tokenizer, skipSpecialTokens: true, behind: Array(halves.dropLast()))
            let rest = word.map { decoder.append($0) }.joined() + decoder.finish()
            #expect(rest.hasSuffix("ferry"), "\(kind) \(rest)")
        }
    }

    @Test func waitsForWholeCharacters() throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/llama3")
        let ids = try tokenizer.encode("a\u{1F9FF}b")
        let pieces = stream(tokenizer, ids, skip: true)
        #expect(pieces.count > 4)
        #expect(pieces.filter { !$0.isEmpty } == ["a", "\u{1F9FF}", "b"])
    }

    /// Tokens one by one have the bytes of their text, spaces and halves of characters included.
    @Test(arguments: ["llama3", "qwen2", "llama2", "gemma"])
    func bytesOfTokensMakeTheText(kind: String) throws {
        let tokenizer = try Tokenizer.load(directory: "\(golden)/tokenizers/\(kind)")
        for text in ["The ferry leaves, a tide a. ", "\u{1F9FF} Löwe 渡し船", "<0x41> b", "x"] {
            let ids = try tokenizer.encode(text, addSpecialTokens: false)
            let bytes = ids.flatMap { tokenizer.bytes(of: $0) }
            // SentencePiece puts a space before a text.
            #expect(bytes == Array(text.utf8) || bytes == Array((" " + text).utf8), "\(kind) \(text)")
        }
        let halves = try tokenizer.encode("\u{1F9FF}", addSpecialTokens: false).map {
            tokenizer.spelling(of: $0)
        }
        let spelled = halves.joined().replacingOccurrences(of: " ", with: "").replacingOccurrences(
            of: "▁", with: "")
        #expect(spelled == #"\xf0\x9f\xa7\xbf"# || halves.last == "\u{1F9FF}", "\(halves)")
        #expect(tokenizer.bytes(of: -1).isEmpty && tokenizer.bytes(of: 1_000_000).isEmpty)
    }

    @Test func stopsAtTheFirstStopString() {
        var stops = StopStrings(["</s>", "\nUser", ""])
        #expect(stops.append("Hello <") == "Hello ")
        #expect(stops.append("b></") == "<b>")
        #expect(stops.append("s") == "")
        #expect(!stops.isStopped)
        #expect(stops.append("> more") == "")
        #expect(stops.isStopped)
        #expect(stops.append("and more") == "")
        #expect(stops.finish() == "")

        stops = StopStrings(["\nUser"])
        #expect(stops.append("one\nUs") == "one")
        #expect(stops.append("age\nUserX") == "\nUsage")
        #expect(stops.isStopped)

        stops = StopStrings(["é!"])
        #expect(stops.append("caf\u{E9}") == "caf")
        #expect(stops.finish() == "é")
        #expect(!stops.isStopped)
    }
}
