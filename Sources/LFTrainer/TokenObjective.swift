import Foundation
public import LFModels
public import LFNN
public import LFObjectives
public import LFStream
public import LFTorch

/// The loss of the labelled tokens: pre-training and supervised fine-tuning.
public final class TokenObjective: Objective {
    public let collator: Collator
    private let model: LanguageModel
    private let loss: TokenLoss
    private let reference: ReferencePolicy
    private let noise: EmbeddingNoise?
    private let routerLoss: RouterLoss?
    private let reportsAccuracy: Bool
    private let reportsPerplexity: Bool

    /// The mean loss of all predicted tokens, whatever their batches; upstream's `loss` and `eval_loss` depend on them.
    static let lossPerToken = "loss_per_token"
    /// What `RouterLoss` gives, without its coefficient.
    static let routerLossName = "router_loss"

    /// - Parameters:
    ///   - reference: What an anchored loss is held against.
    ///   - noise: Added to the embeddings in training.
    ///   - routerLoss: Of a mixture whose routers are balanced.
    ///   - reportsAccuracy: Whether evaluation counts how often the likeliest token is the labelled one.
    ///   - reportsPerplexity: Whether evaluation gives the exponential of the loss per token.
    public init(
        _ model: LanguageModel, loss: TokenLoss = .crossEntropy, reference: ReferencePolicy = .none,
        noise: EmbeddingNoise? = nil, routerLoss: RouterLoss? = nil, reportsAccuracy: Bool = false,
        reportsPerplexity: Bool = false
    ) {
        self.model = model
        self.loss = loss
        self.reference = reference
        self.noise = noise
        self.routerLoss = routerLoss
        // Noise is drawn for each sequence by its own length.
        collator = Collator(sharesPrefixes: noise == nil)
        self.reportsAccuracy = reportsAccuracy
        self.reportsPerplexity = reportsPerplexity
    }

    public var frozenModels: [LanguageModel] { reference.models }

    /// The balance of routers is one of a batch.
    public var dependsOnBatches: Bool { routerLoss != nil }

    /// All labelled tokens of the step, so that every token counts the same.
    public func lossDivisor(of batches: [TokenStream]) -> Double {
        Double(max(1, batches.reduce(0) { $0 + $1.labelCount }))
    }

    public func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let scored = try losses(batch, noise: noise, accuracy: false)
        let loss = try scored.losses.sum()
        let metrics = [try perToken(loss, batch)]
        guard let routerLoss, let balance = scored.balance else {
            return ObjectiveOutcome(loss: loss, metrics: metrics)
        }
        // The step's is the mean over its batches, which count by their labelled tokens as in the divisor.
        let labels = Double(batch.host.labelCount)
        return ObjectiveOutcome(
            loss: try loss + balance * (routerLoss.coefficient * labels),
            metrics: metrics + [Metric(Self.routerLossName, try balance.detached(), weight: labels)])
    }

    public func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
        let (losses, correct, balance) = try losses(batch, noise: nil, accuracy: reportsAccuracy)
        // Over all labelled tokens, as in training: the first of a text counts, although nothing predicts it.
        let sum = try losses.sum()
        var loss = try sum / lossDivisor(of: [batch.host])
        var metrics = [try perToken(sum, batch)]
        if let routerLoss, let balance {
            loss = try loss + balance * routerLoss.coefficient
            metrics.append(
                Metric(Self.routerLossName, balance, weight: Double(batch.host.labelCount)))
        }
        guard let correct else { return ObjectiveOutcome(loss: loss, metrics: metrics) }
        // The mean over examples of each one's share of right tokens.
        let counts = batch.host.targetCounts
        let scored = counts.count { $0 > 0 }
        let shares =
            try correct.to(.float32).groupSum(batch.targetSequences, count: counts.count)
            / Tensor(counts.map { Float(max($0, 1)) }).to(model.device)
        let accuracy = try shares.sum() / Double(max(scored, 1))
        return ObjectiveOutcome(
            loss: loss, metrics: [Metric("accuracy", accuracy, weight: Double(scored))] + metrics)
    }

    public func derivedEvaluationMetrics(
        of averages: [String: Double]
    ) -> [(name: String, value: Double)] {
        guard reportsPerplexity, let loss = averages[Self.lossPerToken] else { return [] }
        return [("perplexity", exp(loss))]
    }

    /// A batch's summed losses as a mean over the tokens that something predicts.
    private func perToken(_ sum: Tensor, _ batch: DeviceStream) throws(TorchError) -> Metric {
        let count = batch.host.targetCount
        return Metric(
            Self.lossPerToken, try sum.detached() / Double(max(count, 1)), weight: Double(count))
    }

    public var generators: [(name: String, generator: Generator)] {
        noise.map { [("neftune", $0.generator)] } ?? []
    }

    /// Per labelled token, `[N]`; whether it is the likeliest, where asked for; and the routers' balance.
    private func losses(
        _ batch: DeviceStream, noise: EmbeddingNoise?, accuracy: Bool
    ) throws(TorchError) -> (losses: Tensor, correct: Tensor?, balance: Tensor?) {
        // The balance of routers concerns all tokens, every other loss the targets alone.
        let batch = routerLoss == nil ? try batch.readingTargets() : batch
        let output = try model.forward(batch, noise: noise)
        let hidden = output.hidden
        var balance: Tensor?
        if let routerLoss, !output.routerLogits.isEmpty {
            let uses = batch.host.useCounts()
            balance = try routerLoss(
                output.routerLogits,
                uses: uses.allSatisfy { $0 == 1 }
                    ? nil : Tensor(uses.map { Float($0) }).to(model.device))
        }
        let scores = try model.tokenScores(
            hidden, batch, accuracy: accuracy, entropyOfTop: loss.entropyOfTop,
            areSummed: loss == .crossEntropy)
        var divergence: Tensor?
        if loss.usesReference {
            let frozen = try reference.evaluate(policy: model) { (reference) throws(TorchError) in
                (hidden: try reference.hiddenStates(batch), head: try reference.headWeights())
            }
            guard let frozen else { preconditionFailure("an anchored loss comes with a reference") }
            divergence = try model.divergence(hidden, from: frozen, batch)
        }
        let losses = try tokenLosses(
            loss, logProbs: scores.logProbs, entropy: scores.entropy, divergence: divergence)
        return (losses, scores.correct, balance)
    }
}
