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
