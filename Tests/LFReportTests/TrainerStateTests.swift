import Foundation
import LFDiagnostics
import LFJSON
import LFReport
import Testing

@Suite struct TrainerStateTests {
    /// Reading upstream's file and writing it again gives the same bytes: keys, order, number formats.
    @Test func roundTripsUpstreamsFileByteForByte() throws {
        let folder = try ScratchFolder()
        let state = try TrainerState.load(from: recordedRun)
        #expect(state.globalStep == 20 && state.maxSteps == 20 && state.epoch == 1.25)
        #expect(state.logHistory.count == 21)
        #expect(state.logHistory[0]["grad_norm"] == 3.0882301330566406)
        #expect(state.control.shouldSave && state.control.shouldTrainingStop && !state.control.shouldLog)
        try state.save(in: folder.path)
        let recorded = try String(contentsOfFile: recordedRun + "/trainer_state.json", encoding: .utf8)
        #expect(try folder.text("trainer_state.json") == recorded)
    }

    @Test func keepsBestMetricCallbacksAndNaN() throws {
        let folder = try ScratchFolder()
        var state = TrainerState()
        state.bestMetric = 0.25
        state.bestGlobalStep = 10
        state.bestModelCheckpoint = "out/checkpoint-10"
        state.callbacks["EarlyStoppingCallback"] = ["attributes": ["early_stopping_patience_counter": 2]]
        state.globalStep = 12
        state.epoch = 0.5
        state.log(["loss": .nan, "grad_norm": .infinity])
        try state.save(in: folder.path)
        let read = try TrainerState.load(from: folder.path)
        #expect(read.bestMetric == 0.25 && read.bestGlobalStep == 10)
        #expect(read.bestModelCheckpoint == "out/checkpoint-10")
        #expect(read.callbacks == state.callbacks)
        #expect(read.logHistory[0]["loss"]?.isNaN == true && read.logHistory[0]["grad_norm"] == .infinity)
        #expect(read.logHistory[0].step == 12 && read.logHistory[0]["epoch"] == 0.5)
    }

    @Test func loggingAddsEpochAndStepLast() {
        var state = TrainerState()
        state.globalStep = 3
        state.epoch = 0.75
        let entry = state.log(["loss": 1, "learning_rate": 0])
        #expect(entry.names == ["loss", "learning_rate", "epoch", "step"])
        #expect(state.logHistory == [entry])
    }

    @Test(arguments: [
        (#"[]"#, "expected an object, found an array."),
        (#"{"max_steps": 3, "epoch": 1.0, "log_history": []}"#, "\"global_step\" must be a whole number"),
        (
            #"{"global_step": -1, "max_steps": 3, "epoch": 1.0, "log_history": []}"#,
            "\"global_step\" must be a whole"
        ),
        (
            #"{"global_step": 1, "max_steps": 3, "epoch": "x", "log_history": []}"#,
            "\"epoch\" must be a number, found a string"
        ),
        (
            #"{"global_step": 1e30, "max_steps": 3, "epoch": 1.0, "log_history": []}"#,
            "\"global_step\" must be a whole"
        ),
        (
            #"{"global_step": 1, "max_steps": 3, "epoch": 1.0, "log_history": [1]}"#,
            "\"log_history\" must be an array"
        ),
        (
            #"{"global_step": 1, "max_steps": 3, "epoch": 1.0}"#,
            "\"log_history\" must be an array of objects, found nothing"
        ),
        (#"{"global_step": 1, "max"#, "trainer_state.json"),
    ])
    func aDamagedFileIsRefusedByName(text: String, expected: String) throws {
        let folder = try ScratchFolder()
        try writeFileAtomically(text, to: folder.path + "/trainer_state.json")
        let error = #expect(throws: UserError.self) { try TrainerState.load(from: folder.path) }
        #expect(error?.description.contains(expected) == true)
        #expect(error?.description.contains("trainer_state.json") == true)
    }

    @Test func aFolderThatCannotBeWrittenIsNamed() {
        #expect(throws: UserError.file("/nowhere/trainer_state.json", notBe: "written", errorNumber: ENOENT))
        {
            try TrainerState().save(in: "/nowhere")
        }
    }
}
