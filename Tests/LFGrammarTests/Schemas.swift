import LFGrammar
import LFJSON
import Testing

/// A schema in JSON's own words.
func json(_ text: String) throws -> JSONValue { try JSONValue.parse(text, source: "schema") }

func grammar(_ schema: String, thought: AnswerGrammar.Thought? = nil) throws -> Grammar {
    try AnswerGrammar([.value(try json(schema), place: [])], thought: thought).grammar()
}

/// Tokens that are single bytes, and some of several.
let vocabulary: [[UInt8]] = {
    var tokens = (0...255).map { [UInt8($0)] }
    let words = [
        "{\"", "\":", "\": \"", "\", \"", "\"}", "true", "false", "null", ", ", "],", "}, {", "name", "\n  ",
        "0.", "12", "-1", "é", "日本", "\\u00", "\\\"", "[]", "{}", "a", "\"a\": ", "ab", "</", "think>",
    ]
    tokens += words.map { Array($0.utf8) }
    // Parts of characters: the first half of one, and the second with what follows.
    tokens += [[0xF0, 0x9F], [0x98, 0x80, 0x22], [0xE6, 0x97], [0xC3], []]
    return tokens
}()

/// Whether a whole text belongs to a grammar.
func takes(_ grammar: Grammar, _ text: String) throws -> Bool {
    var matcher = try GrammarMatcher(GrammarAutomaton(grammar, TokenBytes([])))
    return try matcher.read(text.utf8) && matcher.mayEnd
}

/// Draws a text from a grammar, tokens by chance, those that close something more often than others.
///
/// - Returns: nil for a text that has not come to its end.
func drawn<G: RandomNumberGenerator>(
    _ automaton: GrammarAutomaton, _ random: inout G, most: Int = 300
) throws -> [UInt8]? {
    var matcher = try GrammarMatcher(automaton)
    var text: [UInt8] = []
    for count in 0..<most {
        if matcher.isOver || (matcher.mayEnd && Int.random(in: 0..<4, using: &random) == 0) { return text }
        let mask = try matcher.mask()
        let allowed = vocabulary.indices.filter { mask[$0 / 64] & (1 << UInt64($0 % 64)) != 0 }
        let closing = allowed.filter { vocabulary[$0].count == 1 && "\"}],".utf8.contains(vocabulary[$0][0]) }
        let prefersEnd = !closing.isEmpty && Int.random(in: 0..<most, using: &random) < most / 3 + count
        let token = try #require((prefersEnd ? closing : allowed).randomElement(using: &random))
        try matcher.advance(by: Int32(token))
        text += vocabulary[token]
    }
    return matcher.mayEnd ? text : nil
}

/// A stream of numbers that is the same every time (Steele et al. 2014, SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
