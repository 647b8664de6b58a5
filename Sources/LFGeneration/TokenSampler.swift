package import LFTorch

/// Chooses each row's next token from its scores.
package struct TokenSampler {
    let options: GenerationOptions
    /// How many tokens the limits leave at least: a beam search must be able to go on where all stop tokens are likely.
    let leastKept: Int

    package init(_ options: GenerationOptions) {
        self.options = options
        leastKept = options.beamCount > 1 ? max(options.stopTokens.count, 1) + 1 : 1
    }

    /// The scores of the tokens that can be drawn, after temperature, top-k, top-p and min-p, in that order.
    ///
    /// - Parameter scores: `[batch, vocab]` float32.
    /// - Returns: Scores `[batch, n]`, and the tokens that they belong to, int64 `[batch, n]`; nil where n is the vocabulary.
    package func candidates(_ scores: Tensor) throws(TorchError) -> (scores: Tensor, ids: Tensor?) {
        var scores = scores
        var ids: Tensor?
        if options.temperature != 1 { scores = try LogitsProcessing.temperature(scores, options.temperature) }
        if options.topK > 0, options.topK < scores.dim(1) {
            // What is not among the first k is out: the other limits need not look at it.
            let (values, indices) = try scores.top(min(max(options.topK, leastKept), scores.dim(1)), dim: 1)
            (scores, ids) = (values, indices)
        }
        if options.topP < 1 { scores = try LogitsProcessing.topP(scores, options.topP, keeping: leastKept) }
        if options.minP > 0 { scores = try LogitsProcessing.minP(scores, options.minP, keeping: leastKept) }
        return (scores, ids)
    }

    /// One token per row: the likeliest, or a drawn one.
    ///
    /// - Parameter uniforms: A number in [0, 1) per row where tokens are drawn.
    /// - Returns: nil for a row whose scores are not numbers.
    package func choose(_ scores: Tensor, uniforms: [Double]) throws(TorchError) -> [Int32?] {
        guard options.doSample else { return try likeliest(scores) }
        let (kept, ids) = try candidates(scores)
        let count = kept.dim(1), rows = kept.dim(0)
        let probabilities = try kept.softmax(dim: 1).floats()
        let places = zip(0..<rows, uniforms).map { row, uniform in
            Self.draw(probabilities[row * count..<(row + 1) * count], uniform)
        }
        guard let ids else { return places.map { $0.map { Int32($0) } } }
        let index = try Tensor(places.map { Int64($0 ?? 0) }, [rows, 1]).to(ids.device)
        let tokens = try ids.gathered(index, dim: 1).int64s()
        return zip(places, tokens).map { $0 == nil ? nil : Int32($1) }
    }

    /// The greatest score's place in each row; what is not a number counts as the greatest, so a look at that one finds it.
    private func likeliest(_ scores: Tensor) throws(TorchError) -> [Int32?] {
        let best = try scores.argmax(dim: 1).reshaped([scores.dim(0), 1])
        let values = try scores.gathered(best, dim: 1).floats()
        return zip(try best.int64s(), values).map { $1.isFinite ? Int32($0) : nil }
    }

    /// The next `count` numbers in [0, 1) of a random stream.
    package static func uniforms(_ count: Int, _ generator: Generator) throws(TorchError) -> [Double] {
        let numbers = try Tensor.zeros([count], .float64)
        try numbers.fillUniformInPlace(0, 1, generator)
        return try numbers.doubles()
    }

    /// The place at which the running sum of `probabilities` passes `uniform`, in [0, 1), times their sum; nil where there is no
    /// sum.
    static func draw(_ probabilities: ArraySlice<Float>, _ uniform: Double) -> Int? {
        let total = probabilities.reduce(0.0) { $0 + Double($1) }
        guard total > 0, total.isFinite else { return nil }
        var sum = 0.0
        var last: Int?
        for (place, probability) in zip(0..., probabilities) where probability > 0 {
            sum += Double(probability)
            last = place
            if sum > uniform * total { return place }
        }
        return last
    }
}
