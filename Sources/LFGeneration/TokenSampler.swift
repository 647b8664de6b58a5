import LFDiagnostics
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
    /// - Throws: `UserError` when a row's scores are not numbers.
    package func choose(_ scores: Tensor, _ generator: Generator) throws -> [Int32] {
        guard options.doSample else { return try scores.argmax(dim: 1).int64s().map { Int32($0) } }
        let (kept, ids) = try candidates(scores)
        let count = kept.dim(1), rows = kept.dim(0)
        let probabilities = try kept.softmax(dim: 1).floats()
        let uniforms = try Tensor.zeros([rows], .float64)
        try uniforms.fillUniformInPlace(0, 1, generator)
        let places = try zip(0..., try uniforms.doubles()).map { row, uniform in
            guard
                let place = Self.draw(
                    probabilities[row * count..<(row + 1) * count], uniform)
            else {
                throw UserError(
                    .failedRun, "The model's scores for the next token are not numbers.",
                    remedy: "Check the weights for NaN, or compute in bf16 or float32 instead of fp16.")
            }
            return Int64(place)
        }
        guard let ids else { return places.map { Int32($0) } }
        let index = try Tensor(places, [rows, 1]).to(ids.device)
        return try ids.gathered(index, dim: 1).int64s().map { Int32($0) }
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
