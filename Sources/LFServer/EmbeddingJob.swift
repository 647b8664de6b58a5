import LFGeneration
import LFModels
import Synchronization

/// Texts whose embeddings somebody waits for; they are computed some at a time, so that answers go on beside them.
final class EmbeddingJob: Sendable {
    private struct State: Sendable {
        /// Embeddings that are there; nil when nobody waits any more.
        var vectors: [[Float]]? = []
        var done: CheckedContinuation<[[Float]], any Error>?
    }

    /// Tokens that one pass takes, unless a text alone has more.
    private static let tokensPerPass = 4096

    private let texts: [[Int32]]
    private let adapter: String?
    private let state: Mutex<State>

    /// - Parameter adapter: The named adapter that acts; nil for the model itself.
    init(_ texts: [[Int32]], adapter: String?, _ done: CheckedContinuation<[[Float]], any Error>) {
        self.texts = texts
        self.adapter = adapter
        state = Mutex(State(done: done))
    }

    /// Computes the next texts.
    ///
    /// - Returns: Whether some are left.
    func advance(_ model: LanguageModel) -> Bool {
        guard let count = state.withLock({ $0.vectors?.count }) else { return false }
        let pass = texts[count...].onePass(limit: Self.tokensPerPass, stableLength: model.stableLength)
        do {
            let vectors = try model.meanHiddenStates(of: Array(pass), adapter: adapter)
            guard vectors.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
                throw APIError(
                    model: model.notNumbers(
                        "The model's hidden states are",
                        otherwise: "Compute in bf16 or float32 instead of fp16; all weights are numbers."))
            }
            state.withLock { $0.vectors? += vectors }
        } catch {
            fail(error)
            return false
        }
        guard let all = state.withLock({ $0.vectors }), all.count == texts.count else {
            return state.withLock { $0.vectors != nil }
        }
        take()?.resume(returning: all)
        return false
    }

    /// Ends it without embeddings.
    func fail(_ error: any Error) { take()?.resume(throwing: error) }

    private func take() -> CheckedContinuation<[[Float]], any Error>? {
        state.withLock { state in
            defer { (state.done, state.vectors) = (nil, nil) }
            return state.done
        }
    }
}
