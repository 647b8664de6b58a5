import CSimdJSON
import Foundation
public import LFDiagnostics

#if canImport(Glibc)
    import Glibc
#endif

extension JSONValue {
    /// Parses one document of UTF-8 text; a byte order mark is skipped.
    ///
    /// Accepts what Python's `json.loads` accepts; of repeated keys the last wins.
    ///
    /// - Parameter source: Names the text in errors.
    /// - Throws: A `UserError` with the line, the column and the byte offset of what is wrong.
    public static func parse(_ bytes: UnsafeRawBufferPointer, source: String) throws(UserError) -> JSONValue {
        try JSONDocument(bytes, source: source).root.value
    }

    public static func parse(_ bytes: [UInt8], source: String) throws(UserError) -> JSONValue {
        let text = bytes.withUnsafeBytes { PaddedBytes(copying: $0) }
        return try JSONDocument(text, source: source).root.value
    }

    public static func parse(_ text: String, source: String) throws(UserError) -> JSONValue {
        try parse(Array(text.utf8), source: source)
    }

    /// Reads and parses a file.
    public static func read(path: String) throws(UserError) -> JSONValue {
        try JSONDocument(path: path).root.value
    }

    /// Visits the values of a file that holds one JSON value per line; blank lines are skipped.
    ///
    /// The file is read in pieces, so that it may be larger than memory.
    ///
    /// - Parameter body: Gets the line's number, from 1, and its value.
    /// - Throws: What `body` throws; a `UserError` that names the line when its text is invalid.
    public static func forEachLine(
        path: String, _ body: (_ line: Int, _ value: JSONValue) throws -> Void
    ) throws {
        let file = try OpenFile(path: path)
        try forEachLine(
            source: path,
            read: { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return try file.read(into: base.assumingMemoryBound(to: UInt8.self), upTo: buffer.count)
            }, body)
    }

    /// As `forEachLine(path:)`, with bytes from anywhere.
    ///
    /// - Parameters:
    ///   - source: Names the text in errors.
    ///   - read: Fills a buffer with the next bytes and returns how many; 0 at the end.
    ///   - refusesRepeatedKeys: Whether an object with two members of one key is an error; else the last wins.
    public static func forEachLine(
        source path: String, read: @escaping (_ buffer: UnsafeMutableRawBufferPointer) throws -> Int,
        refusesRepeatedKeys: Bool = false, _ body: (_ line: Int, _ value: JSONValue) throws -> Void
    ) throws {
        let parser = TapeParser()
        try LineReader(read: read).forEachLine { number, line in
            // A line of other control characters is not blank but damaged.
            guard line.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }) else {
                return
            }
            if let (tape, strings) = parser.parse(line) {
                if refusesRepeatedKeys, let key = Tape.repeatedKey(in: 1, tape, strings) {
                    throw UserError.repeatedKey(
                        String(decoding: key, as: UTF8.self), at: "\(path): line \(number)")
                }
                var position = 1
                try body(number, Tape.value(at: &position, tape, strings))
            } else {
                let root = try lineRoot(line, number: number, path: path)
                if refusesRepeatedKeys, let key = root.repeatedKey {
                    throw UserError.repeatedKey(key, at: "\(path): line \(number)")
                }
                try body(number, root.value)
            }
        }
    }

    /// Parses one line of a file of lines.
    ///
    /// - Parameters:
    ///   - number: The line's number, from 1.
    ///   - path: Names the file in errors.
    /// - Throws: A `UserError` that names the line when its text is invalid, or an object has two members of one key.
    public static func parse(
        line: [UInt8], number: Int, source path: String
    ) throws(UserError) -> JSONValue {
        let result = line.withUnsafeBufferPointer { line in
            Result { () throws(UserError) in
                let root = try lineRoot(line, number: number, path: path)
                if let key = root.repeatedKey {
                    throw UserError.repeatedKey(key, at: "\(path): line \(number)")
                }
                return root.value
            }
        }
        return try result.get()
    }

    private static func lineRoot(
        _ line: UnsafeBufferPointer<UInt8>, number: Int, path: String
    ) throws(UserError) -> JSONNode {
        do {
            return try JSONDocument(UnsafeRawBufferPointer(line), source: path).root
        } catch {
            // The scanner sees one line and calls it the first.
            var error = error
            error.location = error.location?.replacingPrefix("\(path):1:", with: "\(path):\(number):") ?? path
            if error.location == path { error.location = "\(path):\(number)" }
            if let place = error.problem.range(of: " that starts at 1:") {
                error.problem.replaceSubrange(place, with: " that starts at \(number):")
                error.remedy = "Write each row as one whole JSON value on a line of its own."
            }
            throw error
        }
    }
}

extension UserError {
    /// An object that says two things of one key.
    public static func repeatedKey(_ key: String, at place: String?) -> UserError {
        UserError(
            .failedRun, "The key \"\(key)\" stands twice in one object.", at: place,
            remedy: "Keep one of the two.")
    }
}

/// Cuts bytes into lines through one buffer, which grows to the longest line.
struct LineReader {
    /// Fills a buffer with the next bytes and returns how many; 0 at the end.
    let read: (UnsafeMutableRawBufferPointer) throws -> Int

    /// Lends each line without its newline, followed by `LF_JSON_PADDING` readable bytes.
    func forEachLine(_ body: (_ number: Int, _ line: UnsafeBufferPointer<UInt8>) throws -> Void) throws {
        var capacity = 1 << 20
        var buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity + Int(LF_JSON_PADDING))
        buffer.initialize(repeating: 0, count: capacity + Int(LF_JSON_PADDING))
        defer { buffer.deallocate() }
        var start = 0
        var filled = 0
        var number = 0

        func visit(_ end: Int) throws {
            number += 1
            var first = start
            if number == 1, end - first >= 3, buffer[first] == 0xEF, buffer[first + 1] == 0xBB,
                buffer[first + 2] == 0xBF
            {
                first += 3
            }
            try body(number, UnsafeBufferPointer(start: buffer + first, count: end - first))
        }

        while true {
            if filled == capacity {
                if start > 0 {
                    memmove(buffer, buffer + start, filled - start)
                    filled -= start
                    start = 0
                } else {
                    let larger = UnsafeMutablePointer<UInt8>.allocate(
                        capacity: capacity * 2 + Int(LF_JSON_PADDING))
                    larger.initialize(repeating: 0, count: capacity * 2 + Int(LF_JSON_PADDING))
                    memcpy(larger, buffer, filled)
                    buffer.deallocate()
                    buffer = larger
                    capacity *= 2
                }
            }
            let read = try read(
                UnsafeMutableRawBufferPointer(start: buffer + filled, count: capacity - filled))
            if read == 0 { break }
            var searchFrom = filled
            filled += read
            while let newline = memchr(buffer + searchFrom, 0x0A, filled - searchFrom) {
                let end = UnsafePointer(newline.assumingMemoryBound(to: UInt8.self)) - UnsafePointer(buffer)
                try visit(end)
                start = end + 1
                searchFrom = start
            }
        }
        if start < filled { try visit(filled) }
    }
}

extension String {
    fileprivate func replacingPrefix(_ prefix: String, with replacement: String) -> String {
        hasPrefix(prefix) ? replacement + dropFirst(prefix.count) : self
    }
}
