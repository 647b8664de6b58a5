import Dispatch
import Foundation
import LFDiagnostics
import LFGeneration
import LFTorch
import Synchronization

/// What a request hears of its answers.
enum ServiceEvent: Sendable {
    case generation(GenerationEvent)
    case failed(APIError)
}

/// A request's place in the service.
struct Ticket: Sendable {
    let number: Int
    let events: AsyncStream<ServiceEvent>
}

/// Steps an engine on a thread of its own for requests that come from anywhere.
final class AnswerService: Sendable {
    /// What the service does at a moment.
    struct Status: Sendable {
        var counters = EngineCounters()
        var running = 0
        var queued = 0
        var cacheUse = (used: 0, capacity: 0)
    }

    private enum Command: Sendable {
        case submit(Submission)
        case cancel(Int)
        case embed(EmbeddingJob)
        case stop
    }

    private struct Submission: Sendable {
        let number: Int
        let request: @Sendable () -> GenerationRequest
        let continuation: AsyncStream<ServiceEvent>.Continuation
        let time = ContinuousClock.now
    }

    private struct State: Sendable {
        var inbox: [Command] = []
        var nextNumber = 0
        /// Requests that wait for their first token.
        var queued = 0
        var status = Status()
        var isStopped = false
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)
    private let queueLimit: Int
    private let metrics: ServerMetrics

    /// - Parameters:
    ///   - engine: Nobody else uses it or its model afterwards.
    ///   - queueLimit: Requests that may wait for their first token.
    ///   - metrics: Hears how long requests take.
    ///   - threads: Threads that computing uses; nil leaves it to libtorch.
    init(_ engine: sending GenerationEngine, queueLimit: Int, metrics: ServerMetrics, threads: Int?) {
        self.queueLimit = queueLimit
        self.metrics = metrics
        // The thread below is the only one that touches the engine from here on.
        nonisolated(unsafe) let engine = engine
        let thread = Thread { [self] in
            if let threads { TorchRuntime.setThreads(threads) }
            Worker(engine: engine, service: self).run()
        }
        thread.stackSize = 64 << 20
        thread.name = "answers"
        thread.start()
    }

    var status: Status {
        state.withLock { state in
            var status = state.status
            status.queued = state.queued
            return status
        }
    }

    /// Takes requests, all of them or none.
    ///
    /// - Throws: `APIError.busy` when too many wait.
    func submit(_ requests: [@Sendable () -> GenerationRequest]) throws(APIError) -> [Ticket] {
        let streams = requests.map { _ in AsyncStream<ServiceEvent>.makeStream() }
        let first: Int? = state.withLock { state in
            guard requests.count <= queueLimit - state.queued else { return nil }
            let first = state.nextNumber
            for (index, request) in requests.enumerated() {
                state.inbox.append(
                    .submit(
                        Submission(
                            number: first + index, request: request,
                            continuation: streams[index].continuation)))
            }
            state.queued += requests.count
            state.nextNumber += requests.count
            return first
        }
        guard let first else { throw .busy }
        signal.signal()
        return streams.enumerated().map { index, stream in
            let number = first + index
            // A reader that goes away takes its request with it.
            stream.continuation.onTermination = { [weak self] reason in
                if case .cancelled = reason { self?.cancel(number) }
            }
            return Ticket(number: number, events: stream.stream)
        }
    }

    func cancel(_ number: Int) {
        state.withLock { $0.inbox.append(.cancel(number)) }
        signal.signal()
    }

    /// The mean of the last hidden states of each text.
    ///
    /// - Parameter adapter: The named adapter that acts; nil for the model itself.
    /// - Throws: `APIError.busy` when too many requests wait.
    func embeddings(
        of texts: [[Int32]], adapter: String?, _ watch: ClientWatch
    ) async throws -> [[Float]] {
        try await withCheckedThrowingContinuation { done in
            let job = EmbeddingJob(texts, adapter: adapter, done)
            let refusal: APIError? = state.withLock { state in
                if state.isStopped { return .stopping }
                guard state.queued < queueLimit else { return .busy }
                state.queued += 1
                state.inbox.append(.embed(job))
                return nil
            }
            if let refusal { return job.fail(refusal) }
            watch.follow { job.fail(APIError.gone) }
            signal.signal()
        }
    }

