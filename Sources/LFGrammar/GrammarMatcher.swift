package import LFDiagnostics

/// Where an answer stands in a grammar.
package struct GrammarMatcher {
    private var automaton: GrammarAutomaton
    private var place: Int32

    /// - Throws: `UserError` where the grammar is too ambiguous.
    package init(_ automaton: GrammarAutomaton) throws(UserError) {
        self.automaton = automaton
        place = try automaton.start()
    }

    /// Whether the answer may end here.
    package var mayEnd: Bool { automaton.mayEnd(place) }
    /// Whether the answer can only end here.
    package var isOver: Bool { !automaton.mayGoOn(place) }

    /// The tokens that may come next, a bit each in words of 64; the end of the text is not among them.
    ///
    /// - Throws: `UserError` where there are none and the text may not end, and where the grammar is too ambiguous.
    package mutating func mask() throws(UserError) -> [UInt64] {
        if automaton.isFull { (automaton, place) = automaton.moved(place) }
        let mask = try automaton.mask(place)
        guard mayEnd || mask.contains(where: { $0 != 0 }) else {
            throw UserError(
                .failedRun, "The model has no token that goes on with what the schema asks for.",
                remedy: "Keep to characters in the schema that the tokenizer knows.")
        }
        return mask
    }

    /// Takes the token that was chosen, which was among those of the mask.
    package mutating func advance(by token: Int32) throws(UserError) {
        place = try automaton.advanced(place, by: automaton.vocabulary.bytes(of: token))
    }

    /// Takes a text; whether it can be part of an answer.
    package mutating func read(_ text: some Sequence<UInt8>) throws(UserError) -> Bool {
        place = try automaton.advanced(place, by: text)
        return place != GrammarAutomaton.dead
    }
}
