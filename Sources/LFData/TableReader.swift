import CArrow
package import LFDiagnostics
package import LFJSON

/// Reads the rows of a Parquet or Arrow file, some thousand at a time.
///
/// A row is what the same row in JSON would be: text, numbers, truth values, lists and structures; a dictionary's codes are the values that they
/// stand for, dates, times and decimals are text as Arrow spells them, and bytes that are not text are `{"bytes": n}`, their number.
package struct TableReader: ~Copyable {
    package enum Format: Sendable {
        case parquet
        /// An IPC file or an IPC stream, whichever it is.
        case arrow

        fileprivate var raw: lf_table_format { self == .parquet ? LF_TABLE_PARQUET : LF_TABLE_ARROW }
        fileprivate var name: String { self == .parquet ? "Parquet" : "Arrow" }
    }

    private let path: String
    private let format: Format
    private let table: lf_table_t
    /// Lines of JSON that were decoded and not handed out.
    private var rest = UnsafeRawBufferPointer(start: nil, count: 0)
    private var decodedRows = 0

    /// - Throws: `UserError` naming the file when it is missing or not of the format.
    package init(path: String, format: Format) throws(UserError) {
        self.path = path
        self.format = format
        var message = [CChar](repeating: 0, count: Int(LF_TABLE_ERROR_SIZE))
        guard let table = lf_table_open(path, format.raw, &message) else {
            throw Self.unreadable(path, format, message, at: path)
        }
        self.table = table
    }

    /// Visits every row from where the reader stands to the end.
    ///
    /// - Throws: What `body` throws; `UserError` with the row behind which the file is damaged.
    package mutating func forEachRow(_ body: (JSONValue) throws -> Void) throws {
        while try decode() {
            var rest = self.rest
            try JSONValue.forEachLine(
                source: path, read: { Self.take(from: &rest, into: $0) }, { _, value in try body(value) })
        }
    }

    /// Fills a buffer with the next bytes of the rows, one JSON object per line; returns how many, 0 at the end.
    ///
    /// - Throws: `UserError` with the row behind which the file is damaged.
    package mutating func read(into buffer: UnsafeMutableRawBufferPointer) throws(UserError) -> Int {
        while rest.isEmpty { guard try decode() else { return 0 } }
        return Self.take(from: &rest, into: buffer)
    }

    private static func take(
        from rest: inout UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        let size = min(buffer.count, rest.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<size]))
        rest = UnsafeRawBufferPointer(rebasing: rest[size...])
        return size
    }

    /// Decodes the next rows; false at the end.
    private mutating func decode() throws(UserError) -> Bool {
        var text: UnsafePointer<CChar>?
        var count = 0
        var message = [CChar](repeating: 0, count: Int(LF_TABLE_ERROR_SIZE))
        let answer = lf_table_next(table, &text, &count, &message)
        guard answer >= 0 else {
            throw Self.unreadable(path, format, message, at: "\(path): after row \(decodedRows)")
        }
        rest = UnsafeRawBufferPointer(start: text, count: answer > 0 ? count : 0)
        decodedRows += rest.count { $0 == 0x0A }
        return answer > 0
    }

    private static func unreadable(
        _ path: String, _ format: Format, _ message: [CChar], at place: String
    ) -> UserError {
        let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return UserError(
            .failedRun, "The \(format.name) file cannot be read: \(text).", at: place,
            remedy: "Write it again, or fetch it again: it is damaged or of another format.")
    }

    deinit { lf_table_free(table) }
}
