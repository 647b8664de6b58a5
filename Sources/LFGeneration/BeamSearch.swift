import Foundation
import LFNN
import LFTorch

/// Beam search as transformers 5 does it with `early_stopping: false`, every prompt on its own although all are computed side by side.
///
/// Each step looks at the best `(1 + stop tokens) · beams` continuations of a prompt's beams. Those among the first `beams` that end
/// become results, scored by `log p / length^penalty`; the best that go on are the next beams. A prompt is done when its best beam, were it
/// to end now, would not be better than the worst of a full set of results.
struct BeamScoring {
    private let options: GenerationOptions
    private let generator: Generator
    private let sampler: TokenSampler

    init(_ options: GenerationOptions, _ generator: Generator) {
        (self.options, self.generator) = (options, generator)
        sampler = TokenSampler(options)
    }

    /// The best continuations of a prompt's beams, best first, or as many drawn ones.
    ///
    /// - Parameter logits: `[beams, vocab]`
    /// - Returns: nil where the scores are not numbers.
    func continuations(_ logits: Tensor, _ search: PromptSearch) throws -> [Continuation]? {
        var scores = try logits.to(.float32).logSoftmax(dim: 1)
        // One score that is not a number makes all of its row so.
        guard try scores.slice(0..<1, dim: 1).floats().allSatisfy({ !$0.isNaN }) else { return nil }
        if options.repetitionPenalty != 1 {
            let seen = search.beams.map { SeenTokens(search.prompt + $0.ids).ids }
            scores = try LogitsProcessing.repetitionPenalty(
                scores, seen: seen, penalty: options.repetitionPenalty)
        }
        var ids: Tensor?
        if options.doSample { (scores, ids) = try sampler.candidates(scores) }
        let sums = search.beams.map(\.score)
        scores = try scores + Tensor(sums, [sums.count, 1]).to(scores.device)
        let width = scores.dim(1), all = sums.count * width
        let wanted = max(2, 1 + options.stopTokens.count) * options.beamCount
        let (values, places) = try best(scores.reshaped([all]), min(wanted, all))
        let tokens = try ids?.reshaped([all]).selecting(Tensor(places).to(scores.device)).int64s()
        return places.indices.compactMap { index in
            // Drawn continuations may include some that the limits have removed when few are left.
            guard values[index] > -.infinity else { return nil }
            let place = Int(places[index])
            let token = tokens.map { $0[index] } ?? Int64(place % width)
            return Continuation(beam: place / width, token: Int32(token), score: values[index])
        }
    }

    /// The greatest scores, or scores drawn without replacement by their softmax: the greatest after Gumbel noise (Kool et al.
    /// 2019, arXiv 1903.06059).
    private func best(_ scores: Tensor, _ count: Int) throws(TorchError) -> ([Float], [Int64]) {
        guard options.doSample else {
            let (values, places) = try scores.top(count, dim: 0)
            return (try values.floats(), try places.int64s())
        }
        let uniforms = try Tensor.zeros([scores.dim(0)], .float64)
        try uniforms.fillUniformInPlace(.leastNormalMagnitude, 1, generator)
        let noise = try -(-uniforms.log()).log()
        let places = try (scores.to(.float64) + noise.to(scores.device)).top(count, dim: 0).indices
        return (try scores.selecting(places).floats(), try places.int64s())
    }
}

/// A way to go on: a token after one of the beams.
struct Continuation {
    var beam: Int
    var token: Int32
    /// Summed log-probability.
    var score: Float
}

/// The search for one prompt.
struct PromptSearch {
    struct Beam {
        var ids: [Int32] = []
        var score: Float = 0
        var cached = KeyValueCache.Sequence()
    }

    let prompt: [Int32]
    private let options: GenerationOptions
    private let limit: Int
    var beams = [Beam()]
    private var results: [(ids: [Int32], score: Float)] = []
    private(set) var isDone = false

    init(_ prompt: [Int32], _ options: GenerationOptions) {
        (self.prompt, self.options) = (prompt, options)
        limit = options.newTokenLimit(promptLength: prompt.count)
    }

    /// Takes a step's continuations, best first.
    mutating func advance(_ continuations: [Continuation], _ cache: KeyValueCache?) {
        let length = beams[0].ids.count + 1
        let divisor = Float(pow(Double(length), options.lengthPenalty))
        func ends(_ continuation: Continuation) -> Bool {
            length >= limit || options.stopTokens.contains(continuation.token)
        }
        for continuation in continuations.prefix(options.beamCount) where ends(continuation) {
            results.append(
                (beams[continuation.beam].ids + [continuation.token], continuation.score / divisor))
        }
        results = Array(stableSorted(results).prefix(options.beamCount))
        let open = continuations.filter { !ends($0) }
        let next = stableSorted(open).prefix(options.beamCount).map { continuation in
            let parent = beams[continuation.beam]
            return Beam(
                ids: parent.ids + [continuation.token], score: continuation.score,
                cached: cache?.fork(parent.cached) ?? parent.cached)
        }
        if let cache { for beam in beams { cache.release(beam.cached) } }
        beams = next
        guard let best = beams.first else {
            isDone = true
            return
        }
        if results.count == options.beamCount, let worst = results.last {
            isDone = !(best.score / divisor > worst.score)
        }
    }

    private func stableSorted(_ list: [Continuation]) -> [Continuation] {
        list.enumerated().sorted { ($0.element.score, $1.offset) > ($1.element.score, $0.offset) }.map(
            \.element)
    }
    private func stableSorted(_ list: [(ids: [Int32], score: Float)]) -> [(ids: [Int32], score: Float)] {
        list.enumerated().sorted { ($0.element.score, $1.offset) > ($1.element.score, $0.offset) }.map(
            \.element)
    }

    mutating func release(_ cache: KeyValueCache) {
        for beam in beams { cache.release(beam.cached) }
        beams = []
    }

    /// The best results, best first.
    func answers(_ count: Int) -> [GeneratedSequence] {
        (0..<count).map { index in
            var answer = GeneratedSequence()
            guard index < results.count else {
                if !isDone { answer.finishReason = .cancelled }
                return answer
            }
            answer.ids = results[index].ids
            answer.score = results[index].score
            answer.finishReason =
                answer.ids.last.map { options.stopTokens.contains($0) } ?? false ? .stopToken : .length
            return answer
        }
    }
}
