import Foundation
import LFDiagnostics
import LFJSON
import LFStream

/// A processed dataset as one file: a header of JSON, then 32-bit words, little-endian, then a digest of it all.
///
/// Each example is its kind, the number of its sequences, and per sequence the count of ids, the form of the labels and the
/// ids. The form is the number of leading tokens that are not learned when all others are, else -1, and then the labels
/// stand behind the ids. A sequence that shares its beginning with the one before it has -3 - form instead.
enum TokenizedFile {
    /// The first bytes; the number changes with the layout.
    private static let magic = Array("LFTOKEN1".utf8)
    private static let digestSize = 16

    private enum Kind {
        static let supervised: Int32 = 0
        static let pairwise: Int32 = 1
        static let undesirable: Int32 = 2
        static let desirable: Int32 = 3
        /// A prompt, not learned, and the answer of the data behind it.
        static let prompted: Int32 = 4
    }

    /// What a file holds besides the examples.
    struct Header {
        /// The digest of what the data was made from.
        var key: String
        /// The training stage, whose examples have a form of their own.
        var stage: String
    }

    // MARK: Writing

    /// Writes the file so that it appears whole or not at all.
    ///
    /// - Throws: `UserError` naming `path`.
    static func write(_ module: DatasetModule, _ header: Header, to path: String) throws(UserError) {
        let sets =
            (module.train.map { [("train", nil, $0)] } ?? [])
            + module.eval.map { ("eval", $0.name, $0.examples) }
        var json: JSONObject = [:]
        json["key"] = .string(header.key)
        json["stage"] = .string(header.stage)
        json["warnings"] = .array(module.warnings.map { .string($0) })
        json["first_example"] = .array(module.firstExampleText.map { .string($0) })
        json["sets"] = .array(
            sets.map { role, name, examples in
                var set: JSONObject = [:]
                set["role"] = .string(role)
                set["name"] = name.map { .string($0) } ?? .null
                set["examples"] = .int(Int64(examples.count))
                return .object(set)
            })
        var text = Array(JSONValue.object(json).serialized(ensureASCII: true).utf8)
        text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)

        var writer = try PieceWriter(path: path)
        try writer.append(magic)
        try writer.append([UInt64(text.count).littleEndian])
        try writer.append(text)
        for (_, _, examples) in sets {
            for example in examples {
                let sequences = example.sequences
                try writer.append([kind(of: example), Int32(sequences.count)])
                for sequence in sequences {
                    let lead = uniformLead(of: sequence)
                    let form = lead ?? -1
                    try writer.append([
                        Int32(sequence.inputIDs.count), sequence.sharesBeginning ? -3 - form : form,
                    ])
                    try writer.append(sequence.inputIDs)
                    if lead == nil { try writer.append(sequence.labels) }
                }
            }
        }
        try writer.finish()
    }

    private static func kind(of example: Example) -> Int32 {
        switch example {
        case .supervised: Kind.supervised
        case .pairwise: Kind.pairwise
        case .feedback(_, _, let isDesirable): isDesirable ? Kind.desirable : Kind.undesirable
        case .prompted: Kind.prompted
        }
    }

    /// How many tokens are not learned when these come first and all others are learned.
    private static func uniformLead(of sequence: LabeledSequence) -> Int32? {
        let lead = sequence.labels.firstIndex { $0 != ignoreIndex } ?? sequence.labels.count
        guard sequence.labels[lead...].elementsEqual(sequence.inputIDs[lead...]) else { return nil }
        return Int32(lead)
    }

    // MARK: Reading

    /// Reads a file, checking its digest and every count.
    ///
    /// - Throws: `UserError` naming `path` when it cannot be read or is damaged.
    static func read(_ path: String, threads: Int) throws -> (Header, DatasetModule) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
        } catch {
            throw UserError.file(path, notBe: "read", errorNumber: errno)
        }
        return try data.withUnsafeBytes { bytes in try parse(bytes, path: path, threads: threads) }
    }

    private static func damaged(_ path: String) -> UserError {
        UserError(
            .failedRun, "The tokenized data is damaged.", at: path,
            remedy: "Remove it; it will be made again.")
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, path: String, threads: Int
    ) throws -> (Header, DatasetModule) {
        let end = bytes.count - digestSize
        guard end >= 16, bytes[..<8].elementsEqual(magic), isIntact(bytes, end: end) else {
            throw damaged(path)
        }
        let textCount = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard textCount % 8 == 0, textCount <= UInt64(end - 16) else { throw damaged(path) }
        let start = 16 + Int(textCount)
        guard (end - start) % 4 == 0,
            let text = String(validating: bytes[16..<start], as: UTF8.self),
            let json = try? JSONValue.parse(text, source: path), let key = json["key"]?.string,
            let stage = json["stage"]?.string, let sets = json["sets"]?.array
        else { throw damaged(path) }

        var module = DatasetModule()
        module.warnings = json["warnings"]?.array?.compactMap(\.string) ?? []
        module.firstExampleText = json["first_example"]?.array?.compactMap(\.string) ?? []
        let words = WordReader(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        var place = 0
        for set in sets {
            guard let count = set["examples"]?.int, count >= 0, count <= words.count else {
                throw damaged(path)
            }
            var places: [Int] = []
            places.reserveCapacity(count)
            for _ in 0..<count {
                places.append(place)
                guard let next = words.skipExample(at: place) else { throw damaged(path) }
                place = next
            }
            let chosen = places
            let examples = try parallelMap(count, threads: threads) { i in
                guard let example = example(at: chosen[i], words) else { throw damaged(path) }
                return example
            }
            if set["role"]?.string == "train" {
                module.train = examples
            } else {
                module.eval.append(DatasetModule.Evaluation(name: set["name"]?.string, examples: examples))
            }
        }
        guard place == words.count else { throw damaged(path) }
        return (Header(key: key, stage: stage), module)
    }

    private static func isIntact(_ bytes: UnsafeRawBufferPointer, end: Int) -> Bool {
        var digest = ContentDigest()
        for first in stride(from: 0, to: end, by: ContentDigest.pieceSize) {
            digest.update(
                UnsafeRawBufferPointer(rebasing: bytes[first..<min(first + ContentDigest.pieceSize, end)]))
        }
        return bytes.loadUnaligned(fromByteOffset: end, as: UInt64.self) == digest.value.0.littleEndian
            && bytes.loadUnaligned(fromByteOffset: end + 8, as: UInt64.self) == digest.value.1.littleEndian
    }

    private static func example(at place: Int, _ words: WordReader) -> Example? {
        let kind = words[place]
        let count = Int(words[place + 1])
        var next = place + 2
        var sequences: [LabeledSequence] = []
        for _ in 0..<count {
            let idCount = Int(words[next])
            let (lead, sharesBeginning) = words.form(at: next + 1)
            let ids = words.array(next + 2, idCount)
            next += 2 + idCount
            var labels: [Int32]
            if lead >= 0 {
                labels = Array(repeating: ignoreIndex, count: lead)
                labels += ids[lead...]
            } else {
                labels = words.array(next, idCount)
                next += idCount
            }
            sequences.append(
                LabeledSequence(inputIDs: ids, labels: labels, sharesBeginning: sharesBeginning))
        }
        switch kind {
        case Kind.supervised: return .supervised(sequences)
        case Kind.pairwise where count == 2: return .pairwise(chosen: sequences[0], rejected: sequences[1])
        case Kind.desirable, Kind.undesirable:
            guard count == 2 else { return nil }
            return .feedback(
                answer: sequences[0], unrelated: sequences[1], isDesirable: kind == Kind.desirable)
        case Kind.prompted where count == 1:
            let prompt = sequences[0].labels.prefix { $0 == ignoreIndex }.count
            return .prompted(
                prompt: Array(sequences[0].inputIDs[..<prompt]),
                answer: Array(sequences[0].inputIDs[prompt...]))
        default: return nil
        }
    }
}

