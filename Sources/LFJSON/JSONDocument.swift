import CSimdJSON
public import LFDiagnostics

/// A parsed document that stays flat: values are read from it on demand, without a tree.
///
/// Made for files of which much is skipped or goes into other structures (a vocabulary of 128,000 entries, rows of a
/// data set). `JSONValue.parse` is the comfortable way for the rest.
public final class JSONDocument: @unchecked Sendable {
    // Unchecked, because it points into memory that it owns; nothing writes to that memory after `init`.

    /// How deep arrays and objects may nest.
    public static let maximumDepth = 1000

    /// Names the text in error messages: the file's path.
    public let source: String
    let tape: UnsafePointer<UInt64>
    let strings: UnsafePointer<UInt8>
    private let owner: Owner

    private enum Owner {
        case simdjson(TapeParser)
        case scanned(UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt8>)
    }

    /// Reads and parses a file.
    ///
    /// - Throws: A `UserError` with the file, the line and the column of what is wrong.
    public convenience init(path: String) throws(UserError) {
        try self.init(PaddedBytes(path: path), source: path)
    }

    /// Parses UTF-8 text.
    public convenience init(_ bytes: UnsafeRawBufferPointer, source: String) throws(UserError) {
        try self.init(PaddedBytes(copying: bytes), source: source)
    }

    public convenience init(_ bytes: [UInt8], source: String) throws(UserError) {
        try self.init(bytes.withUnsafeBytes { PaddedBytes(copying: $0) }, source: source)
    }

    init(_ text: PaddedBytes, source: String) throws(UserError) {
        self.source = source
        let parser = TapeParser()
        if let (tape, strings) = parser.parse(text.json) {
            self.tape = tape
            self.strings = strings
            owner = .simdjson(parser)
        } else {
            // simdjson refuses what Python's reader accepts (NaN, integers of any size, lone surrogates) and does not
            // say where an error is: the scanner does both.
            var scanner = TapeScanner(text.json, offset: text.byteOrderMarkCount, source: source)
            try scanner.scan()
            let (tape, strings) = scanner.takeStorage()
            self.tape = UnsafePointer(tape)
            self.strings = UnsafePointer(strings)
            owner = .scanned(tape, strings)
        }
    }

    deinit {
        if case .scanned(let tape, let strings) = owner {
            tape.deallocate()
            strings.deallocate()
        }
    }

    public var root: JSONNode { JSONNode(document: self, position: 1) }
}

/// A value inside a `JSONDocument`.
public struct JSONNode: Sendable {
    public let document: JSONDocument
    let position: Int

    private var word: UInt64 { document.tape[position] }
    private var tag: UInt8 { UInt8(word >> 56) }
    var nextPosition: Int { Tape.position(after: position, in: document.tape) }

    public var isObject: Bool { tag == Tape.object }
    public var isArray: Bool { tag == Tape.array }
    public var isString: Bool { tag == Tape.string }
    public var isNull: Bool { tag == Tape.null }

    /// The whole value as a tree.
    public var value: JSONValue {
        var position = position
        return Tape.value(at: &position, document.tape, document.strings)
    }

    public var string: String? {
        isString
            ? String(decoding: Tape.bytes(at: position, document.tape, document.strings), as: UTF8.self) : nil
    }

    public var int: Int? { tag == Tape.int64 ? Int(Int64(bitPattern: document.tape[position + 1])) : nil }

    public var bool: Bool? {
        switch tag {
        case Tape.true: true
        case Tape.false: false
        default: nil
        }
    }

    public var double: Double? {
        switch tag {
        case Tape.double: Double(bitPattern: document.tape[position + 1])
        case Tape.int64: Double(Int64(bitPattern: document.tape[position + 1]))
        case Tape.uint64: Double(document.tape[position + 1])
        case Tape.bigInteger: value.double
        default: nil
        }
    }

    /// Lends a string's UTF-8 bytes, which are valid during the call; nil for other values.
    public func withUTF8<R, E: Error>(_ body: (UnsafeBufferPointer<UInt8>) throws(E) -> R) throws(E) -> R? {
        guard isString else { return nil }
        let result = try body(Tape.bytes(at: position, document.tape, document.strings))
        withExtendedLifetime(document) {}
        return result
    }

    /// The last member with this key; nil where there is none or this is not an object.
    public subscript(key: String) -> JSONNode? {
        guard isObject else { return nil }
        var key = key
        return key.withUTF8 { wanted in
            var found: JSONNode?
            forEachMember { name, node in if name.hasSameBytes(as: wanted) { found = node } }
            return found
        }
    }

    /// A key that stands twice in one object of this value, however deep; nil where every key stands once.
    public var repeatedKey: String? {
        Tape.repeatedKey(in: position, document.tape, document.strings)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Visits the members of an object in order, repeated keys included; nothing for other values.
    ///
    /// The key's UTF-8 bytes are valid during the call.
    public func forEachMember<E: Error>(
        _ body: (_ key: UnsafeBufferPointer<UInt8>, _ value: JSONNode) throws(E) -> Void
    ) throws(E) {
        guard isObject else { return }
        let end = Tape.end(of: position, in: document.tape) - 1
        var position = position + 1
        while position < end {
            let key = Tape.bytes(at: position, document.tape, document.strings)
            let node = JSONNode(document: document, position: position + 1)
            try body(key, node)
            position = node.nextPosition
        }
    }

    /// Visits the elements of an array in order; nothing for other values.
    public func forEachElement<E: Error>(_ body: (_ element: JSONNode) throws(E) -> Void) throws(E) {
        guard isArray else { return }
        let end = Tape.end(of: position, in: document.tape) - 1
        var position = position + 1
        while position < end {
            let node = JSONNode(document: document, position: position)
            try body(node)
            position = node.nextPosition
        }
    }

    /// An array's elements, or an empty array.
    public var elements: [JSONNode] {
        var found: [JSONNode] = []
        forEachElement { found.append($0) }
        return found
    }
}

/// Owns a simdjson parser, which lends its last document.
final class TapeParser {
    private let handle: lf_json_parser_t?

    init() { handle = lf_json_parser_new(JSONDocument.maximumDepth) }
    deinit { if let handle { lf_json_parser_free(handle) } }

    /// Returns nil when simdjson refuses the text. `text` must be followed by `LF_JSON_PADDING` readable bytes.
    func parse(
        _ text: UnsafeBufferPointer<UInt8>
    ) -> (tape: UnsafePointer<UInt64>, strings: UnsafePointer<UInt8>)? {
        guard let handle, let base = text.baseAddress else { return nil }
        var tape: UnsafePointer<UInt64>?
        var strings: UnsafePointer<UInt8>?
        guard lf_json_parse(handle, base, text.count, &tape, &strings) == 0, let tape, let strings else {
            return nil
        }
        return (tape, strings)
    }
}
