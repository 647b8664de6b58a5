import Dispatch
import Foundation
import LFTorch
import LFTrainer
import Synchronization

/// Scores texts on a thread of its own.
final class ScoreService: Sendable {
    private struct State: Sendable {
        var jobs: [(texts: [[Int32]], done: CheckedContinuation<[Double], any Error>)] = []
        var isStopped = false
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - model: Nobody else uses it afterwards.
    ///   - threads: Threads that computing uses; nil leaves it to libtorch.
    init(_ model: sending RewardModel, threads: Int?) {
        // The thread below is the only one that touches the model from here on.
        nonisolated(unsafe) let model = model
        let thread = Thread { [self] in
            if let threads { TorchRuntime.setThreads(threads) }
            while true {
                signal.wait()
                let (jobs, isStopped) = state.withLock { state in
                    defer { state.jobs = [] }
                    return (state.jobs, state.isStopped)
                }
                for job in jobs {
                    if isStopped {
                        job.done.resume(throwing: APIError.stopping)
                    } else {
                        job.done.resume(with: Result { try model.scores(of: job.texts) })
                    }
                }
                if isStopped { return }
            }
        }
        thread.stackSize = 64 << 20
        thread.name = "scores"
        thread.start()
    }

    /// One score per text, the higher the better.
    func scores(of texts: [[Int32]]) async throws -> [Double] {
        try await withCheckedThrowingContinuation { done in
            state.withLock { $0.jobs.append((texts, done)) }
            signal.signal()
        }
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        signal.signal()
    }
}
