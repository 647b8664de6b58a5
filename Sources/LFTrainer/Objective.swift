public import LFModels
public import LFNN
public import LFStream
public import LFTorch

/// One named number of a batch, and how much it counts in an average.
public struct Metric {
    public var name: String
    /// A scalar without gradient.
    public var value: Tensor
    public var weight: Double

    public init(_ name: String, _ value: Tensor, weight: Double = 1) {
        self.name = name
        self.value = value
        self.weight = weight
    }
}

/// What an objective makes of one batch.
public struct ObjectiveOutcome {
    /// A scalar; in training it carries gradient.
    public var loss: Tensor
    public var metrics: [Metric]
    /// One score per sequence, `[sequenceCount]` without gradient, of an objective that scores.
    public var scores: Tensor?

    public init(loss: Tensor, metrics: [Metric] = [], scores: Tensor? = nil) {
        self.loss = loss
        self.metrics = metrics
        self.scores = scores
    }
}

/// One update of the weights: batches whose summed losses are divided.
public struct Update {
    public typealias Loss = (DeviceStream) throws(TorchError) -> ObjectiveOutcome

    /// Each batch, and what makes its loss of it.
    public var batches: [(stream: TokenStream, loss: Loss)]
    public var divisor: Double
    /// What was measured on the way to the batches.
    public var metrics: [Metric]

    public init(batches: [(stream: TokenStream, loss: Loss)], divisor: Double, metrics: [Metric] = []) {
        self.batches = batches
        self.divisor = divisor
        self.metrics = metrics
    }
}

/// What is minimised: turns a batch into a loss.
///
/// The loss of an optimizer step is the sum of its batches' training losses divided by `lossDivisor`, so that accumulation
/// and batch size do not change it.
public protocol Objective: AnyObject {
    /// How examples are laid out for it.
    var collator: Collator { get }

    /// Which examples it can learn from; only these enter a batch and count in a mean.
    var learnable: LearnableExamples { get }

    /// How many times the configured accumulation a step's examples are.
    var bufferedUpdates: Int { get }

    /// Whether the loss of a step depends on which of its examples share a batch, beyond a mean over batches of one size. Else several
    /// processes may deal them as suits their speed.
    var dependsOnBatches: Bool { get }

    /// What one step does with its examples: by default one update with the loss of those that are learnable. An objective
    /// that learns from its own answers writes them here.
    ///
    /// - Parameter batches: The step's examples as the loop batches them.
    /// - Returns: Nothing where no example of the step is learnable.
    func updates(of batches: [[Example]]) throws -> [Update]

    /// By what the summed losses of the batches of one optimizer step are divided.
    func lossDivisor(of batches: [TokenStream]) -> Double

    /// The batch's part of the step's loss, before division.
    func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome

    /// The batch's mean loss; called without recording.
    func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome

    /// Metrics that follow from the averages of the others over a log interval, such as a difference of two means.
    func derivedMetrics(of averages: [String: Double]) -> [(name: String, value: Double)]

    /// The same for the averages over an evaluation set.
    func derivedEvaluationMetrics(of averages: [String: Double]) -> [(name: String, value: Double)]

    /// Running values that a checkpoint must hold for an exact resume.
    var runningValues: [String: Double] { get set }

    /// Random streams of its own, which a checkpoint must hold.
    var generators: [(name: String, generator: Generator)] { get }

    /// Models besides the trained one that it computes with.
    var frozenModels: [LanguageModel] { get }

    /// The weights of a head of its own behind the trained model.
    var headParameters: [Parameter] { get }

    /// What its frozen reference gives the training set's sequences, kept from epoch to epoch; nil where no reference stays as it is.
    var referenceScores: ReferenceScores? { get }

    /// Comes before the first step: from then on training losses may ask the other processes what they have measured.
    func join(_ communicator: any Communicator)

    /// Answers what other processes ask for in a batch that has nothing to learn from here.
    func attendBatchOfOthers() throws(TorchError)
}

extension Objective {
    public var learnable: LearnableExamples { .withToken }

    public var bufferedUpdates: Int { 1 }

    public var dependsOnBatches: Bool { true }

    public var frozenModels: [LanguageModel] { [] }

    public var headParameters: [Parameter] { [] }

    public var referenceScores: ReferenceScores? { nil }

    public func join(_ communicator: any Communicator) {}

    public func attendBatchOfOthers() throws(TorchError) {}

    public func updates(of batches: [[Example]]) throws -> [Update] {
        let counted = batches.map { $0.filter(learnable.contains) }.filter { !$0.isEmpty }
        guard !counted.isEmpty else { return [] }
        let streams = counted.map { collator.stream(of: $0) }
        let loss: Update.Loss = { (batch) throws(TorchError) in try self.trainingLoss(batch) }
        return [Update(batches: streams.map { ($0, loss) }, divisor: lossDivisor(of: streams))]
    }

    public var generators: [(name: String, generator: Generator)] { [] }

    public func derivedMetrics(of averages: [String: Double]) -> [(name: String, value: Double)] { [] }

    public func derivedEvaluationMetrics(
        of averages: [String: Double]
    ) -> [(name: String, value: Double)] {
        derivedMetrics(of: averages)
    }

    public var runningValues: [String: Double] {
        get { [:] }
        set {}
    }
}
