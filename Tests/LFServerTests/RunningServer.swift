import Foundation
import LFConfig
import LFServer
import LFTemplate
import LFWorkflows
import Synchronization

/// A server of a tiny model on a free port of this machine.
enum RunningServer {
    static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden/train"

    static func configuration(
        _ more: [(String, ArgumentValue)] = [], for use: ConfigurationUse = .api
    ) throws -> ResolvedConfig {
        let values: [(String, ArgumentValue)] = [
            ("model_name_or_path", .string(fixtures + "/models/tiny_llama")), ("template", .string("llama3")),
            ("do_sample", .bool(false)), ("max_new_tokens", .int(24)),
        ]
        let names = Set(more.map(\.0))
        return try resolveConfig(values: values.filter { !names.contains($0.0) } + more, for: use)
    }

    /// Serves while `body` runs, which receives the port; then stops.
    static func with<T: Sendable>(
        _ more: [(String, ArgumentValue)] = [], _ change: (inout ServerSettings) -> Void = { _ in },
        _ body: @escaping @Sendable (Int) async throws -> T
    ) async throws -> T {
        var settings = ServerSettings()
        (settings.host, settings.port, settings.isVerbose) = ("127.0.0.1", 0, false)
        change(&settings)
        let server = try Server(configuration(more), settings)
        let (ports, port) = AsyncStream<Int>.makeStream()
        return try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask {
                try await server.run { port.yield($0) }
                return nil
            }
            group.addTask {
                for await number in ports { return try await body(number) }
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }
}
