import Foundation
import LFAdapters
import LFConfig
import LFData
import LFModels
import LFNN
import LFObjectives
import LFReport
import LFStream
import LFTemplate
import LFTokenizer
import LFTorch
import LFTrainer
import Testing

/// ASFT, step by step against the original's run.
///
/// The original adds the means of a step's micro-batches up instead of averaging over the step's tokens. The objective here
/// does the same, so that loss, gradients and weights can be compared; the product averages.
@Suite struct AnchoredRunTests {
    final class SummedMeans: Objective {
        private let inner: TokenObjective
        init(_ inner: TokenObjective) { self.inner = inner }
        var collator: Collator { inner.collator }
        func lossDivisor(of batches: [TokenStream]) -> Double { 1 }
        func trainingLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
            try inner.evaluationLoss(batch)
        }
        func evaluationLoss(_ batch: DeviceStream) throws(TorchError) -> ObjectiveOutcome {
            try inner.evaluationLoss(batch)
        }
    }

    @Test func followsTheRecordedRun() throws {
        let run = RecordedRun(name: "sft_asft")
        let output = try ScratchFolder()
        let config = try run.config(output: output.path)
        guard case .asft(let alpha) = config.finetuning.tokenLoss else {
            Issue.record("the run is about ASFT")
            return
        }
        let setup = try TemplateSetup(
            config.data, tokenizer: Tokenizer.load(directory: config.model.modelNameOrPath))
        let data = try processDatasets(config: config, tokenizer: setup.tokenizer, template: setup.template)
        let model = try loadModel(config.model.modelNameOrPath)
        let reference = try loadModel(config.model.modelNameOrPath)
        let trainable = try model.trainAll(dtype: .float32)
        let objective = SummedMeans(
            TokenObjective(model, loss: .anchored(alpha: alpha), reference: .model(reference)))
        let trainer = Trainer(
            TrainingSubject(
                model: model, objective: objective, trainable: trainable, loraDropout: 0,
                dropoutGenerator: try Generator(seed: 42)),
            data: RunData(trainSet: .list(data.train ?? []), shuffles: false), arguments: config.training,
            world: RunWorld(saveModel: { _ in }))
        _ = try trainer.train()
        for (ours, theirs) in zip(trainer.state.logHistory, try run.log()).dropLast() {
            let step = theirs.step ?? 0
            let (loss, wantedLoss) = (try #require(ours["loss"]), try #require(theirs["loss"]))
            #expect(isClose(loss, wantedLoss, absolute: 2e-4), "step \(step): \(loss), not \(wantedLoss)")
            let (norm, wantedNorm) = (try #require(ours["grad_norm"]), try #require(theirs["grad_norm"]))
            #expect(isClose(norm, wantedNorm, relative: 1e-3), "step \(step): \(norm), not \(wantedNorm)")
        }
        for sample in try run.finalSamples() {
            let entry = try #require(trainable.entries.first { $0.name == sample.name }, "\(sample.name)")
            try sample.expectMatch(entry.parameter.tensor, within: 1e-4)
        }
    }
}
