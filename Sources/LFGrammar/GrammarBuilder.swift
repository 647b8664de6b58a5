import LFDiagnostics

/// Builds a grammar state by state. Functions that read something take the state before it and return the one behind it.
struct GrammarBuilder {
    private(set) var states: [Grammar.State] = []
    /// Rules that many places share, by name.
    private var shared: [String: Int32] = [:]

    /// Most states of a grammar.
    static let greatestSize = 200_000

    var isTooLarge: Bool { states.count > Self.greatestSize }

    mutating func state() -> Int32 {
        states.append(Grammar.State())
        return Int32(states.count - 1)
    }

    mutating func end(_ state: Int32) { states[Int(state)].isEnd = true }

    mutating func edge(_ bytes: ClosedRange<UInt8>, from: Int32, to: Int32) {
        states[Int(from)].edges.append(
            Grammar.Edge(first: bytes.lowerBound, last: bytes.upperBound, target: to))
    }

    mutating func edge(_ byte: Unicode.Scalar, from: Int32, to: Int32) {
        let byte = UInt8(ascii: byte)
        edge(byte...byte, from: from, to: to)
    }

    mutating func jump(from: Int32, to: Int32) { states[Int(from)].jumps.append(to) }

    mutating func call(_ rule: Int32, from: Int32, to: Int32) {
        states[Int(from)].calls.append(Grammar.Call(rule: rule, back: to))
    }

    mutating func call(_ rule: Int32, from: Int32) -> Int32 {
        let back = state()
        call(rule, from: from, to: back)
        return back
    }

    /// Reads a rule `least` to `most` times; nil is without end.
    mutating func loop(_ rule: Int32, _ least: Int, _ most: Int?, from: Int32) -> Int32 {
        let loop = state(), exit = state()
        let most = most.map { Int32(clamping: $0) } ?? Grammar.Loop.endless
        states[Int(loop)].loop = Grammar.Loop(
            rule: rule, least: Int32(clamping: least), most: most, exit: exit)
        jump(from: from, to: loop)
        return exit
    }

    mutating func bytes(_ text: some Sequence<UInt8>, from: Int32) -> Int32 {
        var last = from
        for byte in text {
            let next = state()
            edge(byte...byte, from: last, to: next)
            last = next
        }
        return last
    }

    /// Reads one of some texts, which share their beginnings.
    mutating func oneOf(_ texts: [[UInt8]], from: Int32) -> Int32 {
        let exit = state(), root = state()
        jump(from: from, to: root)
        var children: [Int32: [UInt8: Int32]] = [:]
        for text in texts {
            var place = root
            for byte in text {
                if let next = children[place]?[byte] {
                    place = next
                } else {
                    let next = state()
                    edge(byte...byte, from: place, to: next)
                    children[place, default: [:]][byte] = next
                    place = next
                }
            }
            if !states[Int(place)].jumps.contains(exit) { jump(from: place, to: exit) }
        }
        return exit
    }

    /// A new rule, which `body` builds from its first state on.
    mutating func rule<E: Error>(_ body: (inout Self, Int32) throws(E) -> Int32) throws(E) -> Int32 {
        let first = state()
        end(try body(&self, first))
        return first
    }

    /// The rule of a name, built the first time.
    mutating func shared(_ name: String, _ body: (inout Self, Int32) -> Int32) -> Int32 {
        if let known = shared[name] { return known }
        let first = state()
        shared[name] = first
        let last = body(&self, first)
        end(last)
        return first
    }

    /// What was built, without states from which no text comes to an end.
    ///
    /// - Returns: nil where no text at all comes to an end.
    func grammar(from start: Int32, origin: String) -> Grammar? {
        let ends = endingStates()
        guard ends[Int(start)] else { return nil }
        let kept = states.map { state in
            var state = state
            state.edges.removeAll { !ends[Int($0.target)] }
            state.jumps.removeAll { !ends[Int($0)] }
            state.calls.removeAll { !ends[Int($0.rule)] || !ends[Int($0.back)] }
            if let loop = state.loop {
                if !ends[Int(loop.exit)] {
                    state.loop = nil
                } else if !ends[Int(loop.rule)] {
                    state.loop = nil
                    if loop.least == 0 { state.jumps.append(loop.exit) }
                }
            }
            return state
        }
        return Grammar(states: kept, start: start, origin: origin)
    }

    /// For each state whether its rule can end from there.
    private func endingStates() -> [Bool] {
        var ends = states.map(\.isEnd)
        var changes = true
        while changes {
            changes = false
            for index in states.indices.reversed() where !ends[index] {
                let state = states[index]
                let canEnd =
                    state.edges.contains { ends[Int($0.target)] } || state.jumps.contains { ends[Int($0)] }
                    || state.calls.contains { ends[Int($0.rule)] && ends[Int($0.back)] }
                    || state.loop.map { ends[Int($0.exit)] && ($0.least == 0 || ends[Int($0.rule)]) } ?? false
                if canEnd { (ends[index], changes) = (true, true) }
            }
        }
        return ends
    }
}
