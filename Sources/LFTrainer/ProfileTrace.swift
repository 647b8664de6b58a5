import Foundation
import LFDiagnostics
package import LFJSON
package import LFTorch

/// A recording in the Trace Event Format, which chrome://tracing and Perfetto show.
package struct ProfileTrace {
    private let recording: ProfileRecording
    /// What stands beside the events.
    private let facts: JSONObject

    package init(_ recording: ProfileRecording, facts: JSONObject = [:]) {
        (self.recording, self.facts) = (recording, facts)
    }

    /// Writes complete events (`ph: X`), times in microseconds since the first.
    ///
    /// - Throws: `UserError` naming the file when it cannot be written.
    package func write(to path: String) throws {
        let start = recording.spans.first?.begin ?? 0
        var names: [String: String] = [:]
        var text = "{\"displayTimeUnit\":\"ms\",\"otherData\":" + JSONValue.object(facts).serialized()
        text += ",\"traceEvents\":["
        for (index, span) in recording.spans.enumerated() {
            let name: String
            if let known = names[span.name] {
                name = known
            } else {
                name = JSONValue.string(span.name).serialized()
                names[span.name] = name
            }
            text += index == 0 ? "\n" : ",\n"
            text += "{\"name\":\(name),\"cat\":\"\(span.category)\",\"ph\":\"X\",\"pid\":1,\"tid\":1"
            text +=
                ",\"ts\":\(microseconds(span.begin - start)),\"dur\":\(microseconds(span.end - span.begin))"
            if span.operations > 0 { text += ",\"args\":{\"GFLOP\":\(span.operations / 1e9)}" }
            text += "}"
        }
        text += "\n]}\n"
        try writeFileAtomically(text, to: path)
    }

    /// Nanoseconds as microseconds with three digits, exactly.
    private func microseconds(_ nanoseconds: Int64) -> String {
        let rest = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }
}

extension ProfileSpan {
    fileprivate var category: String {
        switch kind {
        case .scope: StepPhase(rawValue: name) == nil ? "scope" : "phase"
        case .operation: "operation"
        case .backward: "backward"
        }
    }
}
