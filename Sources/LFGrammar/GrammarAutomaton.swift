import LFDiagnostics

/// Follows a grammar byte by byte. What it finds out is kept: a configuration, all the ways in which a text can have come about so far, has a number,
/// and steps between configurations are a table that grows as they are made.
///
/// One thread at a time may use it.
package final class GrammarAutomaton {
    /// A place in the grammar with the places to return to behind it.
    private struct Stack: Hashable {
        /// The stack to return to; -1 for none.
        var parent: Int32
        var state: Int32
        /// How often a loop's rule has been read.
        var count: Int32 = 0
    }

    private struct Configuration {
        /// In order; the first one is -1 where the text may end.
        var stacks: [Int32]
        /// By byte; -1 where nobody has asked yet.
        var steps: [Int32]?
    }

    let grammar: Grammar
    let vocabulary: TokenBytes
    private var stacks: [Stack] = []
    private var stackIDs: [Stack: Int32] = [:]
    private var configurations: [Configuration] = []
    private var configurationIDs: [[Int32]: Int32] = [:]
    private var masks: [Int32: [UInt64]] = [:]
    /// Work that the current mask may yet take.
    private var budget = 0
    /// Takes this one's place when its tables are full.
    private var successor: GrammarAutomaton?

    /// The configuration that no text goes on from.
    static let dead: Int32 = 0
    /// Work per mask or token: some tenths of a second.
    private static let greatestWork = 500_000
    private static let greatestStackCount = 20_000

    package init(_ grammar: Grammar, _ vocabulary: TokenBytes) {
        self.grammar = grammar
        self.vocabulary = vocabulary
        _ = configuration([])
    }

    /// Whether so much has been found out that it is to be forgotten.
    package var isFull: Bool {
        stacks.count > 200_000 || configurations.count > 20_000
            || masks.count * vocabulary.wordCount > 8 << 20
    }

    /// - Returns: The configuration of a text without bytes.
    func start() throws(UserError) -> Int32 {
        budget = Self.greatestWork
        return try closure([Stack(parent: -1, state: grammar.start)])
    }

    func mayEnd(_ configuration: Int32) -> Bool {
        configurations[Int(configuration)].stacks.first == -1
    }

    func mayGoOn(_ configuration: Int32) -> Bool {
        configurations[Int(configuration)].stacks.last ?? -1 >= 0
    }

    /// The same configuration in a successor's tables.
    func moved(_ configuration: Int32) -> (GrammarAutomaton, Int32) {
        let next = successor ?? GrammarAutomaton(grammar, vocabulary)
        successor = next
        let ids = configurations[Int(configuration)].stacks.map { $0 < 0 ? $0 : copied($0, to: next) }
        return (next, next.configuration(ids.sorted()))
    }

    private func copied(_ stack: Int32, to other: GrammarAutomaton) -> Int32 {
        var chain: [Stack] = []
        var place = stack
        while place >= 0 {
            chain.append(stacks[Int(place)])
            place = stacks[Int(place)].parent
        }
        var parent: Int32 = -1
        for link in chain.reversed() {
            parent = other.id(Stack(parent: parent, state: link.state, count: link.count))
        }
        return parent
    }

    // MARK: Steps

    /// The configuration behind a token's bytes.
    func advanced(_ configuration: Int32, by bytes: some Sequence<UInt8>) throws(UserError) -> Int32 {
        budget = Self.greatestWork
        var place = configuration
        for byte in bytes { place = try step(place, byte) }
        return place
    }

    /// A bit for each token that the text can go on with.
    func mask(_ configuration: Int32) throws(UserError) -> [UInt64] {
        if let known = masks[configuration] { return known }
        budget = Self.greatestWork
        var mask = [UInt64](repeating: 0, count: vocabulary.wordCount)
        var places = [Int32](repeating: Self.dead, count: vocabulary.depth + 1)
        places[0] = configuration
        var index = 0
        while index < vocabulary.nodes.count {
            let node = vocabulary.nodes[index]
            let depth = Int(node.depth)
            let place = try step(places[depth - 1], node.byte)
            guard place != Self.dead else {
                index = Int(node.next)
                continue
            }
            places[depth] = place
            for token in vocabulary.tokens[Int(node.firstToken)..<Int(node.lastToken)] {
                mask[Int(token) >> 6] |= 1 << UInt64(token & 63)
            }
            index += 1
        }
        masks[configuration] = mask
        return mask
    }

    private func step(_ configuration: Int32, _ byte: UInt8) throws(UserError) -> Int32 {
        if let known = configurations[Int(configuration)].steps?[Int(byte)], known >= 0 { return known }
        var reached: [Stack] = []
        for id in configurations[Int(configuration)].stacks where id >= 0 {
            let stack = stacks[Int(id)]
            for edge in grammar.states[Int(stack.state)].edges
            where edge.first <= byte && byte <= edge.last {
                reached.append(Stack(parent: stack.parent, state: edge.target))
            }
        }
        budget -= configurations[Int(configuration)].stacks.count
        let next = reached.isEmpty ? Self.dead : try closure(reached)
        if configurations[Int(configuration)].steps == nil {
            configurations[Int(configuration)].steps = Array(repeating: -1, count: 256)
        }
        configurations[Int(configuration)].steps?[Int(byte)] = next
        return next
    }

    /// All places that are reached without reading.
    private func closure(_ places: [Stack]) throws(UserError) -> Int32 {
        var work = places
        var visited: Set<Stack> = []
        var reading: [Int32] = []
        var mayEnd = false
        while let place = work.popLast() {
            guard visited.insert(place).inserted else { continue }
            budget -= 1
            guard budget > 0, reading.count < Self.greatestStackCount else {
                throw UserError(
                    .failedRun,
                    "The schema can be followed in too many ways at once.",
                    remedy: "Simplify its patterns, its alternatives and its bounds of repetition.")
            }
            let state = grammar.states[Int(place.state)]
            if !state.edges.isEmpty { reading.append(id(place)) }
            for target in state.jumps { work.append(Stack(parent: place.parent, state: target)) }
            for call in state.calls {
                // Who only returns is not returned to.
                let parent =
                    grammar.states[Int(call.back)].onlyReturns
                    ? place.parent : id(Stack(parent: place.parent, state: call.back))
                work.append(Stack(parent: parent, state: call.rule))
            }
            if let loop = state.loop { add(loop, place, to: &work) }
            if state.isEnd {
                if place.parent < 0 { mayEnd = true } else { work.append(stacks[Int(place.parent)]) }
            }
        }
        reading.sort()
        return configuration(mayEnd ? [-1] + reading : reading)
    }

    private func add(_ loop: Grammar.Loop, _ place: Stack, to work: inout [Stack]) {
        if place.count < loop.most {
            // Without a bound, counts beyond the least are alike.
            let count =
                loop.most == Grammar.Loop.endless ? min(place.count + 1, loop.least) : place.count + 1
            let parent = id(Stack(parent: place.parent, state: place.state, count: count))
            work.append(Stack(parent: parent, state: loop.rule))
        }
        if place.count >= loop.least { work.append(Stack(parent: place.parent, state: loop.exit)) }
    }

    // MARK: Numbers

    private func id(_ stack: Stack) -> Int32 {
        if let known = stackIDs[stack] { return known }
        let id = Int32(stacks.count)
        stacks.append(stack)
        stackIDs[stack] = id
        return id
    }

    private func configuration(_ stacks: [Int32]) -> Int32 {
        if let known = configurationIDs[stacks] { return known }
        let id = Int32(configurations.count)
        configurations.append(Configuration(stacks: stacks))
        configurationIDs[stacks] = id
        return id
    }
}
