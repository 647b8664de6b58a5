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
        case submit(Int, @Sendable () -> GenerationRequest, AsyncStream<ServiceEvent>.Continuation)
        case cancel(Int)
        case stop
    }

    private struct State: Sendable {
        var inbox: [Command] = []
        var nextNumber = 0
        /// Requests that wait for their first token.
        var queued = 0
        var status = Status()
    }

    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)
    private let queueLimit: Int

    /// - Parameters:
    ///   - engine: Nobody else uses it or its model afterwards.
    ///   - queueLimit: Requests that may wait for their first token.
    ///   - threads: Threads that computing uses; nil leaves it to libtorch.
    init(_ engine: sending GenerationEngine, queueLimit: Int, threads: Int?) {
        self.queueLimit = queueLimit
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

    /// Takes a request.
    ///
    /// - Throws: `APIError.busy` when too many wait.
    func submit(_ request: @escaping @Sendable () -> GenerationRequest) throws(APIError) -> Ticket {
        let (events, continuation) = AsyncStream<ServiceEvent>.makeStream()
        let number: Int? = state.withLock { state in
            guard state.queued < queueLimit else { return nil }
            state.queued += 1
            state.nextNumber += 1
            state.inbox.append(.submit(state.nextNumber, request, continuation))
            return state.nextNumber
        }
        guard let number else { throw .busy }
        // A reader that goes away takes its request with it.
        continuation.onTermination = { [weak self] reason in
            if case .cancelled = reason { self?.cancel(number) }
        }
        signal.signal()
        return Ticket(number: number, events: events)
    }

    func cancel(_ number: Int) {
        state.withLock { $0.inbox.append(.cancel(number)) }
        signal.signal()
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
            var answersLeft: Int
            var isQueued = true
        }

        let engine: GenerationEngine
        let service: AnswerService
        var listeners: [RequestID: Listener] = [:]
        var ids: [Int: RequestID] = [:]

        init(engine: GenerationEngine, service: AnswerService) {
            self.engine = engine
            self.service = service
        }

        func run() {
            var worker = self
            while true {
                if !engine.isBusy { service.signal.wait() }
                let commands = service.state.withLock { state in
                    defer { state.inbox = [] }
                    return state.inbox
                }
                for command in commands {
                    switch command {
                    case .submit(let number, let request, let continuation):
                        worker.submit(number, request(), continuation)
                    case .cancel(let number):
                        if let id = worker.ids[number] { engine.cancel(id) }
                    case .stop:
                        worker.failAll(.stopping)
                        return
                    }
                }
                do {
                    if engine.isBusy { for event in try engine.step() { worker.deliver(event) } }
                } catch {
                    engine.abandon()
                    worker.failAll(APIError(error))
                }
                worker.report()
            }
        }

        private mutating func submit(
            _ number: Int, _ request: GenerationRequest,
            _ continuation: AsyncStream<ServiceEvent>.Continuation
        ) {
            do {
                let id = try engine.submit(request)
                listeners[id] = Listener(
                    number: number, continuation: continuation, answersLeft: request.samples)
                ids[number] = id
            } catch {
                service.state.withLock { $0.queued -= 1 }
                continuation.yield(.failed(APIError(error)))
                continuation.finish()
            }
        }

        private mutating func deliver(_ event: GenerationEvent) {
            let id: RequestID
            switch event {
            case .began(let of, _, _):
                id = of
                leaveQueue(id)
            case .token(let of, _, _): id = of
            case .finished(let of, _, _):
                id = of
                listeners[id]?.answersLeft -= 1
            case .failed(let of, let error):
                listeners[of]?.continuation.yield(
                    .failed(APIError(500, "\(error.problem) \(error.remedy)", code: "internal_error")))
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
