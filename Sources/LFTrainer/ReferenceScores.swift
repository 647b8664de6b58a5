package import LFCheckpoint
import LFData
package import LFModels
package import LFNN
import LFStream
package import LFTorch

/// The sums of log-probabilities that an objective's frozen reference gives sequences, each computed once: the reference runs in the first epoch, and
/// in the first evaluation, alone. Only where RoPE scaling has turned a batch's positions by its longest sequence is it asked each time.
public final class ReferenceScores {
    private let policy: LanguageModel
    private let reference: ReferencePolicy
    private let training: SequenceScores
    /// By what a batch of an evaluation holds, whose batches are always the same.
    private var evaluated: [SequenceKey: [Double]] = [:]
    private var evaluatedCount = 0
    private let limit: Int

    /// The most sequences that are kept, about 100 MB; of a larger training set none is.
    package static let limit = 1 << 21

    /// How many sequences are looked up in training.
    package var knownCount: Int { training.knownCount }

    /// - Parameter limit: The most sequences that are kept.
    package init(policy: LanguageModel, reference: ReferencePolicy, limit: Int = ReferenceScores.limit) {
        self.policy = policy
        self.reference = reference
        self.limit = limit
        training = SequenceScores(limit: limit)
    }

    /// The sums of a batch's sequences, `[sequenceCount]` in nats; nil without a reference.
    ///
    /// - Parameter like: What decides the type and the device.
    package func sums(of batch: DeviceStream, like: Tensor, isTraining: Bool) throws(TorchError) -> Tensor? {
        switch reference {
        case .none: return nil
        case .itself: return try computed(batch)
        case .adaptersOff, .model: break
        }
        // Where positions depend on the longest sequence of a batch, what it gives is no other batch's.
        if isTraining, batch.longestSequence > stableLength { return try computed(batch) }
        guard !isTraining else {
            return try training.sums(of: batch.host, like: like) { () throws(TorchError) in
                try computed(batch)
            }
        }
        let key = SequenceKey(of: batch.host.sequenceKeys)
        if let values = evaluated[key] { return try Tensor(values).to(like.dtype).to(like.device) }
        let sums = try computed(batch)
        evaluatedCount += batch.host.sequenceCount
        if evaluatedCount <= limit { evaluated[key] = try sums.doubles() }
        return sums
    }

    /// Up to which length of a sequence its sum does not depend on its neighbours' lengths.
    private var stableLength: Int { (reference.models.first ?? policy).stableLength }

    private func computed(_ batch: DeviceStream) throws(TorchError) -> Tensor {
        let sums = try reference.evaluate(policy: policy) { (reference) throws(TorchError) in
            try reference.logProbs(batch).groupSum(
                batch.targetSequences, count: batch.host.sequenceCount)
        }
        guard let sums else { preconditionFailure("only an objective with a reference asks it") }
        return sums
    }

    /// Lets the next epoch look up what the processes have computed in this one.
    package func endEpoch(over communicator: any Communicator) throws(TorchError) {
        try training.endEpoch(over: communicator)
    }

    /// What a checkpoint holds; nothing where nothing is kept.
    package func tensors(over communicator: any Communicator) throws(TorchError) -> [NamedTensor] {
        guard let probe = try probe() else { return [] }
        return try training.tensors(probe: probe, over: communicator)
    }

    /// Takes up what a checkpoint holds, if it was this reference's.
    ///
    /// - Returns: Whether it was.
    package func restore(_ tensors: [NamedTensor]) throws(TorchError) -> Bool {
        guard !tensors.isEmpty, let probe = try probe() else { return true }
        return try training.restore(tensors, probe: probe)
    }

    /// What the reference gives a text that is always the same: tells it, and its precision, from others.
    private func probe() throws(TorchError) -> Tensor? {
        switch reference {
        case .none, .itself: return nil
        case .adaptersOff, .model: break
        }
        let vocab = policy.config.vocabSize
        let ids = (0..<Self.probeLength).map { Int32(($0 * 7919 + 13) % vocab) }
        let text = LabeledSequence(inputIDs: ids, labels: ids)
        let batch = try DeviceStream(Collator().stream(of: [.supervised([text])]), on: policy.device)
        return try reference.evaluate(policy: policy) { (reference) throws(TorchError) in
            try reference.logProbs(batch)
        }
    }

    private static let probeLength = 8
}
