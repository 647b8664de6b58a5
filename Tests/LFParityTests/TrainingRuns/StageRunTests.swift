import Foundation
import LFConfig
import LFJSON
import LFReport
import LFWorkflows
import Testing

/// What the stages do around their steps: predictions and early stopping.
@Suite struct StageRunTests {
    /// `do_predict` scores each pair, and its accuracy is the share of lines where the chosen one leads.
    @Test func rewardModelsWriteTheirScores() throws {
        let output = try ScratchFolder()
        var config = try RecordedRun(name: "rm_lora").config(output: output.path)
        config.training.maxSteps = 4
        config.training.doPredict = true
        config.training.doEval = true
        config.training.perDeviceEvalBatchSize = 5
        config.data.evalDataset = config.data.dataset
        try runTraining(config)
        let text = try String(contentsOfFile: output.path + "/generated_predictions.jsonl", encoding: .utf8)
        let lines = try text.split(separator: "\n").map {
            try JSONValue.parse(String($0), source: "predictions")
        }
        #expect(lines.count == 64)
        var right = 0
        for line in lines {
            let chosen = try #require(line["chosen"]?.double)
            let rejected = try #require(line["rejected"]?.double)
            #expect((chosen * 100).rounded() / 100 == chosen && (rejected * 100).rounded() / 100 == rejected)
            if chosen > rejected { right += 1 }
        }
        let results = try JSONValue.read(path: output.path + "/all_results.json")
        let accuracy = try #require(results["predict_accuracy"]?.double)
        // Rounding may make a tie of a close pair.
        #expect(abs(accuracy - Double(right) / 64) < 0.05)
        #expect(results["eval_accuracy"]?.double == accuracy)
        #expect(results["eval_loss"] == results["predict_loss"])
        // The trained adapter and its head score the same by themselves.
        let again = try ScratchFolder()
        config.training.doTrain = false
        config.training.outputDir = again.path
        config.model.adapterNameOrPath = [output.path]
        try runTraining(config)
        #expect(
            try String(contentsOfFile: again.path + "/generated_predictions.jsonl", encoding: .utf8) == text)
    }

    /// A metric that never becomes better ends training after the first evaluation and as many more as patience allows.
    @Test func trainingStopsWhenNothingBecomesBetter() throws {
        let output = try ScratchFolder()
        var config = try RecordedRun(name: "sft_lora").config(output: output.path)
        config.data.evalDataset = config.data.dataset
        config.training.evalStrategy = .steps
        config.training.evalSteps = 2
        config.training.saveSteps = 6
        config.training.learningRate = 0
        config.training.metricForBestModel = "loss"
        config.finetuning.earlyStoppingSteps = 3
        let result = try runTraining(config)
        #expect(!result.isInterrupted)
        // Evaluations at 2 (the first), 4, 6 and 8 (three that are not better).
        #expect(result.state.globalStep == 8)
        #expect(result.state.bestGlobalStep == 2)
        let counter = result.state.callbacks["EarlyStoppingCallback"]?["attributes"]
        #expect(counter?["early_stopping_patience_counter"]?.int == 3)
        // A run that goes on from step 6 has not forgotten the two evaluations before.
        let resumed = try ScratchFolder()
        config.training.outputDir = resumed.path
        config.training.resume = .checkpoint(output.path + "/checkpoint-6")
        #expect(try runTraining(config).state.globalStep == 8)
    }
}
