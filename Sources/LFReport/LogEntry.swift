public import LFJSON

/// The named numbers of one log event, in the order they were measured.
///
/// Names are upstream's: `loss`, `grad_norm`, `learning_rate`, `rewards/chosen`, …, `epoch`, `step`. A number is an
/// integer or a real one; the files and the console keep the two apart as Python does (`3` and `3.0`).
public struct LogEntry: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// The numbers as a JSON object in insertion order.
    public private(set) var members: JSONObject

    public init() { members = JSONObject() }

    public init(dictionaryLiteral elements: (String, Double)...) {
        members = JSONObject(elements.map { (key: $0.0, value: .double($0.1)) })
    }

    /// - Parameter members: Numbers by name; members that are not numbers are left out.
    public init(_ members: JSONObject) {
        self.members = JSONObject(members.filter { $0.value.double != nil })
    }

    /// Reads a number, integers included; writes a real one in place or at the end; nil removes it.
    public subscript(name: String) -> Double? {
        get { members[name]?.double }
        set { members[name] = newValue.map { .double($0) } }
    }

    /// Writes an integer in place or at the end.
    public mutating func set(_ name: String, integer: Int) { members[name] = .int(Int64(integer)) }

    /// Appends the numbers of `other`, replacing those of the same name.
    public mutating func merge(_ other: LogEntry) {
        for (name, value) in other.members { members[name] = value }
    }

    public var names: [String] { members.keys }
    public var isEmpty: Bool { members.isEmpty }

    /// The optimizer step after which this was logged.
    public var step: Int? {
        get { members["step"]?.int }
        set { members["step"] = newValue.map { .int(Int64($0)) } }
    }
}