/// 32-bit words in mapped memory.
///
/// Unchecked: the pointer is to memory that nobody writes to and that outlives all readers (`TokenizedFile.read`).
private struct WordReader: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    var count: Int { bytes.count / 4 }

    subscript(_ place: Int) -> Int32 {
        Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: place * 4, as: Int32.self))
    }

    func array(_ place: Int, _ count: Int) -> [Int32] {
        Array(unsafeUninitializedCapacity: count) { buffer, filled in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[place * 4..<(place + count) * 4]))
            filled = count
        }
    }

    /// The form of a sequence's labels, and whether the sequence shares its beginning with the one before it.
    func form(at place: Int) -> (lead: Int, sharesBeginning: Bool) {
        let form = Int(self[place])
        return form < -1 ? (-3 - form, true) : (form, false)
    }

    /// The place behind an example; nil when its counts do not fit.
    func skipExample(at place: Int) -> Int? {
        guard place + 2 <= count, self[place + 1] >= 0 else { return nil }
        var next = place + 2
        for _ in 0..<self[place + 1] {
            guard next + 2 <= count else { return nil }
            let idCount = Int(self[next])
            let lead = form(at: next + 1).lead
            guard idCount >= 0, lead >= -1, lead <= idCount else { return nil }
            next += 2 + (lead < 0 ? 2 * idCount : idCount)
            guard next <= count else { return nil }
        }
        return next
    }
}

/// Writes a file in the pieces that its digest is taken over.
private struct PieceWriter {
    private let file: AtomicFile
    private var digest = ContentDigest()
    private var piece: [UInt8] = []

    init(path: String) throws(UserError) {
        file = try AtomicFile(path: path)
        piece.reserveCapacity(ContentDigest.pieceSize)
    }

    mutating func append<Word: FixedWidthInteger>(_ words: [Word]) throws(UserError) {
        var offset = 0
        let size = words.count * MemoryLayout<Word>.size
        while offset < size {
            let count = min(ContentDigest.pieceSize - piece.count, size - offset)
            words.withUnsafeBytes { piece.append(contentsOf: $0[offset..<offset + count]) }
            offset += count
            if piece.count == ContentDigest.pieceSize { try flush() }
        }
    }

    mutating func finish() throws(UserError) {
        if !piece.isEmpty { try flush() }
        let value = digest.value
        try append([value.0.littleEndian, value.1.littleEndian])
        try flush()
        try file.commit()
    }

    private mutating func flush() throws(UserError) {
        var failure: UserError?
        piece.withUnsafeBytes { bytes in
            digest.update(bytes)
            do throws(UserError) { try file.write(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        piece.removeAll(keepingCapacity: true)
    }
}
