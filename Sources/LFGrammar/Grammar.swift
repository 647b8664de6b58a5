/// A language of byte strings as a recursive transition network: states that read bytes, jump, and call one another.
///
/// A rule is the part of the network that is reached from its first state without following calls; it ends in its end states, and who called it
/// goes on. Rules may call themselves, as values within values do.
package struct Grammar: Sendable {
    /// Goes to a state for each byte of a range.
    struct Edge: Sendable {
        var first: UInt8
        var last: UInt8
        var target: Int32
    }

    /// Goes on at `back` when the rule has ended.
    struct Call: Sendable {
        var rule: Int32
        var back: Int32
    }

    /// Calls a rule at least and at most so many times and then goes on at `exit`.
    struct Loop: Sendable {
        static let endless = Int32.max

        var rule: Int32
        var least: Int32
        var most: Int32
        var exit: Int32
    }

    struct State: Sendable {
        var edges: [Edge] = []
        var jumps: [Int32] = []
        var calls: [Call] = []
        var loop: Loop?
        var isEnd = false

        /// Whether nothing is left to do but to return.
        var onlyReturns: Bool { isEnd && edges.isEmpty && jumps.isEmpty && calls.isEmpty && loop == nil }
    }

    let states: [State]
    let start: Int32
    /// What it was made of; grammars of equal origin are equal.
    package let origin: String
}
