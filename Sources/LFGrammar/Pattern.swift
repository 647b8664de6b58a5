/// Why a pattern cannot be kept to.
struct PatternError: Error {
    let problem: String
}

/// A regular expression of the kind that JSON Schema has (ECMA-262), without what looks around or back.
struct Pattern {
    indirect enum Node {
        case set(CodePoints)
        case sequence([Node])
        case choice([Node])
        /// nil is without bound.
        case repeated(Node, least: Int, most: Int?)
    }

    /// One of the alternatives of the whole pattern. Where it is not anchored, anything may stand there.
    struct Alternative {
        var node: Node
        var isAnchoredAtStart: Bool
        var isAnchoredAtEnd: Bool
    }

    private(set) var alternatives: [Alternative] = []

    init(_ text: String) throws(PatternError) {
        var parser = PatternParser(text)
        repeat { alternatives.append(try parser.alternative()) } while parser.take("|")
        try parser.finish()
    }
}

extension GrammarBuilder {
    /// A string whose characters match a pattern.
    mutating func string(matching pattern: Pattern, from: Int32) -> Int32 {
        let opened = punctuation("\"", from: from)
        let last = state()
        for alternative in pattern.alternatives {
            var place = opened
            if !alternative.isAnchoredAtStart { place = loop(character(), 0, nil, from: place) }
            place = match(alternative.node, from: place)
            if !alternative.isAnchoredAtEnd { place = loop(character(), 0, nil, from: place) }
            edge("\"", from: place, to: last)
        }
        return last
    }

    private mutating func match(_ node: Pattern.Node, from: Int32) -> Int32 {
        switch node {
        case .set(let set):
            let next = state()
            character(of: set, from: from, to: next)
            return next
        case .sequence(let nodes): return nodes.reduce(from) { match($1, from: $0) }
        case .choice(let nodes):
            let exit = state()
            for node in nodes {
                let place = match(node, from: from)
                jump(from: place, to: exit)
            }
            return exit
        case .repeated(let node, let least, let most):
            return repeated(node, least, most, from: from)
        }
    }

    private mutating func repeated(_ node: Pattern.Node, _ least: Int, _ most: Int?, from: Int32) -> Int32 {
        if least <= 1, most == nil || (least == 0 && most == 1) {
            // A place of its own, to which what is repeated may come back.
            let start = state(), exit = state()
            jump(from: from, to: start)
            let behind = match(node, from: start)
            jump(from: behind, to: exit)
            if most == nil { jump(from: behind, to: start) }
            if least == 0 { jump(from: start, to: exit) }
            return exit
        }
        let rule = rule { $0.match(node, from: $1) }
        return loop(rule, least, most, from: from)
    }
}
