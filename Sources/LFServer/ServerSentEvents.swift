import Hummingbird
import LFJSON
import NIOCore

/// A response that is written as the answers come.
struct EventStream {
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    mutating func send(_ value: JSONValue) async throws {
        try await send(value.serialized(ensureASCII: false))
    }

    /// An event with a name of its own.
    mutating func send(_ value: JSONValue, named name: String) async throws {
        let data = value.serialized(ensureASCII: false)
        try await writer.write(ByteBuffer(string: "event: \(name)\ndata: \(data)\n\n"))
    }

    mutating func send(_ data: String) async throws {
        try await writer.write(ByteBuffer(string: "data: \(data)\n\n"))
    }

    /// Says that the connection lives, which also finds out whether the reader does.
    mutating func beat() async throws { try await writer.write(ByteBuffer(string: ": waiting\n\n")) }

    consuming func finish() async throws { try await writer.finish(nil) }

    /// A response of events.
    ///
    /// - Parameters:
    ///   - endsWithDone: Whether `[DONE]` follows the last one.
    ///   - write: Sends them; an error that it throws becomes the last one.
    static func response(
        endsWithDone: Bool = true, _ write: @escaping @Sendable (inout EventStream) async throws -> Void
    ) -> Response {
        let body = ResponseBody { writer in
            var stream = EventStream(writer)
            do {
                try await write(&stream)
            } catch let error as APIError {
                try await stream.send(error.json)
            }
            if endsWithDone { try await stream.send("[DONE]") }
            try await stream.finish()
        }
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"], body: body
        )
    }
}

/// The events of a ticket, and a beat at regular intervals.
struct TimedEvents {
    enum Event: Sendable {
        case service(ServiceEvent)
        case beat
    }

    /// Merges events with beats.
    static func stream(_ ticket: Ticket, every interval: Duration = .seconds(10)) -> AsyncStream<Event> {
        AsyncStream { continuation in
            let beats = Task {
                while !Task.isCancelled {
                    try? await Task.sleep(for: interval)
                    continuation.yield(.beat)
                }
            }
            let events = Task {
                for await event in ticket.events { continuation.yield(.service(event)) }
                continuation.finish()
            }
            continuation.onTermination = { _ in
                beats.cancel()
                events.cancel()
            }
        }
    }
}
