import LFDiagnostics
package import LFReport
package import LFTorch
import Logging

/// Records a few steps of a run once it has warmed up (`profile`), and says where their time went.
package final class StepProfiler: RunObserver {
    private let files: RunFiles
    private let dtype: DType
    /// Steps that warm up, and steps that are recorded, where the run has as many.
    private let warmUp = 2
    private let recorded = 5
    private var plan: (first: Int, last: Int)?
    private var recording: ProfileRecording?
    private let logger = Logger(label: "llamafactory.profile")

    /// - Parameter dtype: What products run in.
    package init(outputDir: String, dtype: DType) {
        files = RunFiles(outputDir)
        self.dtype = dtype
    }

    package func receive(_ event: RunEvent) throws {
        switch event {
        case .began(let start) where start.trains:
            let steps = start.totalSteps - start.resumedStep
            guard steps > 0 else { return }
            let first = start.resumedStep + min(warmUp, steps - 1) + 1
            plan = (first, min(first + recorded - 1, start.totalSteps))
            if first == start.resumedStep + 1 { try Profile.start(operations: true) }
        case .stepCompleted(let step):
            guard let plan else { return }
            if step + 1 == plan.first, step < plan.last {
                try Profile.start(operations: true)
            } else if step == plan.last {
                recording = Profile.stop()
            }
        case .stepsEnded: try report()
        default: break
        }
    }

    /// A run that has failed leaves no recording to the next.
    deinit { if plan != nil { _ = Profile.stop() } }

    private func report() throws {
        // A run that was interrupted, or stopped early, ends within.
        let recording = recording ?? Profile.stop()
        guard let plan, let recording else {
            logger.warning("profile: the run ended before a step was recorded.")
            return
        }
        self.plan = nil
        self.recording = nil
        let profile = StepProfile(recording)
        guard profile.stepCount > 0 else {
            logger.warning("profile: the run ended before a step was recorded.")
            return
        }
        let steps = plan.first...(plan.first + profile.stepCount - 1)
        let rate = try Profile.fastest(of: recording.products, dtype).map {
            MeasuredRate(operationsPerSecond: $0.rate, product: $0.product, dtype: dtype)
        }
        let threads = TorchRuntime.threads
        for line in profile.table(steps: steps, threads: threads, rate: rate) {
            Console.standard.writeLine(line)
        }
        try ProfileTrace(recording, facts: profile.json(steps: steps, threads: threads, rate: rate))
            .write(to: files.profileTrace)
        logger.info("The trace is \(files.profileTrace): open it in chrome://tracing or ui.perfetto.dev")
    }
}
