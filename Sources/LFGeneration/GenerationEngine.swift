import LFDiagnostics
import LFGrammar
package import LFModels
package import LFNN
package import LFTokenizer
import LFTorch

/// Continues prompts with a model, a token of every answer at each `step()`.
///
/// Requests have their own options and random streams and come and go while others are written; their tokens are computed side by side without
/// padding. The cache outlives them: a prompt that begins as an earlier text did is computed from where they part (`PrefixCache`). Nothing is
/// recorded for autograd, and dropout is off. Whether adapters are on is the model's `adapters` switch. Who changes the model's weights calls
/// `forgetPrefixes()`.
package final class GenerationEngine {
    package let model: LanguageModel
    let tokenizer: Tokenizer?
    let limits: EngineLimits
    package let cache: KeyValueCache
    let prefixes: PrefixCache
    /// Whether layers keep states, which stand for whole texts.
    private let needsStates: Bool
    /// Whether next tokens of greedy answers are guessed and computed ahead. A state cannot go back, and elsewhere than in the products of few
    /// rows a sum may depend on how many rows there are.
    let guesses: Bool
    /// What was done so far.
    package internal(set) var counters = EngineCounters()

    private var nextID = 0
    private var waiting: [(id: RequestID, request: GenerationRequest, matcher: GrammarMatcher?)] = []
    /// Requests whose prompts are computed in part, in the order in which they were admitted.
    private var beginning: [LiveRequest] = []
    /// Requests whose answers are written.
    var writing: [LiveRequest] = []
    private var automata: GrammarAutomata?
    /// What happened between two steps.
    private var pending: [GenerationEvent] = []
    /// Why scores are not numbers, once they were not.
    private var diagnosis: UserError?

    /// - Parameter tokenizer: Needed for stop strings and text only.
    package init(
        _ model: LanguageModel, tokenizer: Tokenizer? = nil, limits: EngineLimits = EngineLimits()
    ) throws {
        self.model = model
        self.tokenizer = tokenizer
        self.limits = limits
        let memory = CacheMemory(model, limits.room)
        cache = try KeyValueCache(layers: model.config.layerCount, capacity: memory.blocks)
        needsStates = model.caches.contains(.state)
        guesses = limits.guessesTokens && !needsStates && model.device == .cpu && model.multipliesFewRows
        automata = tokenizer.map { GrammarAutomata($0, vocabSize: model.config.vocabSize) }
        let prefixes = PrefixCache(
            cache, needsStates: needsStates, capacity: memory.keptBlocks, stateBytes: memory.stateBytes)
        self.prefixes = prefixes
        // The prefixes hold the cache, so the cache must not hold them.
        cache.reclaim = { [weak prefixes] in
            if let prefixes { prefixes.evict(max(1, prefixes.nodeCount / 16)) }
        }
    }

    /// Whether a step would do something.
    package var isBusy: Bool {
        !pending.isEmpty || !waiting.isEmpty || !beginning.isEmpty || !writing.isEmpty
    }
    /// Requests that have no place yet.
    package var waitingCount: Int { waiting.count }
    /// Requests that are computed.
    package var runningCount: Int { beginning.count + writing.count }
    /// Tokens' places of the cache that somebody holds, and all that there may be.
    package var cacheUse: (used: Int, capacity: Int) {
        let size = KeyValueStore.blockSize
        return (cache.usedBlockCount * size, cache.capacity == .max ? .max : cache.capacity * size)
    }

    // MARK: Requests

    /// Takes a request, which waits for its turn.
    ///
    /// - Parameter name: How errors call the prompt.
    /// - Throws: `UserErrors` for options that cannot be meant, `UserError` for a prompt that cannot be continued.
    package func submit(_ request: GenerationRequest, name: String = "The prompt") throws -> RequestID {
        try request.check(vocabSize: model.config.vocabSize, name: name)
        if let adapter = request.adapter, !model.adapters.choice.names.contains(adapter) {
            throw UserError(
                .failedRun, "The model has no adapter \"\(adapter)\".",
                remedy: "Name one that was put on it, or none.")
        }
        let positions = [model.config.positionLimit, limits.textLength].compactMap { $0 }.min()
        let request = try request.limited(to: positions, name: name)
        precondition(
            tokenizer != nil
                || (request.options.stopStrings.isEmpty && !request.options.writesText
                    && request.grammar == nil),
            "text is only written with a tokenizer")
        let needed = blocksNeeded(for: request)
        guard needed <= cache.capacity else {
            throw UserError(
                .failedRun,
                "\(name) and its answers need room for \(clampedProduct(needed, KeyValueStore.blockSize)) tokens; there is room for \(cacheUse.capacity).",
                remedy: "Shorten the prompt, lower max_new_tokens, or ask for fewer answers.")
        }
        let matcher = try request.grammar.flatMap { try automata?.matcher($0) }
        let id = RequestID(number: nextID)
        nextID += 1
        waiting.append((id, request, matcher))
        return id
    }

    /// Ends a request; its answers, as far as they go, come with the next step.
    package func cancel(_ id: RequestID) {
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            let request = waiting.remove(at: index).request
            cancelled(id, Array(repeating: GeneratedSequence(), count: request.samples))
        } else if let index = beginning.firstIndex(where: { $0.id == id }) {
            let live = beginning.remove(at: index)
            cancelled(id, Array(repeating: GeneratedSequence(), count: live.request.samples))
            live.release(cache)
        } else if let live = writing.first(where: { $0.id == id }) {
            if let search = live.search {
                cancelled(id, search.answers(live.request.samples))
            } else {
                for sample in live.rows.map(\.sample) { cancel(id, sample: sample) }
            }
            live.release(cache)
            writing.removeAll { $0 === live }
        }
    }

    private func cancelled(_ id: RequestID, _ answers: [GeneratedSequence]) {
        for (sample, var answer) in answers.enumerated() {
            if answer.ids.isEmpty { answer.finishReason = .cancelled }
            pending.append(.finished(id, sample: sample, answer))
        }
    }

    /// Ends one answer of a request.
    package func cancel(_ id: RequestID, sample: Int) {
        guard let live = writing.first(where: { $0.id == id }),
            let index = live.rows.firstIndex(where: { $0.sample == sample })
        else { return }
        pending.append(finish(live, index, .cancelled))
        if live.isDone { writing.removeAll { $0 === live } }
    }

    /// Ends all requests.
    package func cancelAll() {
        for id in waiting.map(\.id) + beginning.map(\.id) + writing.map(\.id) { cancel(id) }
    }

    /// Drops all requests without a word, after a step that failed. What ended texts left in the cache stays: a pass writes to blocks that one
    /// sequence alone holds, and only after it do others get to know them.
    package func abandon() {
        for live in beginning + writing { live.release(cache) }
        (waiting, beginning, writing, pending) = ([], [], [], [])
    }

    /// Forgets what the cache knows of texts that have ended: the model's weights have changed.
    package func forgetPrefixes() {
        prefixes.removeAll()
        diagnosis = nil
    }

    // MARK: Steps

    /// Computes a token of every answer and the prompts for which there is room.
    ///
    /// - Throws: What the model throws; `abandon()` then makes the engine usable again.
    package func step() throws -> [GenerationEvent] {
        let dropout = model.adapters.dropout
        model.adapters.dropout = nil
        defer { model.adapters.dropout = dropout }
        return try withoutGrad {
            var events = pending
            pending = []
            var scores: [Tensor] = []
            if let logits = try decode() { scores.append(logits) }
            scores += try prefill(&events)
            guard let first = scores.first else { return events }
            counters.steps += 1
            let logits = try scores.count == 1 ? first : Tensor.concatenated(scores)
            try choose(logits, &events)
            writing.removeAll { $0.isDone }
            writing = writing.groupedByAdapter { $0.request.adapter }
            return events
        }
    }

    /// Computes prompts, each once whatever the number of its answers.
    ///
    /// - Returns: The scores of the first tokens of those that are complete.
    private func prefill(_ events: inout [GenerationEvent]) throws -> [Tensor] {
        var budget = limits.prefillTokensPerStep ?? .max
        var scores: [Tensor] = []
        while budget > 0 {
            let group = try nextGroup(budget)
            guard !group.isEmpty else { break }
            budget -= group.reduce(0) { $0 + $1.count }
            let adapters = group.map { ($0.live.request.adapter, $0.count) }
            let logits = try model.adapters.choice.choosing(adapters) { try compute(group, &events) }
            if let logits { scores.append(logits) }
        }
        return scores
    }

    /// A prompt and how many of its tokens the next pass computes.
    private typealias Piece = (live: LiveRequest, count: Int)

    /// The prompts of the next pass: what has begun, and those that wait, in order, as long as they fit.
    private func nextGroup(_ budget: Int) throws -> [Piece] {
        var group: [Piece] = []
        var tokens = 0
        let limit = min(budget, limits.prefillTokens)
        let divides = limits.prefillTokensPerStep != nil
        /// Adds as much of a prompt as fits; whether that is all of it.
        func add(_ live: LiveRequest) -> Bool {
            let left = live.request.prompt.count - live.prompt.length
            let isDivisible = divides && live.request.prompt.count <= model.stableLength
            let count = isDivisible ? min(left, limit - tokens) : left
            group.append((live, count))
            tokens += count
            return count == left
        }
        for live in beginning where tokens < limit {
            guard add(live) else { return group.groupedByAdapter { $0.live.request.adapter } }
        }
        while let next = waiting.first {
            let width = next.request.width
            let rows = (beginning + writing).reduce(0) { $0 + $1.widthAtMost }
            guard rows == 0 || rows + width <= limits.concurrentSequences else { break }
            guard group.isEmpty || (divides ? tokens < limit : tokens + next.request.prompt.count <= limit)
            else { break }
            // Elsewhere passes are filled up with rows, which tells less of which rows they have.
            guard
                model.device == .cpu || group.allSatisfy({ $0.live.request.adapter == next.request.adapter })
            else { break }
            // What this prompt shares with another one of this pass is known after it.
            let match = known(next.request)
            if group.contains(where: { sharesMore($0.live.request, next.request, than: match.length) }) {
                break
            }
            guard let live = try admitted(next.id, next.request, next.matcher, match) else { break }
            waiting.removeFirst()
            beginning.append(live)
            guard add(live) else { break }
        }
        return group.groupedByAdapter { $0.live.request.adapter }
    }

    /// Adds pieces of prompts to the cache.
    private func compute(_ group: [Piece], _ events: inout [GenerationEvent]) throws -> Tensor? {
        var sequences = group.map(\.live.prompt)
        let pieces = group.map { live, count in
            live.request.prompt[live.prompt.length..<live.prompt.length + count]
        }
        let readsAll = group.contains { $0.live.request.scoresPrompt }
        let hidden: Tensor
        do {
            // A pass that fails has changed sequences' blocks all the same.
            defer { for (piece, sequence) in zip(group, sequences) { piece.live.prompt = sequence } }
            hidden =
                readsAll
                ? try model.extend(&sequences, by: pieces, cache)
                : try model.lastHiddenStates(extending: &sequences, by: pieces, cache)
        }
        var lastRows: [Int64] = []
        var row = 0
        for (index, (live, count)) in group.enumerated() {
            counters.computedPromptTokens += count
            if live.request.scoresPrompt {
                try scorePrompt(live, hidden.slice(row..<row + count), from: live.prompt.length - count)
            }
            row += count
            guard live.prompt.length == live.request.prompt.count else { continue }
            remember(live.request, live.request.prompt[...], isFinal: false, &live.prompt)
            counters.reusedPromptTokens += live.cachedTokens
            events.append(.began(live.id, cachedTokens: live.cachedTokens, scores: live.promptScores))
            live.begin(tokenizer, cache)
            lastRows += Array(repeating: Int64(readsAll ? row - 1 : index), count: live.width)
            writing.append(live)
        }
        beginning.removeAll { $0.width > 0 }
        guard !lastRows.isEmpty else { return nil }
        let begun = group.filter { $0.live.width > 0 }.map { ($0.live.request.adapter, 1) }
        return try model.adapters.choice.choosing(begun) { try repeatedLogits(hidden, lastRows) }
    }

    /// The scores of hidden states' rows, each row's computed once.
    private func repeatedLogits(_ hidden: Tensor, _ rows: [Int64]) throws -> Tensor {
        var distinct: [Int64] = [], places: [Int64] = []
        for row in rows {
            if distinct.last != row { distinct.append(row) }
            places.append(Int64(distinct.count - 1))
        }
        let logits = try model.logits(hidden.selecting(Tensor(distinct).to(hidden.device)))
        return distinct.count == rows.count
            ? logits : try logits.selecting(Tensor(places).to(hidden.device))
    }

    // MARK: Tokens

    /// Chooses the next token of every answer.
    private func choose(_ logits: Tensor, _ events: inout [GenerationEvent]) throws {
        var row = 0
        var places: [AnswerSampling.Place] = []
        for live in writing {
            if live.search != nil {
                let width = live.width
                try advance(live, logits.slice(row..<row + width), &events)
                row += width
            } else {
                let width = live.width
                do {
                    for (index, mask) in try live.masks().enumerated() {
                        places.append(.init(row: row + index, live: live, index: index, mask: mask))
                    }
                } catch {
                    events.append(.failed(live.id, error))
                    live.release(cache)
                }
                row += width
            }
        }
        guard !places.isEmpty else { return }
        let chosen = try AnswerSampling.choose(logits, places)
        // From the last on, as rows that end leave their request.
        var found: [GenerationEvent] = []
        for (place, token) in zip(places, chosen).reversed() {
            guard let token else {
                if !place.live.isDone { found.append(.failed(place.live.id, notNumbers())) }
                place.live.release(cache)
                continue
            }
            guard !place.live.isDone else { continue }
            found += extend(place.live, place.index, token).reversed()
        }
        events += found.reversed()
    }

    /// Why a row has no token. The weights are looked through once.
    private func notNumbers() -> UserError {
        let error =
            diagnosis
            ?? model.notNumbers(
                "The model's scores for the next token are",
                otherwise: "Compute in bf16 or float32 instead of fp16; all weights are numbers.")
        diagnosis = error
        return error
    }

    /// Adds a token to an answer.
    private func extend(_ live: LiveRequest, _ index: Int, _ token: GeneratedToken) -> [GenerationEvent] {
        counters.generatedTokens += 1
        var token = token
        let isStop = live.options.stopTokens.contains(token.id)
        var reason: GeneratedSequence.FinishReason?
        live.rows[index].result.ids.append(token.id)
        live.rows[index].seen?.insert(token.id)
        if live.compareWithGuess(index, cache) { counters.rightTokens += 1 }
        if let logProb = token.logProb { live.rows[index].result.logProbs?.append(logProb) }
        live.rows[index].result.alternatives?.append(token.alternatives)
        if live.rows[index].result.ids.count >= live.limit { reason = .length }
        if !isStop || live.options.keepsStopToken, live.rows[index].text != nil {
            token.text = live.rows[index].text?.append(token.id) ?? ""
            live.rows[index].result.text? += token.text
            if live.rows[index].text?.isStopped == true { reason = .stopString }
        }
        if !isStop, live.completes(index, token.id), reason != .stopString { reason = .complete }
        if isStop { reason = .stopToken }
        let event = GenerationEvent.token(live.id, sample: live.rows[index].sample, token)
        guard let reason else { return [event] }
        return [event, finish(live, index, reason)]
    }

    /// Ends an answer, whose text the cache keeps for those that go on from it.
    private func finish(
        _ live: LiveRequest, _ index: Int, _ reason: GeneratedSequence.FinishReason
    ) -> GenerationEvent {
        if live.rows[index].ahead != nil { live.dropUnread(index, cache) }
        var row = live.rows.remove(at: index)
        row.result.finishReason = reason
        row.result.closingText = row.text?.finish() ?? ""
        row.result.text? += row.result.closingText
        let tokens = (live.request.prompt + row.result.ids).prefix(row.sequence.length)
        remember(live.request, tokens, isFinal: true, &row.sequence)
        cache.release(row.sequence)
        return .finished(live.id, sample: row.sample, row.result)
    }

    /// Takes a step of a beam search.
    private func advance(_ live: LiveRequest, _ logits: Tensor, _ events: inout [GenerationEvent]) throws {
        guard var search = live.search else { return }
        guard let kept = try BeamScoring(live.options, live.random).continuations(logits, search) else {
            events.append(.failed(live.id, notNumbers()))
            live.release(cache)
            return
        }
        counters.generatedTokens += search.beams.count
        search.advance(kept, cache)
        if search.isDone {
            search.release(cache)
            for (sample, answer) in search.answers(live.request.samples).enumerated() {
                for id in answer.ids {
                    events.append(.token(live.id, sample: sample, GeneratedToken(id: id)))
                }
                events.append(.finished(live.id, sample: sample, withText(answer, live.request)))
            }
        }
        live.search = search
    }

    private func withText(_ answer: GeneratedSequence, _ request: GenerationRequest) -> GeneratedSequence {
        let options = request.options
        guard options.writesText, let tokenizer else { return answer }
        var answer = answer
        let endsWithStop = answer.ids.last.map { options.stopTokens.contains($0) } ?? false
        let shown = endsWithStop && !options.keepsStopToken ? Array(answer.ids.dropLast()) : answer.ids
        if options.continuesPrompt {
            var text = AnswerText(tokenizer, options, behind: request.prompt)
            answer.text = shown.map { text.append($0) }.joined() + text.finish()
        } else {
            answer.text = tokenizer.decode(shown, skipSpecialTokens: options.skipsSpecialTokens)
        }
        answer.closingText = answer.text ?? ""
        return answer
    }

    /// Log-probabilities of a piece of a prompt.
    ///
    /// - Parameter hidden: Of the prompt's tokens from place `start` on.
    private func scorePrompt(_ live: LiveRequest, _ hidden: Tensor, from start: Int) throws {
        let prompt = live.request.prompt
        for first in stride(from: 0, to: hidden.dim(0), by: 256) {
            let end = min(first + 256, hidden.dim(0), prompt.count - 1 - start)
            guard first < end else { break }
            let logits = try model.adapters.choice.choosing([(live.request.adapter, end - first)]) {
                try model.logits(hidden.slice(first..<end))
            }
            live.promptScores += try TokenScoring.tokens(
                Array(prompt[start + first + 1..<start + end + 1]), logits,
                alternatives: live.options.alternativeCount)
        }
    }

    // MARK: Memory

    private func root(_ request: GenerationRequest) -> PrefixCache.Root {
        PrefixCache.Root(usesAdapters: model.adapters.isEnabled, adapter: request.adapter)
    }

    /// What the cache knows of a prompt; its last token is computed in any case, as its scores are asked for.
    private func known(_ request: GenerationRequest) -> PrefixCache.Match {
        guard limits.reusesPrefixes, !request.scoresPrompt, request.prompt.count <= model.stableLength
        else {
            return PrefixCache.Match()
        }
        return prefixes.match(request.prompt.dropLast(), root(request))
    }

    private func remember(
        _ request: GenerationRequest, _ tokens: ArraySlice<Int32>, isFinal: Bool,
        _ sequence: inout KeyValueCache.Sequence
    ) {
        guard limits.reusesPrefixes, tokens.count <= model.stableLength else { return }
        prefixes.insert(tokens, root(request), isFinal: isFinal, &sequence)
    }

    /// Whether a prompt begins as another one for at least a block more than is known.
    private func sharesMore(
        _ other: GenerationRequest, _ request: GenerationRequest, than length: Int
    ) -> Bool {
        guard limits.reusesPrefixes, !needsStates, !request.scoresPrompt, request.adapter == other.adapter
        else { return false }
        let whole = (length / KeyValueStore.blockSize + 1) * KeyValueStore.blockSize
        guard request.prompt.count > whole, other.prompt.count >= whole else { return false }
        return request.prompt.prefix(whole) == other.prompt.prefix(whole)
    }

    /// Blocks that a request's sequences may come to hold: the prompt's once, and what each answer adds.
    private func blocksNeeded(for request: GenerationRequest) -> Int {
        let size = KeyValueStore.blockSize
        let prompt = request.prompt.count, shared = prompt / size
        // The last token of an answer is never read.
        let all = clampedSum(prompt, request.options.newTokenLimit(promptLength: prompt) - 1)
        let whole = all / size + (all % size == 0 ? 0 : 1)
        // Texts that are computed anew share nothing any more.
        if let restart = model.config.restartLength, prompt <= restart, all > restart {
            return clampedProduct(request.width, whole)
        }
        let own = whole - shared
        return clampedSum(shared, clampedProduct(request.width, own))
    }

    /// A request's place, unless what runs may yet need the room.
    private func admitted(
        _ id: RequestID, _ request: GenerationRequest, _ matcher: GrammarMatcher?,
        _ match: PrefixCache.Match
    ) throws -> LiveRequest? {
        let reserved = blocksNeeded(for: request) - match.length / KeyValueStore.blockSize
        if cache.capacity != .max {
            let running = beginning + writing
            let shared = Set(running.flatMap(\.sharedBlocks) + match.blocks)
            let promised = running.reduce(0) { $0 + $1.reservedBlocks }
            guard running.isEmpty || shared.count + promised + reserved <= cache.capacity else { return nil }
        }
        let random: Generator =
            switch request.random {
            case .seed(let seed): try Generator(seed: seed)
            case .stream(let generator): generator
            }
        return LiveRequest(
            id, request, random: random,
            prompt: cache.sequence(of: match.blocks, length: match.length, states: match.states),
            reservedBlocks: reserved, matcher: matcher)
    }
}

