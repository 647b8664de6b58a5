import LFDiagnostics

/// The common ways to cut text into words, as a hand-written scanner does it and as Oniguruma does it.
package struct PatternComparison: Sendable {
    package let name: String
    private let pattern: KnownPattern
    private let regexes: [OnigurumaRegex]

    /// Every pattern that has a scanner.
    package static var all: [PatternComparison] {
        get throws(UserError) {
            var comparisons: [PatternComparison] = []
            for (name, pattern) in [
                ("GPT-2", KnownPattern.gpt2), ("Llama 3", .llama3(digits: 3)), ("Qwen 2", .llama3(digits: 1)),
                ("o200k", .o200k(digits: 3, contractions: true)),
                ("tekken", .o200k(digits: 1, contractions: false)),
                ("DeepSeek", .deepSeek),
            ] {
                let expressions = pattern.expression.map { [$0] } ?? KnownPattern.deepSeekPatterns
                var regexes: [OnigurumaRegex] = []
                for expression in expressions { regexes.append(try OnigurumaRegex(expression, source: name)) }
                comparisons.append(PatternComparison(name: name, pattern: pattern, regexes: regexes))
            }
            return comparisons
        }
    }

    /// Ranges of bytes.
    package func wordsByScanner(_ text: String) -> [Range<Int>] {
        var text = text
        return text.withUTF8 { pattern.words(of: UTF8Text($0)) }
    }

    /// Ranges of bytes.
    package func wordsByOniguruma(_ text: String) -> [Range<Int>] {
        var text = text
        return text.withUTF8 { bytes in
            let text = UTF8Text(bytes)
            var words = text.count > 0 ? [0..<text.count] : []
            for regex in regexes {
                words = words.flatMap { word in
                    SplitBehavior.isolated.pieces(regex.matches(in: text.slice(word)), count: word.count)
                        .map { word.lowerBound + $0.lowerBound..<word.lowerBound + $0.upperBound }
                }
            }
            return words
        }
    }
}
