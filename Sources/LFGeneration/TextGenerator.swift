import LFDiagnostics
public import LFModels
import LFNN
import LFStream
public import LFTokenizer
public import LFTorch

/// Continues prompts with a model.
///
/// Prompts of any lengths are computed side by side without padding; samples of one prompt share its part of the cache. Nothing is
/// recorded for autograd, and dropout is off. Whether adapters are on is the model's `adapters` switch.
public final class TextGenerator {
    /// Tokens of prompts that are computed at once.
    static let prefillTokens = 4096

    let model: LanguageModel
    let tokenizer: Tokenizer?

    /// - Parameter tokenizer: Needed for stop strings only.
    public init(_ model: LanguageModel, tokenizer: Tokenizer? = nil) {
        self.model = model
        self.tokenizer = tokenizer
    }

    /// Continues each prompt `samplesPerPrompt` times.
    ///
    /// - Parameters:
    ///   - prompts: Token ids, at least one each.
    ///   - samplesPerPrompt: Answers per prompt; with beam search the best ones, at most as many as beams.
    ///   - generator: The random stream that tokens are drawn from.
    ///   - onToken: Receives each token with the index of its sequence, as it is chosen; false ends that sequence. A beam search calls it
    ///     at its end.
    ///   - isCancelled: Asked before each step; true ends all sequences.
    /// - Returns: Sequence `p · samplesPerPrompt + s` is sample s of prompt p.
    /// - Throws: `UserErrors` for options that cannot be meant, `UserError` for a prompt that is empty, too long or holds ids beyond the
    ///   vocabulary.
    public func generate(
        _ prompts: [[Int32]], samplesPerPrompt: Int = 1, options: GenerationOptions, generator: Generator,
        onToken: (_ sequence: Int, _ token: Int32) throws -> Bool = { _, _ in true },
        isCancelled: () -> Bool = { false }
    ) throws -> [GeneratedSequence] {
        try options.validate()
        try check(prompts, samplesPerPrompt, options)
        let dropout = model.adapters.dropout
        model.adapters.dropout = nil
        defer { model.adapters.dropout = dropout }
        return try withoutGrad {
            if options.beamCount > 1 {
                let search = BeamSearch(model, options, generator)
                let results = try search.run(
                    prompts, answersPerPrompt: samplesPerPrompt, isCancelled: isCancelled)
                for (index, result) in results.enumerated() {
                    for token in result.ids { guard try onToken(index, token) else { break } }
                }
                return results
            }
            let run = Run(self, prompts, samplesPerPrompt, options, generator)
            try run.run(isCancelled, onToken)
            return run.results
        }
    }

    private func check(_ prompts: [[Int32]], _ samples: Int, _ options: GenerationOptions) throws {
        func fail(_ problem: String, _ remedy: String) -> UserError {
            UserError(.failedRun, problem, remedy: remedy)
        }
        guard samples >= 1 else { throw fail("\(samples) answers were asked for.", "Ask for at least one.") }
        if options.beamCount > 1, samples > options.beamCount {
            throw fail(
                "\(samples) answers were asked for from \(options.beamCount) beams.", "Raise num_beams.")
        }
        guard options.stopStrings.isEmpty || tokenizer != nil else {
            preconditionFailure("stop strings are only understood with a tokenizer")
        }
        for (index, prompt) in prompts.enumerated() {
            guard !prompt.isEmpty else {
                throw fail("Prompt \(index + 1) has no tokens.", "Give it at least one token.")
            }
            if let id = prompt.first(where: { $0 < 0 || Int($0) >= model.config.vocabSize }) {
                throw fail(
                    "Prompt \(index + 1) holds the token \(id), but the model knows \(model.config.vocabSize).",
                    "Use the tokenizer that belongs to the model.")
            }
            guard options.newTokenLimit(promptLength: prompt.count) > 0 else {
                throw fail(
                    "Prompt \(index + 1) has \(prompt.count) tokens, which leaves none of max_length (\(options.maxLength)).",
                    "Raise max_length or set max_new_tokens.")
            }
        }
    }
}

extension GenerationOptions {
    /// Most tokens that may be added to a prompt.
    func newTokenLimit(promptLength: Int) -> Int { maxNewTokens ?? maxLength - promptLength }
}

/// The ids that occur in a text, each once, for the repetition penalty.
struct SeenTokens {
    private var known: Set<Int32> = []
    private(set) var ids: [Int64] = []

    init(_ tokens: [Int32]) { for token in tokens { insert(token) } }

    mutating func insert(_ token: Int32) {
        if known.insert(token).inserted { ids.append(Int64(token)) }
    }
}

/// One call's sequences: prompts wait until there is room, finished ones leave the batch.
private final class Run {
    /// A sequence that is being written.
    struct Row {
        let index: Int
        let promptLength: Int
        var seen: SeenTokens?
        var text: (decoder: StreamingDecoder, stops: StopStrings)?
    }

    let generator: TextGenerator
    let prompts: [[Int32]]
    let samples: Int
    let options: GenerationOptions
    let random: Generator
    let sampler: TokenSampler
    var results: [GeneratedSequence]

    init(
        _ generator: TextGenerator, _ prompts: [[Int32]], _ samples: Int, _ options: GenerationOptions,
        _ random: Generator
    ) {
        (self.generator, self.prompts, self.samples) = (generator, prompts, samples)
        (self.options, self.random) = (options, random)
        sampler = TokenSampler(options)
        var empty = GeneratedSequence()
        if options.returnsLogProbs { empty.logProbs = [] }
        if !options.stopStrings.isEmpty { empty.text = "" }
        results = Array(repeating: empty, count: prompts.count * samples)
    }

