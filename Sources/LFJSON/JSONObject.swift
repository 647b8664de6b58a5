/// A JSON object that keeps the order of its members.
///
/// Keys are told apart by their bytes, as Python tells them apart: the composed and the decomposed spelling of one
/// character are two keys, although Swift's `String` calls them equal. Two objects are equal when they hold the same
/// members in any order.
public struct JSONObject: Sendable {
    public typealias Element = (key: String, value: JSONValue)

    /// Past this many members a lookup goes through `positions`.
    private static let linearLimit = 12

    private var entries: [Element]
    private var positions: [KeyBytes: Int]?

    public init() { entries = [] }

    /// Later members replace the values of earlier ones with the same key, in the earlier one's place.
    public init(_ members: some Sequence<Element>) {
        self.init()
        entries.reserveCapacity(members.underestimatedCount)
        for (key, value) in members { self[key] = value }
    }

    /// Takes members whose keys the caller knows to be distinct.
    init(distinct members: [Element]) {
        entries = members
        if entries.count > Self.linearLimit { indexPositions() }
    }

    public var keys: [String] { entries.map(\.key) }
    public var values: [JSONValue] { entries.map(\.value) }

    /// Reads, replaces in place, appends, or removes (nil) the member of a key.
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { entries[$0].value } }
        set {
            guard let newValue else {
                removeValue(forKey: key)
                return
            }
            if let position = position(of: key) {
                entries[position].value = newValue
            } else {
                append(key, newValue)
            }
        }
    }

    @discardableResult
    public mutating func removeValue(forKey key: String) -> JSONValue? {
        guard let position = position(of: key) else { return nil }
        let removed = entries.remove(at: position).value
        positions = nil
        if entries.count > Self.linearLimit { indexPositions() }
        return removed
    }

    private mutating func append(_ key: String, _ value: JSONValue) {
        entries.append((key, value))
        if positions != nil {
            positions?[KeyBytes(key)] = entries.count - 1
        } else if entries.count > Self.linearLimit {
            indexPositions()
        }
    }

    private mutating func indexPositions() {
        var found = [KeyBytes: Int](minimumCapacity: entries.count)
        for (position, entry) in entries.enumerated() { found[KeyBytes(entry.key)] = position }
        positions = found
    }

    private func position(of key: String) -> Int? {
        if let positions { return positions[KeyBytes(key)] }
        return entries.firstIndex { $0.key.hasSameBytes(as: key) }
    }
}

extension JSONObject: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { entries.count }
    public subscript(position: Int) -> Element { entries[position] }
}

extension JSONObject: Equatable {
    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.count == b.count && a.allSatisfy { b[$0.key] == $0.value }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init(elements.map { (key: $0.0, value: $0.1) })
    }
}

/// A key that is hashed and compared by its UTF-8 bytes.
private struct KeyBytes: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (a: KeyBytes, b: KeyBytes) -> Bool { a.text.hasSameBytes(as: b.text) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    /// Whether both are the same sequence of code points; `==` asks for canonical equivalence only.
    func hasSameBytes(as other: String) -> Bool {
        utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
    }
}
