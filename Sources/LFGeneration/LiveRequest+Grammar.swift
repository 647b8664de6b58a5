import LFDiagnostics
import LFGrammar
import LFTokenizer

extension LiveRequest {
    /// The tokens that may come next in each of its answers; nil where all may.
    ///
    /// - Throws: `UserError` where no token can go on with a grammar.
    func masks() throws(UserError) -> [[UInt64]?] {
        var masks: [[UInt64]?] = []
        for index in rows.indices {
            guard var matcher = rows[index].matcher else {
                masks.append(nil)
                continue
            }
            var mask = try matcher.mask()
            rows[index].matcher = matcher
            for token in options.stopTokens where mask.indices.contains(Int(token) >> 6) {
                let bit: UInt64 = 1 << UInt64(token & 63)
                if matcher.mayEnd { mask[Int(token) >> 6] |= bit } else { mask[Int(token) >> 6] &= ~bit }
            }
            masks.append(mask)
        }
        return masks
    }

    /// Takes an answer's token, one of its mask, to its place in the grammar; whether nothing can follow it.
    func completes(_ index: Int, _ token: Int32) -> Bool {
        // The mask has made these steps, so that none is beyond the grammar's bounds now.
        guard var matcher = rows[index].matcher, (try? matcher.advance(by: token)) != nil else {
            return false
        }
        rows[index].matcher = matcher
        return matcher.isOver
    }
}

/// The automata of the grammars that requests have brought, the last ones kept.
struct GrammarAutomata {
    private let tokenizer: Tokenizer
    private let vocabSize: Int
    private var vocabulary: TokenBytes?
    private var known: [(origin: String, automaton: GrammarAutomaton)] = []

    private static let keptCount = 8

    init(_ tokenizer: Tokenizer, vocabSize: Int) {
        self.tokenizer = tokenizer
        self.vocabSize = vocabSize
    }

    /// The beginning of a grammar.
    ///
    /// - Throws: `UserError` for a grammar that is too ambiguous.
    mutating func matcher(_ grammar: Grammar) throws(UserError) -> GrammarMatcher {
        let automaton: GrammarAutomaton
        if let index = known.firstIndex(where: { $0.origin == grammar.origin }) {
            automaton = known.remove(at: index).automaton
        } else {
            automaton = GrammarAutomaton(grammar, tokens())
        }
        let matcher = try GrammarMatcher(automaton)
        if !automaton.isFull { known.append((grammar.origin, automaton)) }
        if known.count > Self.keptCount { known.removeFirst() }
        return matcher
    }

    /// The bytes of all tokens that stand for text.
    private mutating func tokens() -> TokenBytes {
        if let vocabulary { return vocabulary }
        let special = tokenizer.specialIDs
        let bytes = (0..<Int32(min(tokenizer.idEnd, vocabSize))).map { id in
            special.contains(id) ? [] : tokenizer.bytes(of: id)
        }
        let tokens = TokenBytes(bytes)
        vocabulary = tokens
        return tokens
    }
}
