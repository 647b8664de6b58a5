import Foundation
import LFTokenizer
import Testing

@Suite struct WordScannerTests {
    /// How many random strings each scanner is tested with; set `LF_SCANNER_STRINGS=1000000` for a long run.
    private static let strings =
        ProcessInfo.processInfo.environment["LF_SCANNER_STRINGS"].flatMap { Int($0) } ?? 2500

    @Test func scannersCutAsOnigurumaDoes() throws {
        var generator = SplitMix(state: 7)
        let comparisons = try PatternComparison.all
        var differences = 0
        for number in 0..<Self.strings {
            let text = Self.randomText(&generator)
            for comparison in comparisons {
                let scanned = comparison.wordsByScanner(text)
                let expected = comparison.wordsByOniguruma(text)
                if scanned != expected {
                    differences += 1
                    if differences < 5 {
                        Issue.record(
                            "\(comparison.name), string \(number): \(text.debugDescription) \(scanned) \(expected)"
                        )
                    }
                }
            }
        }
        #expect(differences == 0)
    }

    @Test func wordsCoverTheText() throws {
        for comparison in try PatternComparison.all {
            #expect(comparison.wordsByScanner("") == [])
            let text = "Hello  world'LL\n\n 12345 \u{17F}'\u{17F} camelCaseHTTP日本カナ!x\u{1}\u{301}"
            let words = comparison.wordsByScanner(text)
            #expect(words.first?.lowerBound == 0)
            #expect(words.last?.upperBound == text.utf8.count)
            #expect(zip(words, words.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
        }
    }

    /// Text that is rich in borders: cases, digits, marks, spaces, contractions, scripts and unassigned characters.
    private static func randomText(_ generator: inout SplitMix) -> String {
        let pieces = [
            " ", "  ", "\n", "\r\n", "\t", "\u{A0}", "\u{3000}", "'s", "'S", "'\u{17F}", "'ll", "'Ve", "'",
            "a", "Z", "ab",
            "AB", "aB", "1", "12", "1234", "½", "٣", "é", "e\u{301}", "\u{301}", "日本", "カ", "한", "ǅ", "ʰ",
            "!", "...", "/",
            "_", "$", "😀", "\u{200D}", "\u{AD}", "\u{1}", "\u{E000}", "\u{378}",
        ]
        var text = ""
        for _ in 0..<Int(generator.next() % 14) + 1 {
            if generator.next() % 5 == 0 {
                var value = UInt32(generator.next() % 0x3_2400)
                if 0xD800..<0xE000 ~= value { value = 0x41 }
                if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
            } else {
                text += pieces[Int(generator.next() % UInt64(pieces.count))]
            }
        }
        return text
    }
}

/// A small random number generator with a seed (SplitMix64).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