    func run(_ isCancelled: () -> Bool, _ onToken: (Int, Int32) throws -> Bool) throws {
        let model = generator.model
        let cache = try KeyValueCache(layers: model.config.layerCount)
        var rows: [Row] = []
        var cached: [KeyValueCache.Sequence] = []
        var next = 0
        while next < prompts.count || !rows.isEmpty {
            if isCancelled() {
                for index in rows.map(\.index) + Array(next * samples..<results.count) {
                    results[index].finishReason = .cancelled
                }
                return
            }
            var scores: [Tensor] = []
            if !rows.isEmpty {
                let inputs = rows.map { results[$0.index].ids[results[$0.index].ids.count - 1] }
                scores.append(try model.step(inputs, &cached, cache))
            }
            while next < prompts.count, rows.isEmpty || rows.count + samples <= options.concurrentSequences {
                let (admitted, logits) = try admit(from: next, beside: rows.count, &cached, cache)
                for prompt in next..<next + admitted {
                    rows += (0..<samples).map { newRow(prompt, $0) }
                }
                scores.append(logits)
                next += admitted
            }
            let logits = try scores.count == 1 ? scores[0] : Tensor.concatenated(scores)
            let finished = try extend(&rows, logits, onToken)
            for index in finished { cache.release(cached[index]) }
            let gone = Set(finished)
            rows = rows.indices.filter { !gone.contains($0) }.map { rows[$0] }
            cached = cached.indices.filter { !gone.contains($0) }.map { cached[$0] }
        }
    }

    private func newRow(_ prompt: Int, _ sample: Int) -> Row {
        Row(
            index: prompt * samples + sample, promptLength: prompts[prompt].count,
            seen: options.repetitionPenalty == 1 ? nil : SeenTokens(prompts[prompt]),
            text: options.stopStrings.isEmpty
                ? nil
                : generator.tokenizer.map {
                    (StreamingDecoder($0, skipSpecialTokens: false), StopStrings(options.stopStrings))
                })
    }

    /// Computes waiting prompts, as many as fit; each once, whatever the number of its samples.
    ///
    /// - Returns: How many prompts, and the scores of their samples' first tokens.
    private func admit(
        from first: Int, beside running: Int, _ cached: inout [KeyValueCache.Sequence], _ cache: KeyValueCache
    ) throws -> (Int, Tensor) {
        var end = first, tokens = 0
        while end < prompts.count, end == first || tokens + prompts[end].count <= TextGenerator.prefillTokens,
            end == first || running + (end - first + 1) * samples <= options.concurrentSequences
        {
            tokens += prompts[end].count
            end += 1
        }
        var sequences = Array(repeating: KeyValueCache.Sequence(), count: end - first)
        let logits = try generator.model.prefill(Array(prompts[first..<end]), &sequences, cache)
        for sequence in sequences {
            cached.append(sequence)
            for _ in 1..<samples { cached.append(cache.fork(sequence)) }
        }
        if samples == 1 { return (end - first, logits) }
        let repeated = (0..<(end - first) * samples).map { Int64($0 / samples) }
        return (end - first, try logits.selecting(Tensor(repeated).to(logits.device)))
    }

    /// Chooses every row's next token and returns the places of the rows that end with it.
    private func extend(
        _ rows: inout [Row], _ logits: Tensor, _ onToken: (Int, Int32) throws -> Bool
    ) throws -> [Int] {
        var scores = try logits.to(.float32)
        if options.repetitionPenalty != 1 {
            scores = try LogitsProcessing.repetitionPenalty(
                scores, seen: rows.map { $0.seen?.ids ?? [] }, penalty: options.repetitionPenalty)
        }
        let tokens = try sampler.choose(scores, random)
        if options.returnsLogProbs {
            let index = try Tensor(tokens.map { Int64($0) }, [tokens.count, 1]).to(logits.device)
            let logProbs = try logits.to(.float32).logSoftmax(dim: 1).gathered(index, dim: 1).floats()
            for (row, logProb) in zip(rows, logProbs) { results[row.index].logProbs?.append(logProb) }
        }
        var finished: [Int] = []
        for (place, token) in tokens.enumerated() {
            let index = rows[place].index
            results[index].ids.append(token)
            rows[place].seen?.insert(token)
            let goesOn = try onToken(index, token)
            var reason: GeneratedSequence.FinishReason?
            let limit = options.newTokenLimit(promptLength: rows[place].promptLength)
            if results[index].ids.count >= limit { reason = .length }
            if !goesOn { reason = .cancelled }
            if append(token, to: &rows[place]) { reason = .stopString }
            if options.stopTokens.contains(token) { reason = .stopToken }
            guard let reason else { continue }
            results[index].finishReason = reason
            finish(&rows[place])
            finished.append(place)
        }
        return finished
    }

    /// Adds a token's text; whether a stop string is complete.
    private func append(_ token: Int32, to row: inout Row) -> Bool {
        guard row.text != nil, !options.stopTokens.contains(token) else { return false }
        let piece = row.text?.decoder.append(token) ?? ""
        results[row.index].text? += row.text?.stops.append(piece) ?? ""
        return row.text?.stops.isStopped ?? false
    }

    private func finish(_ row: inout Row) {
        guard row.text?.stops.isStopped == false else { return }
        let rest = row.text?.decoder.finish() ?? ""
        results[row.index].text? += row.text?.stops.append(rest) ?? ""
        results[row.index].text? += row.text?.stops.finish() ?? ""
    }
}
