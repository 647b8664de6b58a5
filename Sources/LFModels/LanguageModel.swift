public import LFNN
public import LFTorch

/// A decoder-only language model over a flat stream of tokens.
public final class LanguageModel {
    public let config: ModelConfig
    /// The type that matrix products run in.
    public private(set) var computeDType: DType
    public let device: Device
    /// All weights in module order; shared ones once.
    public private(set) var parameters: [Parameter]
    /// All linear layers in module order, the head included.
    public private(set) var linears: [(name: String, layer: Linear)]
    /// Switches the adapters of all layers.
    public let adapters = AdapterSwitch()
    /// How many blocks, from the first, are computed again in the backward pass instead of being kept.
    public var recomputedLayers = 0
    /// Brings the blocks' weights where other processes keep them; then all blocks are computed again in the backward pass.
    public var blockSource: (any BlockSource)?

    /// Whether single tokens go through all blocks in one program where these allow it; the numbers are the same.
    package var runsPrograms = true
    /// Passes that were one program.
    package private(set) var programCount = 0
    /// Where its weights and adapters were read from.
    package var sources: WeightSources

    /// Up to which length of a sequence its tokens are computed the same whatever that length is.
    package let stableLength: Int

    private var parts: ModelParts
    /// The blocks of the whole model, whichever of them passes go through.
    private let everyBlock: [any Block]
    private var frozenHeadMean: (weight: Tensor, mean: Tensor)?

