import Foundation
import Testing

/// The fused kernels enter the thread runtime that libtorch loads; a build that loses it would silently compute on one thread.
@Suite struct ThreadTests {
    @Test(arguments: Set([1, min(2, ProcessInfo.processInfo.activeProcessorCount)]))
    func fusedKernelsUseAsManyThreadsAsLibtorch(count: Int) throws {
        let workplace = try Workplace()
        let outcome = try Program.run(
            ["env"], in: workplace.path, environment: ["OMP_NUM_THREADS": "\(count)"])
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("- Threads: \(count) (fused kernels: \(count))\n"))
    }
}
