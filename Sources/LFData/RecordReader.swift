import Glibc
import LFDiagnostics

/// The bytes of one row, not looked into yet.
struct Record: Sendable, Equatable {
    /// The row's number in its file, from 1: its first line, or its place where a format has no lines.
    var number: Int
    var bytes: [UInt8]
}

/// Where the next row lies in the bytes that a reader holds.
enum RecordCut {
    /// The row's bytes, and how many bytes to go on.
    case record(Range<Int>, number: Int, advance: Int)
    /// Bytes that belong to no row.
    case skip(Int)
    /// The row may go on behind these bytes.
    case unfinished
    case end
}

/// How the rows of a format lie behind one another.
protocol RecordGrammar {
    /// Finds the row that the bytes begin with.
    ///
    /// After `unfinished` the next call gets the same bytes and more behind them.
    ///
    /// - Parameter isLast: Whether the file ends with these bytes.
    /// - Throws: A `UserError` without location when no row can begin or end here.
    mutating func cut(_ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) throws(UserError) -> RecordCut
}

/// Cuts a data file into the bytes of its rows, one after the other; only some of the file is in memory.
final class RecordReader {
    /// No row is larger: a quote or a bracket that is never closed must not read the whole file into memory.
    static let mostRecordBytes = 1 << 28

    private let path: String
    private var grammar: any RecordGrammar
    private let read: (UnsafeMutableRawBufferPointer) throws -> Int
    private var buffer: UnsafeMutablePointer<UInt8>
    private var capacity = 1 << 18
    /// The bytes that were read and not handed out.
    private var held = 0..<0
    private var isAtEnd = false
    private var hasBegun = false
    private var lastNumber = 0

    /// - Parameters:
    ///   - path: Names the file in errors.
    ///   - read: Fills a buffer with the next bytes and returns how many; 0 at the end.
    init(
        path: String, grammar: any RecordGrammar,
        read: @escaping (UnsafeMutableRawBufferPointer) throws -> Int
    ) {
        self.path = path
        self.grammar = grammar
        self.read = read
        buffer = .allocate(capacity: capacity)
    }

    deinit { buffer.deallocate() }

    /// The next row; nil at the end.
    ///
    /// - Throws: A `UserError` with the place of what is malformed, or of what cannot be read.
    func next() throws -> Record? {
        if !hasBegun { try skipByteOrderMark() }
        while true {
            let window = UnsafeBufferPointer(start: buffer + held.lowerBound, count: held.count)
            switch try cut(window) {
            case .record(let range, let number, let advance):
                held = held.lowerBound + advance..<held.upperBound
                lastNumber = number
                return Record(number: number, bytes: Array(window[range]))
            case .skip(let count): held = held.lowerBound + count..<held.upperBound
            case .end: return nil
            case .unfinished:
                guard held.count <= Self.mostRecordBytes else {
                    throw UserError(
                        .failedRun, "A row is larger than \(Self.mostRecordBytes >> 20) MiB.", at: place,
                        remedy: "Close every quote and bracket, and keep rows smaller.")
                }
                try fill()
            }
        }
    }

    private var place: String { lastNumber == 0 ? path : "\(path): after \(lastNumber)" }

    private func cut(_ window: UnsafeBufferPointer<UInt8>) throws(UserError) -> RecordCut {
        do {
            return try grammar.cut(window, isLast: isAtEnd)
        } catch {
            var error = error
            error.location = error.location.map { "\(path): \($0)" } ?? place
            throw error
        }
    }

    private func skipByteOrderMark() throws {
        hasBegun = true
        while held.count < 3, !isAtEnd { try fill() }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        if held.count >= 3, (0..<3).allSatisfy({ buffer[$0] == mark[$0] }) { held = 3..<held.upperBound }
    }

    private func fill() throws {
        if held.lowerBound > 0 {
            memmove(buffer, buffer + held.lowerBound, held.count)
            held = 0..<held.count
        }
        if held.count == capacity {
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity * 2)
            memcpy(larger, buffer, held.count)
            buffer.deallocate()
            buffer = larger
            capacity *= 2
        }
        let count = try read(
            UnsafeMutableRawBufferPointer(start: buffer + held.count, count: capacity - held.count))
        held = 0..<held.count + count
        isAtEnd = count == 0
    }
}

/// Rows that are lines.
struct LineGrammar: RecordGrammar {
    /// Whether a carriage return ends a line too, as in plain text; JSON has it as white space.
    var endsAtCarriageReturn = false
    /// Whether lines of white space are not rows.
    var skipsBlankLines = true
    private var line = 0
    /// How many of the bytes were searched already.
    private var searched = 0

    init(endsAtCarriageReturn: Bool = false, skipsBlankLines: Bool = true) {
        self.endsAtCarriageReturn = endsAtCarriageReturn
        self.skipsBlankLines = skipsBlankLines
    }