extension Array {
    /// The elements in their order, those of an adapter behind the first of them: a pass treats rows of one adapter together.
    fileprivate func groupedByAdapter(_ adapter: (Element) -> String?) -> [Element] {
        var order: [String?: Int] = [:]
        for element in self {
            let name = adapter(element)
            if order[name] == nil { order[name] = order.count }
        }
        guard order.count > 1 else { return self }
        var groups: [[Element]] = Array<[Element]>(repeating: [], count: order.count)
        for element in self { groups[order[adapter(element)] ?? 0].append(element) }
        return groups.flatMap { $0 }
    }
}

/// Sums and products of counts that somebody else chose: `Int.max` where they are beyond it.
private func clampedSum(_ a: Int, _ b: Int) -> Int {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? .max : sum
}

private func clampedProduct(_ a: Int, _ b: Int) -> Int {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? .max : product
}

/// What an engine has done.
package struct EngineCounters: Sendable, Equatable {
    package var steps = 0
    /// Tokens of prompts that were computed.
    package var computedPromptTokens = 0
    /// Tokens of prompts that the cache knew.
    package var reusedPromptTokens = 0
    package var generatedTokens = 0
    /// Passes that continued answers; a step whose tokens were all guessed before takes none.
    package var decodingPasses = 0
    /// Tokens that were guessed (`EngineLimits.guessesTokens`), and those that came.
    package var guessedTokens = 0
    package var rightTokens = 0

    package init() {}
}