    /// Ends the thread; what runs is cut off.
    func stop() {
        state.withLock { $0.inbox.append(.stop) }
        signal.signal()
    }

    /// The thread's side.
    private struct Worker {
        struct Listener {
            let number: Int
            let continuation: AsyncStream<ServiceEvent>.Continuation
            let time: ContinuousClock.Instant
            var answersLeft: Int
            var isQueued = true
        }

        let engine: GenerationEngine
        let service: AnswerService
        var listeners: [RequestID: Listener] = [:]
        var ids: [Int: RequestID] = [:]
        /// In turn.
        var embeddings: [EmbeddingJob] = []

        init(engine: GenerationEngine, service: AnswerService) {
            self.engine = engine
            self.service = service
        }

        func run() {
            var worker = self
            while true {
                if !engine.isBusy, worker.embeddings.isEmpty { service.signal.wait() }
                let commands = service.state.withLock { state in
                    defer { state.inbox = [] }
                    return state.inbox
                }
                for command in commands {
                    switch command {
                    case .submit(let submission): worker.submit(submission)
                    case .cancel(let number):
                        if let id = worker.ids[number] { engine.cancel(id) }
                    case .embed(let job): worker.embeddings.append(job)
                    case .stop:
                        worker.failAll(.stopping)
                        worker.stop()
                        return
                    }
                }
                do {
                    if engine.isBusy { for event in try engine.step() { worker.deliver(event) } }
                } catch {
                    engine.abandon()
                    worker.failAll(APIError(error))
                }
                worker.embed()
                worker.report()
            }
        }

        private mutating func submit(_ submission: Submission) {
            let request = submission.request()
            do {
                let id = try engine.submit(request)
                listeners[id] = Listener(
                    number: submission.number, continuation: submission.continuation, time: submission.time,
                    answersLeft: request.samples)
                ids[submission.number] = id
            } catch {
                service.state.withLock { $0.queued -= 1 }
                submission.continuation.yield(.failed(APIError(error)))
                submission.continuation.finish()
            }
        }

        /// Computes some texts of the first job.
        private mutating func embed() {
            guard let job = embeddings.first else { return }
            if !job.advance(engine.model) {
                embeddings.removeFirst()
                service.state.withLock { $0.queued -= 1 }
            }
        }

        /// Fails the jobs that are left, and those that come.
        private mutating func stop() {
            let late = service.state.withLock { state in
                state.isStopped = true
                defer { state.inbox = [] }
                return state.inbox
            }
            for command in late {
                if case .embed(let job) = command { embeddings.append(job) }
            }
            for job in embeddings { job.fail(APIError.stopping) }
            embeddings = []
        }

        private mutating func deliver(_ event: GenerationEvent) {
            let id: RequestID
            switch event {
            case .began(let of, _, _):
                id = of
                // The first token comes with the same step.
                if let listener = listeners[id] {
                    service.metrics.addFirstToken(after: listener.time.secondsAgo)
                }
                leaveQueue(id)
            case .token(let of, _, _): id = of
            case .finished(let of, _, let answer):
                id = of
                listeners[id]?.answersLeft -= 1
                if let listener = listeners[id], listener.answersLeft == 0, answer.finishReason != .cancelled
                {
                    service.metrics.addAnswer(after: listener.time.secondsAgo)
                }
            case .failed(let of, let error):
                listeners[of]?.continuation.yield(.failed(APIError(model: error)))
                return end(of)
            }
            listeners[id]?.continuation.yield(.generation(event))
            if listeners[id]?.answersLeft == 0 { end(id) }
        }

        private mutating func leaveQueue(_ id: RequestID) {
            guard listeners[id]?.isQueued == true else { return }
            listeners[id]?.isQueued = false
            service.state.withLock { $0.queued -= 1 }
        }

        private mutating func end(_ id: RequestID) {
            leaveQueue(id)
            guard let listener = listeners.removeValue(forKey: id) else { return }
            ids[listener.number] = nil
            listener.continuation.finish()
        }

        private mutating func failAll(_ error: APIError) {
            for (id, listener) in listeners {
                listener.continuation.yield(.failed(error))
                end(id)
            }
        }

        private func report() {
            let status = Status(
                counters: engine.counters, running: engine.runningCount, cacheUse: engine.cacheUse)
            service.state.withLock { $0.status = status }
        }
    }
}