    mutating func cut(_ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) -> RecordCut {
        var end = bytes.count
        var advance = bytes.count
        if let found = lineEnd(bytes, from: searched) {
            (end, advance) = (found, found + 1)
            if bytes[found] == 0x0D {
                guard found + 1 < bytes.count || isLast else {
                    searched = found
                    return .unfinished
                }
                if found + 1 < bytes.count, bytes[found + 1] == 0x0A { advance += 1 }
            }
        } else {
            searched = bytes.count
            guard isLast else { return .unfinished }
            guard !bytes.isEmpty else { return .end }
        }
        searched = 0
        line += 1
        if skipsBlankLines, bytes[..<end].allSatisfy(isJSONSpace) { return .skip(advance) }
        return .record(0..<end, number: line, advance: advance)
    }

    private func lineEnd(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        if endsAtCarriageReturn { return bytes[start...].firstIndex { $0 == 0x0A || $0 == 0x0D } }
        guard let base = bytes.baseAddress, start < bytes.count else { return nil }
        return memchr(base + start, 0x0A, bytes.count - start).map {
            UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) - base
        }
    }
}

/// Rows of comma-separated text: lines, except that a quoted field may hold line ends.
struct CSVGrammar: RecordGrammar {
    private enum State { case fieldStart, plain, quoted, quoteInQuoted }

    private var state = State.fieldStart
    private var line = 1
    private var linesInRecord = 0
    private var searched = 0

    mutating func cut(_ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) -> RecordCut {
        var place = searched
        while place < bytes.count {
            let byte = bytes[place]
            let isLineEnd = byte == 0x0A || byte == 0x0D
            var width = 1
            if byte == 0x0D {
                guard place + 1 < bytes.count || isLast else {
                    searched = place
                    return .unfinished
                }
                if place + 1 < bytes.count, bytes[place + 1] == 0x0A { width = 2 }
            }
            if isLineEnd {
                if state != .quoted { return record(bytes, end: place, advance: place + width) }
                linesInRecord += 1
            }
            switch (state, byte) {
            case (.fieldStart, UInt8(ascii: "\"")), (.quoteInQuoted, UInt8(ascii: "\"")): state = .quoted
            case (.quoted, UInt8(ascii: "\"")): state = .quoteInQuoted
            case (.quoted, _): break
            case (_, UInt8(ascii: ",")): state = .fieldStart
            default: state = .plain
            }
            place += width
        }
        searched = place
        guard isLast else { return .unfinished }
        return bytes.isEmpty ? .end : record(bytes, end: bytes.count, advance: bytes.count)
    }

    private mutating func record(
        _ bytes: UnsafeBufferPointer<UInt8>, end: Int, advance: Int
    ) -> RecordCut {
        defer {
            line += linesInRecord + 1
            (state, linesInRecord, searched) = (.fieldStart, 0, 0)
        }
        let isBlank = end == 0 || end == 2 && bytes[0] == UInt8(ascii: "\"") && bytes[1] == bytes[0]
        return isBlank ? .skip(advance) : .record(0..<end, number: line, advance: advance)
    }
}

/// Rows that are the elements of one JSON list.
struct ListGrammar: RecordGrammar {
    private enum Place { case beforeList, firstElement, element, behindList }

    private var place = Place.beforeList
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var row = 0
    private var searched = 0

    mutating func cut(_ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) throws(UserError) -> RecordCut {
        if place == .beforeList || place == .behindList {
            guard let first = bytes.firstIndex(where: { !isJSONSpace($0) }) else {
                guard bytes.isEmpty, isLast else { return bytes.isEmpty ? .unfinished : .skip(bytes.count) }
                return .end
            }
            guard place == .beforeList, bytes[first] == UInt8(ascii: "[") else {
                throw UserError(
                    .failedRun, "Text follows the list.", at: "after row \(row)",
                    remedy: "Write one list, or one object per line.")
            }
            place = .firstElement
            return .skip(first + 1)
        }
        while searched < bytes.count {
            let byte = bytes[searched]
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
            } else if byte == UInt8(ascii: "\"") {
                isInString = true
            } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
                depth += 1
            } else if depth == 0, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") {
                return element(bytes, isLastElement: byte == UInt8(ascii: "]"))
            } else if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
                depth -= 1
            }
            searched += 1
        }
        guard isLast else { return .unfinished }
        throw UserError(
            .failedRun, "The list is never closed.", at: row == 0 ? nil : "after row \(row)",
            remedy: "Fetch the file again: its end is missing.")
    }

    private mutating func element(_ bytes: UnsafeBufferPointer<UInt8>, isLastElement: Bool) -> RecordCut {
        let end = searched
        let isEmptyList = place == .firstElement && isLastElement && bytes[..<end].allSatisfy(isJSONSpace)
        place = isLastElement ? .behindList : .element
        (searched, depth) = (0, 0)
        if isEmptyList { return .skip(end + 1) }
        row += 1
        return .record(0..<end, number: row, advance: end + 1)
    }
}
