import LFDiagnostics
import LFGrammar
import LFNN
import LFTokenizer
import LFTorch

/// The ids that occur in a text, each once, for the repetition penalty.
struct SeenTokens {
    private var known: Set<Int32> = []
    private(set) var ids: [Int64] = []

    init(_ tokens: [Int32]) { for token in tokens { insert(token) } }

    mutating func insert(_ token: Int32) {
        if known.insert(token).inserted { ids.append(Int64(token)) }
    }
}

/// Turns an answer's tokens into its text, up to a stop string.
struct AnswerText {
    private var decoder: StreamingDecoder
    private var stops: StopStrings

    init(_ tokenizer: Tokenizer, _ options: GenerationOptions, behind prompt: [Int32]) {
        decoder = StreamingDecoder(
            tokenizer, skipSpecialTokens: options.skipsSpecialTokens,
            behind: options.continuesPrompt ? prompt : [])
        stops = StopStrings(options.stopStrings)
    }

    /// Whether a stop string is complete.
    var isStopped: Bool { stops.isStopped }

    /// The text that a token completes.
    mutating func append(_ token: Int32) -> String { stops.append(decoder.append(token)) }

    /// What was kept back.
    mutating func finish() -> String {
        guard !stops.isStopped else { return "" }
        return stops.append(decoder.finish()) + stops.finish()
    }
}

/// A request that has its place in the batch.
final class LiveRequest {
    /// One answer that is being written.
    struct Row {
        let sample: Int
        var sequence: KeyValueCache.Sequence
        var result = GeneratedSequence()
        var seen: SeenTokens?
        var text: AnswerText?
        /// Where the answer stands in its grammar.
        var matcher: GrammarMatcher?
        /// What the tokens so far say of the next ones; nil until that is asked for.
        var lookup: PromptLookup?
        /// Tokens that the pass computes behind the last one.
        var guess: [Int32] = []
        /// What a pass has computed for tokens behind the last one that it was asked for.
        var ahead: ScoresAhead?
    }

    let id: RequestID
    let request: GenerationRequest
    let random: Generator
    /// Most tokens of an answer.
    let limit: Int
    /// Blocks that it may come to hold beyond those that it shares.
    let reservedBlocks: Int
    /// Blocks that it found in the cache.
    let sharedBlocks: [Int32]
    /// Tokens of the prompt that the cache knew.
    let cachedTokens: Int
    /// The prompt's tokens that are computed.
    var prompt: KeyValueCache.Sequence
    var promptScores: [GeneratedToken] = []
    /// Where each answer begins in its grammar.
    private let matcher: GrammarMatcher?
    var rows: [Row] = []
    var search: PromptSearch?

    init(
        _ id: RequestID, _ request: GenerationRequest, random: Generator, prompt: KeyValueCache.Sequence,
        reservedBlocks: Int, matcher: GrammarMatcher?
    ) {
        self.id = id
        self.matcher = matcher
        self.request = request
        self.random = random
        self.prompt = prompt
        self.reservedBlocks = reservedBlocks
        sharedBlocks = prompt.blocks
        cachedTokens = prompt.length
        limit = request.options.newTokenLimit(promptLength: request.prompt.count)
    }

    var options: GenerationOptions { request.options }
    /// Sequences that are decoded.
    var width: Int { search?.beams.count ?? rows.count }
    /// Sequences that it may come to have.
    var widthAtMost: Int { rows.isEmpty ? request.width : rows.count }
    var isDone: Bool { search?.isDone ?? rows.isEmpty }

    /// Begins to write once the prompt is computed.
    func begin(_ tokenizer: Tokenizer?, _ cache: KeyValueCache) {
        if options.beamCount > 1 {
            var search = PromptSearch(request.prompt, options)
            search.beams[0].cached = prompt
            self.search = search
        } else {
            var result = GeneratedSequence()
            if options.returnsLogProbs { result.logProbs = [] }
            if options.returnsLogProbs, options.alternativeCount > 0 { result.alternatives = [] }
            let writesText = options.writesText || !options.stopStrings.isEmpty
            if writesText { result.text = "" }
            let seen = options.repetitionPenalty == 1 ? nil : SeenTokens(request.prompt)
            let text = writesText ? tokenizer.map { AnswerText($0, options, behind: request.prompt) } : nil
            rows = (0..<request.samples).map { sample in
                Row(
                    sample: sample, sequence: sample == 0 ? prompt : cache.fork(prompt), result: result,
                    seen: seen, text: text, matcher: matcher)
            }
        }
        prompt = KeyValueCache.Sequence()
    }

    /// What a pass adds to each of its sequences whose next scores are not known: the last token, and those that were guessed.
    func nextPieces(_ pieces: inout [ArraySlice<Int32>], _ sequences: inout [KeyValueCache.Sequence]) {
        for row in rows where row.ahead == nil {
            pieces.append(row.result.ids.suffix(1) + row.guess)
            sequences.append(row.sequence)
        }
        for beam in search?.beams ?? [] {
            pieces.append(beam.ids.suffix(1))
            sequences.append(beam.cached)
        }
    }

    /// Takes those sequences back after the pass.
    func take(_ sequences: inout ArraySlice<KeyValueCache.Sequence>) {
        for index in rows.indices where rows[index].ahead == nil {
            rows[index].sequence = sequences.removeFirst()
        }
        for index in search?.beams.indices ?? 0..<0 { search?.beams[index].cached = sequences.removeFirst() }
    }

    /// Gives up all that it holds in the cache.
    func release(_ cache: KeyValueCache) {
        cache.release(prompt)
        prompt = KeyValueCache.Sequence()
        for row in rows { cache.release(row.sequence) }
        rows = []
        search?.release(cache)
        search = nil
    }
}
