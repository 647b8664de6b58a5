import LFDiagnostics

/// A SentencePiece `.model`: its pieces and the settings that tokenizing needs.
///
/// The file is a protocol buffer; the field numbers are those of `sentencepiece_model.proto`.
struct SentencePieceFile {
    enum Kind: UInt64 {
        case unigram = 1
        case bpe = 2
    }

    enum PieceType: UInt64 {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    struct Piece {
        var text: [UInt8] = []
        var score: Float = 0
        var type = PieceType.normal
    }

    private(set) var pieces: [Piece] = []
    private(set) var kind = Kind.unigram
    private(set) var hasByteFallback = false
    private(set) var unknownID = 0
    private(set) var bosID = 1
    private(set) var eosID = 2
    private(set) var unknownPiece = "<unk>"
    private(set) var charsMap: [UInt8] = []
    private(set) var addsDummyPrefix = true

    /// - Throws: A `UserError` where the bytes are not such a file.
    init(_ bytes: [UInt8], path: String) throws(UserError) {
        var model = ProtocolBuffer(bytes[...])
        var isIntact = true
        while let field = model.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let piece)): isIntact = readPiece(piece) && isIntact
            case (2, .bytes(let trainer)): isIntact = readTrainer(trainer) && isIntact
            case (3, .bytes(let normalizer)): isIntact = readNormalizer(normalizer) && isIntact
            default: break
            }
        }
        guard model.isIntact, isIntact, !pieces.isEmpty else {
            throw UserError(
                .failedRun, "the file is no SentencePiece model.", at: path,
                remedy: "Download it again; a file of a few hundred bytes is a pointer that Git LFS left.")
        }
        guard unknownID < pieces.count else {
            throw UserError(
                .failedRun, "unk_id is \(unknownID), but the model has \(pieces.count) pieces.", at: path,
                remedy: "Download the file again.")
        }
    }

    private mutating func readPiece(_ bytes: ArraySlice<UInt8>) -> Bool {
        var buffer = ProtocolBuffer(bytes)
        var piece = Piece()
        while let field = buffer.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let text)): piece.text = Array(text)
            case (2, .fixed32(let score)): piece.score = Float(bitPattern: score)
            case (3, .varint(let type)): piece.type = PieceType(rawValue: type) ?? .normal
            default: break
            }
        }
        pieces.append(piece)
        return buffer.isIntact && String(validating: piece.text, as: UTF8.self) != nil
    }

    private mutating func readTrainer(_ bytes: ArraySlice<UInt8>) -> Bool {
        var buffer = ProtocolBuffer(bytes)
        while let field = buffer.next() {
            switch (field.number, field.value) {
            case (3, .varint(let value)):
                guard let kind = Kind(rawValue: value) else { return false }
                self.kind = kind
            case (35, .varint(let value)): hasByteFallback = value != 0
            case (40, .varint(let value)): unknownID = Int(truncatingIfNeeded: value & 0x7FFF_FFFF)
            case (41, .varint(let value)): bosID = Int(Int32(truncatingIfNeeded: value))
            case (42, .varint(let value)): eosID = Int(Int32(truncatingIfNeeded: value))
            case (45, .bytes(let text)): unknownPiece = String(decoding: text, as: UTF8.self)
            default: break
            }
        }
        return buffer.isIntact
    }

    private mutating func readNormalizer(_ bytes: ArraySlice<UInt8>) -> Bool {
        var buffer = ProtocolBuffer(bytes)
        while let field = buffer.next() {
            switch (field.number, field.value) {
            case (2, .bytes(let map)): charsMap = Array(map)
            case (3, .varint(let value)): addsDummyPrefix = value != 0
            default: break
            }
        }
        return buffer.isIntact
    }

    /// A piece's text; nil for an id without one.
    func text(_ id: Int) -> String? {
        pieces.indices.contains(id) ? String(decoding: pieces[id].text, as: UTF8.self) : nil
    }
}

/// Reads the fields of a protocol buffer's message in order.
struct ProtocolBuffer {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
        case fixed32(UInt32)
    }

    private var rest: ArraySlice<UInt8>
    /// False once a field was cut short or of an unknown kind.
    private(set) var isIntact = true

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func next() -> (number: Int, value: Value)? {
        guard !rest.isEmpty, isIntact else { return nil }
        guard let key = varint(), let value = value(ofKind: key & 7) else {
            isIntact = false
            return nil
        }
        return (Int(truncatingIfNeeded: key >> 3), value)
    }

    private mutating func value(ofKind kind: UInt64) -> Value? {
        switch kind {
        case 0: return varint().map { .varint($0) }
        case 1: return fixed(8).map { .fixed64($0) }
        case 2:
            guard let count = varint(), count <= UInt64(rest.count) else { return nil }
            defer { rest = rest.dropFirst(Int(count)) }
            return .bytes(rest.prefix(Int(count)))
        case 5: return fixed(4).map { .fixed32(UInt32($0)) }
        default: return nil
        }
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64, let byte = rest.popFirst() {
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    private mutating func fixed(_ count: Int) -> UInt64? {
        guard rest.count >= count else { return nil }
        var value: UInt64 = 0
        for (index, byte) in rest.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
        rest = rest.dropFirst(count)
        return value
    }
}
