public import LFModels
import LFNN
import LFStream
import LFTorch

/// The frozen policy that the trained one is compared with.
public enum ReferencePolicy {
    /// The objective looks at the policy alone.
    case none
    /// The model without its adapters.
    case adaptersOff
    /// Another model.
    case model(LanguageModel)
    /// The model itself, when it is only evaluated: all rewards are 0.
    case itself

    /// The other model, where the reference is one.
    var models: [LanguageModel] { if case .model(let other) = self { [other] } else { [] } }

    /// Runs `body` on the reference's weights, without recording.
    ///
    /// - Returns: nil when there is no reference.
    func evaluate<Result>(
        policy: LanguageModel, _ body: (LanguageModel) throws(TorchError) -> Result
    ) throws(TorchError) -> Result? {
        try withoutGrad { () throws(TorchError) -> Result? in
            guard let model = self.model(policy: policy) else { return nil }
            return try profiled(.reference) { () throws(TorchError) in
                guard case .adaptersOff = self else { return try body(model) }
                return try model.adapters.disabled { () throws(TorchError) in try body(model) }
            }
        }
    }

    private func model(policy: LanguageModel) -> LanguageModel? {
        switch self {
        case .none: nil
        case .adaptersOff, .itself: policy
        case .model(let other): other
        }
    }
}

extension LanguageModel {
    /// Log-probabilities of the stream's targets from the start, `[N]` in nats.
    func logProbs(_ batch: DeviceStream) throws(TorchError) -> Tensor {
        let batch = try batch.readingTargets()
        return try logProbs(hiddenStates(batch), batch)
    }

    /// Mean logits over the vocabulary and over all tokens of the sequences that are members, shared tokens counted for each, as a
    /// metric that counts by these tokens.
    func meanLogits(
        _ name: String, _ perToken: Tensor, _ batch: DeviceStream, over isMember: (Int) -> Bool
    ) throws(TorchError) -> Metric {
        let weights = batch.host.useCounts(where: isMember).map { Float($0) }
        let total = weights.reduce(0, +)
        let mean = try (perToken * Tensor(weights).to(device)).sum() / Double(max(total, 1))
        return Metric(name, mean, weight: Double(total))
    }
}
