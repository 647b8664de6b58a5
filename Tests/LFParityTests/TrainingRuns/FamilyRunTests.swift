import Foundation
import Testing

/// Six steps of each family, LoRA and full, and runs with a router loss, against the original's. A run that is added under `train/runs` is tested.
@Suite struct FamilyRunTests {
    static let runs: [RecordedRun] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: Golden.training + "/runs")) ?? []
        return names.filter { $0.hasPrefix("fam_") || $0 == "sft_lora_gemma2" || $0.hasPrefix("router_") }
            .sorted()
            .map { RecordedRun(name: $0) }
    }()

    /// A folder that is not found would leave nothing to compare.
    @Test func theRecordedRunsAreThere() {
        #expect(Self.runs.count { $0.name.hasPrefix("fam_") } >= 27)
        #expect(Self.runs.count { $0.name.hasPrefix("router_") } >= 2)
    }

    @Test(arguments: runs) func followsTheRecordedRun(_ run: RecordedRun) throws {
        let output = try ScratchFolder()
        try TrainingRunTests.expectCurve(of: run, into: output.path)
    }
}
