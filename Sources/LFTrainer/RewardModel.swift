import LFAdapters
package import LFDiagnostics
public import LFModels
public import LFNN
import LFStream
import LFTorch

/// What judges answers for PPO.
public protocol AnswerScoring {
    /// One score per text, the higher the better.
    ///
    /// - Parameter texts: Prompts with their answers; token ids, at least one each.
    func scores(of texts: [[Int32]]) throws -> [Double]
    /// Models of its own that it computes with.
    var frozenModels: [LanguageModel] { get }
}

extension AnswerScoring {
    public var frozenModels: [LanguageModel] { [] }
}

/// What scores answers for PPO: a model, or an adapter of the policy's, with a value head.
public final class RewardModel: AnswerScoring {
    private let model: LanguageModel
    private let head: ValueHead
    private let adapters: [LoRAAdapter?]?

    /// - Parameters:
    ///   - model: A model of its own, or the policy.
    ///   - adapters: As the policy's `adapterSlots` lists them, put in the place of its own while it scores; nil for a model of its own.
    public init(_ model: LanguageModel, head: ValueHead, adapters: [LoRAAdapter?]? = nil) {
        self.model = model
        self.head = head
        self.adapters = adapters
    }

    public var frozenModels: [LanguageModel] { adapters == nil ? [model] : [] }

    /// Up to which length of a text its score does not depend on its neighbours' lengths.
    package var stableLength: Int { model.stableLength }

    /// Why scores are not numbers.
    package func notNumbers() -> UserError {
        let what = "The model's scores are"
        if let spoilt = try? head.parameters.first(where: { try !$0.tensor.isFinite() }) {
            return UserError(
                .failedRun, "\(what) not numbers: the value head's \(spoilt.name) holds NaN or infinity.",
                remedy: "Download or save the value head again, or use another model.")
        }
        return model.notNumbers(
            what, otherwise: "Compute in bf16 or float32 instead of fp16; all weights are numbers.")
    }

    /// The head on the last token of each text.
    ///
    /// - Parameter texts: Prompts with their answers; token ids, at least one each.
    public func scores(of texts: [[Int32]]) throws -> [Double] {
        let examples = texts.map { ids in
            let labels = Array(repeating: ignoreIndex, count: ids.count)
            return Example.supervised([LabeledSequence(inputIDs: ids, labels: labels)])
        }
        let stream = Collator().stream(of: examples)
        return try withoutGrad { () throws(TorchError) in
            let batch = try DeviceStream(stream, on: model.device).readingLastRows()
            let read = { () throws(TorchError) -> Tensor in
                try self.head(self.model.hiddenStates(batch).selecting(batch.lastRows))
            }
            let scores =
                if let adapters { try model.exchangingAdapters(adapters, read) } else { try read() }
            return try scores.to(.float32).doubles()
        }
    }
}

extension LanguageModel {
    /// Runs `body` with other adapters in the modules' slots.
    ///
    /// - Parameter adapters: As `adapterSlots` lists them.
    func exchangingAdapters<Result>(
        _ adapters: [LoRAAdapter?], _ body: () throws(TorchError) -> Result
    ) throws(TorchError) -> Result {
        let own = exchangeAdapters(adapters)
        defer { exchangeAdapters(own) }
        return try body()
    }
}