    /// What is kept in float32 where the rest is not.
    public struct Widening: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// The weights of norms (upstream's `upcast_layernorm`).
        public static let norms = Widening(rawValue: 1)
        /// What the head gives (upstream's `upcast_lmhead_output`).
        public static let logits = Widening(rawValue: 2)
    }

    /// What a forward pass gives.
    public struct Output {
        /// `[T, hidden]` in `computeDType`, after the last norm; of a stream that reads few rows `[R, hidden]`.
        public let hidden: Tensor
        /// Per block that routes, the scores of its experts before softmax or sigmoid, `[T, experts]`; empty where few rows are read, since
        /// the last block routes these alone.
        public let routerLogits: [Tensor]
        /// The same of all other rows, without gradient, where they were asked for: what a metric reads, and no loss.
        public var unreadHidden: Tensor?
    }

    /// Builds the model and loads its weights.
    ///
    /// - Parameters:
    ///   - storedDType: What frozen weights are held in; nil leaves each as it is stored.
    ///   - computeDType: What products run in.
    ///   - widening: What is kept in float32 where the rest is not.
    /// - Throws: `UserError` naming a tensor that is missing or has another shape than `config` asks for.
    public init(
        _ config: ModelConfig, weights provider: any WeightProvider, storedDType: DType?, computeDType: DType,
        widening: Widening = [], on device: Device
    ) throws {
        let registry = WeightScope.Registry(
            provider, dtype: storedDType, normDType: widening.contains(.norms) ? .float32 : nil,
            device: device)
        self.config = config
        self.computeDType = computeDType
        self.device = device
        sources = WeightSources(model: provider.origin)
        parts = try config.architecture.build(WeightScope(registry))
        everyBlock = parts.blocks
        if widening.contains(.logits) { parts.head.widens = true }
        parameters = registry.parameters
        linears = registry.linears
        stableLength = registry.stableLength
    }

    /// The table of token embeddings; the head's weight too where they are tied.
    public var embedTokens: Embedding { parts.embedding.table }
    /// The layer that makes logits of hidden states; scale, bias and cap come from `headWeights()`.
    public var head: Linear { parts.head.linear }

    /// The stream through all blocks and the last norm: `[T, hidden]` in `computeDType`, or `[R, hidden]` where the stream's `readRows`
    /// say which rows are read.
    ///
    /// - Parameters:
    ///   - noise: Added to the embeddings.
    ///   - cached: Where keys and values are kept while text is generated; without gradient then.
    public func hiddenStates(
        _ stream: DeviceStream, noise: EmbeddingNoise? = nil, cached: CachedForward? = nil
    ) throws(TorchError) -> Tensor {
        try forward(stream, noise: noise, cached: cached).hidden
    }

    /// The same with what the routers of mixtures of experts said.
    ///
    /// - Parameter measuresUnread: Whether the rows that are not read are computed too, without gradient.
    public func forward(
        _ stream: DeviceStream, noise: EmbeddingNoise? = nil, cached: CachedForward? = nil,
        measuresUnread: Bool = false
    ) throws(TorchError) -> Output {
        try adapters.choice.reading(stream.readRows) { () throws(TorchError) in
            try stream.learning { () throws(TorchError) in
                try throughAllBlocks(stream, noise: noise, cached: cached, measuresUnread: measuresUnread)
            }
        }
    }

    private func throughAllBlocks(
        _ stream: DeviceStream, noise: EmbeddingNoise?, cached: CachedForward?, measuresUnread: Bool
    ) throws(TorchError) -> Output {
        let pass = Pass(stream, computeDType: computeDType, cached: cached)
        var x = try parts.embedding(stream, noise: noise, computeDType: computeDType)
        // Sums over many blocks leave float16's range.
        if x.dtype == .float16 { x = try x.to(.float32) }
        if let through = try throughFewRows(x, pass) {
            return Output(hidden: try finished(through), routerLogits: [])
        }
        var routerLogits: [Tensor] = []
        let tokens = stream.tokenCount
        var unread: Tensor?
        for (index, block) in parts.blocks.enumerated() {
            let isLast = index == parts.blocks.count - 1, input = x
            let output = try compute(index, block, input, isLast ? pass.reading(stream.readRows) : pass)
            x = output.hidden
            if isLast, measuresUnread, let others = try stream.readRows?.others() {
                unread = try withoutGrad { () throws(TorchError) in
                    try finished(compute(index, block, input.detached(), pass.reading(others)).hidden)
                }
            }
            if let logits = output.routerLogits, stream.readRows == nil {
                routerLogits.append(logits.dim(0) == tokens ? logits : try logits.slice(0..<tokens))
            }
        }
        x = try finished(x)
        let rows = stream.readRows?.count ?? tokens
        return Output(
            hidden: x.dim(0) == rows ? x : try x.slice(0..<rows), routerLogits: routerLogits,
            unreadHidden: unread)
    }

    /// Single tokens through all blocks in one program; nil where that is not what the pass is, or a block does what programs do not.
    private func throughFewRows(_ x: Tensor, _ pass: Pass) throws(TorchError) -> Tensor? {
        guard let cached = pass.cached, let visible = cached.visible, runsPrograms, blockSource == nil,
            !recordsGrad,
            x.dtype == computeDType, x.dim(0) == pass.stream.tokenCount,
            let program = try RowProgram(x, cached.store, slots: cached.slots, visible)
        else { return nil }
        var steps: [RowStep] = []
        for block in parts.blocks {
            guard let step = try block.rowStep(of: program, pass) else { return nil }
            steps.append(step)
        }
        for step in steps {
            program.beginBlock()
            try step()
        }
        programCount += 1
        return try program.run()
    }

    /// What comes behind the last block.
    private func finished(_ x: Tensor) throws(TorchError) -> Tensor {
        let normed = if let norm = parts.norm { try norm(x) } else { x }
        let narrow = try normed.to(computeDType)
        return if let projection = parts.projection { try projection(narrow) } else { narrow }
    }

    private func compute(
        _ index: Int, _ block: any Block, _ x: Tensor, _ pass: Pass
    ) throws(TorchError) -> LayerOutput {
        guard let source = blockSource else {
            return index < recomputedLayers && recordsGrad ? try again(block, x, pass) : try block(x, pass)
        }
        if recordsGrad, x.requiresGrad || source.learns(index) {
            return try again(block, x, pass, weights: (source, index))
        }
        try source.bring(index)
        defer { source.dismiss(index) }
        return try block(x, pass)
    }

    /// A block whose activations are not kept, nor its weights where they come from elsewhere.
    private func again(
        _ block: any Block, _ x: Tensor, _ pass: Pass,
        weights: (source: any BlockSource, index: Int)? = nil
    ) throws(TorchError) -> LayerOutput {
        let replay = adapters.replayedDropout()
        let body = { (input: Tensor) throws(TorchError) -> [Tensor] in
            if let (source, index) = weights { try source.bring(index) }
            // The second time, with gradients recorded, they stay until these have been passed on.
            let isForward = !recordsGrad
            defer { if isForward, let (source, index) = weights { source.dismiss(index) } }
            let compute = { () throws(TorchError) -> [Tensor] in
                try pass.stream.learning { () throws(TorchError) in
                    let output = try block(input, pass)
                    return [output.hidden] + (output.routerLogits.map { [$0] } ?? [])
                }
            }
            return try replay { () throws(TorchError) -> [Tensor] in
                isForward ? try compute() : try profiled(.recomputation, compute)
            }
        }
        let results = try recomputed(
            x,
            afterBackward: { () throws(TorchError) in
                guard let (source, index) = weights else { return }
                try source.passGradients(of: index)
                source.dismiss(index)
            }, body)
        return LayerOutput(results[0], routerLogits: results.count > 1 ? results[1] : nil)
    }

    /// Keeps all weights here while `body` runs: text is written token by token.
    public func holdingWeights<Result>(_ body: () throws -> Result) throws -> Result {
        guard let source = blockSource else { return try body() }
        try source.holdAll()
        defer { source.releaseAll() }
        return try body()
    }

    /// What each block keeps while text is generated.
    package var caches: [LayerCache] { everyBlock.map(\.cache) }

    /// Per block, what the backward pass reads of each token, in bytes.
    package var activationBytesPerToken: [Int] {
        parts.blocks.map { $0.activationsPerToken * computeDType.size }
    }

    // MARK: Rehearsals

    /// Lets go of the weights of all blocks but these, by number: a plan measures few of them. Passes go through these alone from now on.
    package func keep(blocks kept: [Int]) {
        let isKept = { (parameter: Parameter?) in parameter?.place.map { kept.contains($0.block) } ?? true }
        parameters = parameters.filter(isKept)
        linears = linears.filter { isKept($0.layer.base.parameter) }
        pass(through: kept)
    }

    /// Has passes go through these blocks alone, by their numbers in the whole model, ascending.
    package func pass(through blocks: [Int]) { parts.blocks = blocks.map { everyBlock[$0] } }

    // MARK: Head

    /// What log-probabilities are made of, adapters included where they are on.
    public func headWeights() throws(TorchError) -> HeadWeights { try parts.head.weights() }

    /// Log-probabilities of the stream's targets, `[N]` in nats, float32.
    public func logProbs(_ hidden: Tensor, _ stream: DeviceStream) throws(TorchError) -> Tensor {
        let (hidden, head) = try parts.head.factors(hidden)
        let rows = try stream.distinct(stream.targetRows), ids = try stream.distinct(stream.targetIDs)
        return try stream.perTarget(
            headLogProbs(hidden, head, rows: rows, ids: ids, learned: stream.learnedTargets))
    }

    /// The same, with what else the head can say about the targets.
    ///
    /// - Parameter areSummed: Whether the loss is a multiple of the sum of all log-probabilities: a trained head needs less memory then.
    public func tokenScores(
        _ hidden: Tensor, _ stream: DeviceStream, accuracy: Bool = false, entropyOfTop: Int? = nil,
        areSummed: Bool = false
    ) throws(TorchError) -> TokenScores {
        let (hidden, head) = try parts.head.factors(hidden)
        let rows = try stream.distinct(stream.targetRows), ids = try stream.distinct(stream.targetIDs)
        var scores = try headScores(
            hidden, head, rows: rows, ids: ids, accuracy: accuracy, entropyOfTop: entropyOfTop,
            expected: areSummed && recordsGrad ? stream.targetsPerKind() : nil)
        scores.logProbs = try stream.perTarget(scores.logProbs)
        if let correct = scores.correct { scores.correct = try stream.perTarget(correct) }
        if let entropy = scores.entropy { scores.entropy = try stream.perTarget(entropy) }
        return scores
    }

    /// `KL(q ‖ p)` at the targets' rows, `[N]` in nats: p this model's distribution, q that of another model's hidden states
    /// and head.
    public func divergence(
        _ hidden: Tensor, from reference: (hidden: Tensor, head: HeadWeights), _ stream: DeviceStream
    ) throws(TorchError) -> Tensor {
        let (hidden, head) = try parts.head.factors(hidden)
        let rows = try stream.distinct(stream.targetRows)
        return try stream.perTarget(headDivergence(hidden, head, from: reference, rows: rows))
    }

    /// Logits of some rows of the hidden states: `[rows, hidden]` gives `[rows, vocab]`.
    public func logits(_ hidden: Tensor) throws(TorchError) -> Tensor { try parts.head(hidden) }

    /// The mean over the vocabulary of each row's logits, `[T, hidden]` gives `[T]` float32: `h · mean(W)`, unless a cap bends
    /// them.
    public func meanLogits(_ hidden: Tensor) throws(TorchError) -> Tensor {
        let hidden = try hidden.detached()
        let head = try withoutGrad { () throws(TorchError) in try headWeights() }
        guard head.softcap == nil else { return try meanOfLogits(hidden) }
        var means = try hidden.to(.float32).matmul(meanHeadRow(head.weight))
        if let bias = head.bias { means = try means + bias.detached().to(.float32).mean() }
        return head.scale == 1 ? means : try means * head.scale
    }

    /// The same of all tokens of a stream, `[T]`, whichever rows of it are read.
    ///
    /// - Parameter output: Of a forward pass that measured the rows which are not read.
    public func meanLogits(_ output: Output, _ stream: DeviceStream) throws(TorchError) -> Tensor {
        let means = try meanLogits(output.hidden)
        guard let rows = stream.readRows, let unread = output.unreadHidden else { return means }
        return try Tensor.concatenated([means, meanLogits(unread)]).selecting(rows.placesOfAll())
            .slice(0..<stream.tokenCount)
    }

    private static let meanRows = 256

    private func meanOfLogits(_ hidden: Tensor) throws(TorchError) -> Tensor {
        try withoutGrad { () throws(TorchError) in
            var parts: [Tensor] = []
            var row = 0
            while row < hidden.dim(0) {
                let end = min(row + Self.meanRows, hidden.dim(0))
                parts.append(try logits(hidden.slice(row..<end)).to(.float32).mean(dim: 1))
                row = end
            }
            return try parts.isEmpty ? Tensor.zeros([0], on: device) : .concatenated(parts)
        }
    }

    /// The mean over the vocabulary of the head's rows, `[hidden]` float32; a frozen head's is computed once.
    private func meanHeadRow(_ weight: Tensor) throws(TorchError) -> Tensor {
        try withoutGrad { () throws(TorchError) in
            if let known = frozenHeadMean, known.weight === weight { return known.mean }
            let mean = try weight.to(.float32).mean(dim: 0)
            if head.base.parameter?.isTrainable != true, head.adapter == nil {
                frozenHeadMean = (weight, mean)
            }
            return mean
        }
    }

    // MARK: Weights

    /// Whether the head multiplies with the embedding's weight.
    public var sharesHead: Bool { head.shares(embedTokens.weight) }

    /// Gives a tied head a weight of its own that starts from the embedding's.
    public func separateHead() {
        guard sharesHead, let own = head.keepOwnWeight(named: config.headName) else { return }
        parameters.append(own)
    }

    /// Holds all weights in another type from now on, adapters included, and computes in it. The model is not trained any more.
    package func convert(to dtype: DType) throws(TorchError) {
        for parameter in parameters { try parameter.convert(to: dtype) }
        for (_, layer) in linears {
            for (_, parameter) in layer.adapter?.parameters ?? [] { try parameter.convert(to: dtype) }
        }
        computeDType = dtype
        frozenHeadMean = nil
    }

    /// Lets go of what only the choice of trained weights needed: loaded tensors of other types than those in use.
    public func settle() { for parameter in parameters { parameter.forgetLoaded() } }

    /// Lays the weights behind one another, on huge pages where the system has them: a model that answers reads all of them for every token, and
    /// a processor reads few large pages faster than many small ones. What was loaded is let go. The model is not trained any more.
    ///
    /// - Parameter free: Memory in bytes. Where copies would take more than half of it, weights stay where they are.
    package func layWeightsTogether(free: Int?) throws(TorchError) {
        let weights = parameters.filter { $0.control == nil && $0.tensor.device == .cpu }
        func size(_ parameter: Parameter) -> Int { parameter.tensor.count * parameter.tensor.dtype.size }
        guard let free, blockSource == nil, weights.reduce(0, { $0 + size($1) }) <= free / 2 else { return }
        var group: [Parameter] = [], bytes = 0
        for (index, weight) in weights.enumerated() {
            group.append(weight)
            bytes += size(weight)
            guard bytes >= Self.laidBytes || index == weights.count - 1 else { continue }
            let copies = try Tensor.laidTogether(group.map(\.tensor))
            for (parameter, copy) in zip(group, copies) { parameter.replace(with: copy) }
            (group, bytes) = ([], 0)
            TorchRuntime.trimMemory()
        }
    }

    /// Weights that are copied at once: what memory holds twice meanwhile.
    private static let laidBytes = 256 << 20

    /// Weights in all, adapters not counted.
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.tensor.count } }
}

extension LanguageModel {
    /// The names of the modules with a row per token: embedding and head.
    public var vocabularyModules: [String] {
        [config.embeddingName, config.headName].compactMap { name in
            name.split(separator: ".").dropLast().last.map(String.init)
        }
    }
}
