import LFReport
import Testing

/// Whole runs with `streaming: true` against the original's, recorded with `dataloader_num_workers: 1`.
///
/// Those named for passes go over their data several times, each time in another order.
@Suite struct StreamedRunTests {
    static let runs = [
        "stream_sft", "stream_sft_interleave", "stream_sft_concat", "stream_dpo_passes", "stream_kto_passes",
        "stream_rm", "stream_pt_passes",
    ].map { RecordedRun(name: $0) }

    @Test(arguments: runs) func followsTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try TrainingRunTests.expectCurve(of: run, into: output.path)
        let ours = try TrainerState.load(from: output.path)
        let theirs = try TrainerState.load(from: run.folder)
        #expect(ours.numTrainEpochs == theirs.numTrainEpochs && ours.epoch == theirs.epoch)
    }
}
