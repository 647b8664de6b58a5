import Dispatch
import Foundation
import LFTorch
import LFTrainer
import Synchronization

/// Scores texts on a thread of its own.
final class ScoreService: Sendable {
    private struct State: Sendable {
        var jobs: [(texts: [[Int32]], done: CheckedContinuation<[Double], any Error>)] = []
        /// Jobs that have no scores yet.
        var waiting = 0
        var isStopped = false
    }

    /// Texts that a request may hold.
    static let greatestTextCount = 1024
    /// Tokens that one pass takes, unless a text alone has more.
    private static let tokensPerPass = 8192

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)
    private let queueLimit: Int

    /// - Parameters:
    ///   - model: Nobody else uses it afterwards.
    ///   - queueLimit: Requests that may wait for their scores.
    ///   - threads: Threads that computing uses; nil leaves it to libtorch.
    init(_ model: sending RewardModel, queueLimit: Int, threads: Int?) {
        self.queueLimit = queueLimit
        // The thread below is the only one that touches the model from here on.
        nonisolated(unsafe) let model = model
        let thread = Thread { [self] in
            if let threads { TorchRuntime.setThreads(threads) }
            while true {
                signal.wait()
                let jobs = state.withLock { state in
                    defer { state.jobs = [] }
                    return state.jobs
                }
                for job in jobs {
                    let result = Result { try scores(of: job.texts, by: model) }
                    state.withLock { $0.waiting -= 1 }
                    job.done.resume(with: result)
                }
                if state.withLock({ $0.isStopped && $0.jobs.isEmpty }) { return }
            }
        }
        thread.stackSize = 64 << 20
        thread.name = "scores"
        thread.start()
    }

    /// One score per text, the higher the better.
    ///
    /// - Throws: `APIError.busy` when too many requests wait.
    func scores(of texts: [[Int32]]) async throws -> [Double] {
        try await withCheckedThrowingContinuation { done in
            let refusal: APIError? = state.withLock { state in
                if state.isStopped { return .stopping }
                if state.waiting >= queueLimit { return .busy }
                state.waiting += 1
                state.jobs.append((texts, done))
                return nil
            }
            if let refusal { done.resume(throwing: refusal) } else { signal.signal() }
        }
    }

    /// Scores texts on this thread, some at a time.
    private func scores(of texts: [[Int32]], by model: RewardModel) throws -> [Double] {
        var scores: [Double] = []
        var rest = texts[...]
        while !rest.isEmpty {
            if state.withLock({ $0.isStopped }) { throw APIError.stopping }
            let pass = rest.onePass(limit: Self.tokensPerPass, stableLength: model.stableLength)
            scores += try model.scores(of: Array(pass))
            rest = rest.dropFirst(pass.count)
        }
        guard scores.allSatisfy(\.isFinite) else {
            throw APIError(model: model.notNumbers())
        }
        return scores
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        signal.signal()
    }
}
