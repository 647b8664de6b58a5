import Dispatch
import Synchronization

/// Applies `transform` to `0..<count` on several threads and returns the results in order.
///
/// - Throws: The error of the lowest number among those that failed.
package func parallelMap<Result: Sendable>(
    _ count: Int, threads: Int, _ transform: @Sendable (Int) throws -> Result
) throws -> [Result] {
    guard threads > 1, count > 1 else { return try (0..<count).map(transform) }
    // Small pieces, so that one long document does not leave the other threads idle.
    let pieceSize = max(1, min(64, count / (threads * 4)))
    let pieceCount = (count + pieceSize - 1) / pieceSize
    let progress = Mutex(Progress<Result>(pieces: Array(repeating: [], count: pieceCount)))
    DispatchQueue.concurrentPerform(iterations: min(threads, pieceCount)) { _ in
        while let piece = progress.withLock({ $0.takePiece() }) {
            var results: [Result] = []
            results.reserveCapacity(pieceSize)
            do {
                for i in piece * pieceSize..<min((piece + 1) * pieceSize, count) {
                    results.append(try transform(i))
                }
                progress.withLock { $0.pieces[piece] = results }
            } catch {
                progress.withLock { $0.fail(piece, error) }
            }
        }
    }
    return try progress.withLock { progress in
        if let failure = progress.failure { throw failure.error }
        return Array(progress.pieces.joined())
    }
}

private struct Progress<Result: Sendable>: Sendable {
    var pieces: [[Result]]
    var nextPiece = 0
    var failure: (piece: Int, error: any Error)?

    /// The next piece to work on; none once a piece has failed, because all earlier ones are taken by then.
    mutating func takePiece() -> Int? {
        guard failure == nil, nextPiece < pieces.count else { return nil }
        defer { nextPiece += 1 }
        return nextPiece
    }

    mutating func fail(_ piece: Int, _ error: any Error) {
        if let failure, failure.piece < piece { return }
        failure = (piece, error)
    }
}
