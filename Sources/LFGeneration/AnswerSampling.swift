import LFTorch

/// Chooses tokens for answers with different options in one go.
enum AnswerSampling {
    /// A row of scores and the answer that it belongs to.
    struct Place {
        let row: Int
        let live: LiveRequest
        let index: Int
        /// The tokens that may come; nil for all.
        var mask: [UInt64]?

        var options: GenerationOptions { live.options }
    }

    /// What must be equal for answers to be sampled together.
    private struct Key: Hashable {
        var doSample = false
        var temperature = 1.0
        var topK = 0
        var topP = 1.0
        var minP = 0.0
        var repetitionPenalty: Double
        var allowedTokens: [Int32]
        var isConstrained: Bool

        init(_ place: Place) {
            let options = place.options
            repetitionPenalty = options.repetitionPenalty
            allowedTokens = options.allowedTokens
            isConstrained = place.mask != nil
            guard options.doSample else { return }
            (doSample, temperature, topK) = (true, options.temperature, options.topK)
            (topP, minP) = (options.topP, options.minP)
        }
    }

    /// - Parameter logits: `[rows, vocab]`
    /// - Returns: The next token of each place; nil where the scores are not numbers.
    static func choose(_ logits: Tensor, _ places: [Place]) throws -> [GeneratedToken?] {
        let uniforms = try uniforms(places)
        var tokens: [GeneratedToken?] = Array(repeating: nil, count: places.count)
        for members in groups(places, by: { Key($0) }) {
            var scores = try rows(logits, members.map { places[$0].row }).to(.float32)
            let options = places[members[0]].options
            if options.repetitionPenalty != 1 {
                scores = try LogitsProcessing.repetitionPenalty(
                    scores,
                    seen: members.map { places[$0].live.rows[places[$0].index].seen?.ids ?? [] },
                    penalty: options.repetitionPenalty)
            }
            let masks = members.compactMap { places[$0].mask }
            if !masks.isEmpty { scores = try LogitsProcessing.keeping(scores, masks) }
            let allowed = options.allowedTokens
            if !allowed.isEmpty {
                let columns = try Tensor(allowed.map { Int64($0) }).to(scores.device)
                scores = try scores.selecting(columns, dim: 1)
            }
            let chosen = try TokenSampler(options).choose(scores, uniforms: members.map { uniforms[$0] })
            for (member, token) in zip(members, chosen) {
                tokens[member] = token.map {
                    GeneratedToken(id: allowed.isEmpty ? $0 : allowed[Int($0)])
                }
            }
        }
        try score(&tokens, logits, places)
        return tokens
    }

    /// Adds log-probabilities where they are asked for.
    private static func score(
        _ tokens: inout [GeneratedToken?], _ logits: Tensor, _ places: [Place]
    ) throws {
        let asked = places.indices.filter { places[$0].options.returnsLogProbs && tokens[$0] != nil }
        let pairs = asked.compactMap { index in tokens[index].map { (index, $0.id) } }
        for members in groups(pairs, by: { places[$0.0].options.alternativeCount }) {
            let group = members.map { pairs[$0] }
            let scored = try TokenScoring.tokens(
                group.map(\.1), rows(logits, group.map { places[$0.0].row }),
                alternatives: places[group[0].0].options.alternativeCount)
            for (pair, token) in zip(group, scored) { tokens[pair.0] = token }
        }
    }

    /// A number for each place where a token is drawn: streams are drawn from in the order of the places.
    private static func uniforms(_ places: [Place]) throws(TorchError) -> [Double] {
        var result = Array(repeating: 0.0, count: places.count)
        let drawing = places.indices.filter { places[$0].options.doSample }
        for members in groups(drawing, by: { ObjectIdentifier(places[$0].live.random) }) {
            let indices = members.map { drawing[$0] }
            let numbers = try TokenSampler.uniforms(indices.count, places[indices[0]].live.random)
            for (index, number) in zip(indices, numbers) { result[index] = number }
        }
        return result
    }

    /// Some rows of a matrix; all of them as they are.
    private static func rows(_ x: Tensor, _ indices: [Int]) throws(TorchError) -> Tensor {
        if indices == Array(0..<x.dim(0)) { return x }
        return try x.selecting(Tensor(indices.map { Int64($0) }).to(x.device))
    }

    /// Places of elements with equal keys, groups and members in order.
    private static func groups<Element, Key: Hashable>(
        _ elements: [Element], by key: (Element) -> Key
    ) -> [[Int]] {
        var known: [Key: Int] = [:]
        var result: [[Int]] = []
        for (index, element) in elements.enumerated() {
            let place = known[key(element), default: result.count]
            if place == result.count {
                known[key(element)] = place
                result.append([])
            }
            result[place].append(index)
        }
        return result
    }
}

/// What a model says of tokens that are given.
enum TokenScoring {
    /// - Parameters:
    ///   - ids: A token for each row.
    ///   - logits: `[ids.count, vocab]`
    ///   - alternatives: How many of the likeliest tokens come with each.
    static func tokens(
        _ ids: [Int32], _ logits: Tensor, alternatives: Int
    ) throws(TorchError) -> [GeneratedToken] {
        let logProbs = try logits.to(.float32).logSoftmax(dim: 1)
        let index = try Tensor(ids.map { Int64($0) }, [ids.count, 1]).to(logits.device)
        let own = try logProbs.gathered(index, dim: 1).floats()
        var tokens = zip(ids, own).map { GeneratedToken(id: $0, logProb: $1) }
        let count = min(alternatives, logits.dim(1))
        guard count > 0 else { return tokens }
        let (values, places) = try logProbs.top(count, dim: 1)
        let (best, bestIDs) = (try values.floats(), try places.int64s())
        for row in tokens.indices {
            tokens[row].alternatives = (row * count..<(row + 1) * count).map {
                TokenLogProb(id: Int32(bestIDs[$0]), logProb: best[$0])
            }
        }
        return tokens
    }
}
