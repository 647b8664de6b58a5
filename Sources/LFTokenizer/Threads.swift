import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Runs `body` on this thread and on `count - 1` others, and returns when all have finished.
func runThreads(_ count: Int, _ body: @escaping @Sendable () -> Void) {
    final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var threads: [pthread_t] = []
    for _ in 1..<max(count, 1) {
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(body))
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, work.toOpaque())
        if status == 0 { threads.append(thread) } else { work.release() }
    }
    body()
    for thread in threads { pthread_join(thread, nil) }
}

/// Cuts `count` items into shares, which threads take one after the other.
///
/// - Returns: What `body` made of each share, in order, whatever the number of threads.
/// - Throws: The error of the first share that failed; the shares behind it may not have run.
func mapShares<R: Sendable>(
    _ count: Int, threads: Int, _ body: @escaping @Sendable (Range<Int>) throws -> R
) throws -> [R] {
    // Small enough that no thread waits long for the last one, large enough that taking one costs nothing.
    let share = max(1, min(256, count / (max(threads, 1) * 8)))
    let shareCount = (count + share - 1) / share
    let results = Mutex<[R?]>([R?](repeating: nil, count: shareCount))
    let failure = Mutex<(share: Int, error: any Error)?>(nil)
    let next = Atomic<Int>(0)
    runThreads(min(max(threads, 1), shareCount)) {
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if index >= shareCount { return }
            do {
                let result = try body(index * share..<min((index + 1) * share, count))
                results.withLock { $0[index] = result }
            } catch {
                failure.withLock { if index < $0?.share ?? .max { $0 = (index, error) } }
                return
            }
        }
    }
    if let failure = failure.withLock({ $0 }) { throw failure.error }
    return results.withLock { $0.compactMap { $0 } }
}
