import CArrow
package import LFDiagnostics
package import LFJSON

/// Reads the rows of a Parquet or Arrow file, some thousand at a time.
///
/// A row is what the same row in JSON would be: text, numbers, truth values, lists and structures; a dictionary's codes are the values that they
/// stand for, dates, times and decimals are text as Arrow spells them, and bytes that are no text are `{"bytes": n}`, their number.
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
    package func forEachRow(_ body: (JSONValue) throws -> Void) throws {
        var row = 0
        while true {
            var text: UnsafePointer<CChar>?
            var count = 0
            var message = [CChar](repeating: 0, count: Int(LF_TABLE_ERROR_SIZE))
            let answer = lf_table_next(table, &text, &count, &message)
            guard answer >= 0 else {
                throw Self.unreadable(path, format, message, at: "\(path): after row \(row)")
            }
            guard answer > 0, let text else { return }
            var rest = UnsafeRawBufferPointer(start: text, count: count)
            try JSONValue.forEachLine(
                source: path,
                read: { buffer in
                    let size = min(buffer.count, rest.count)
                    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<size]))
                    rest = UnsafeRawBufferPointer(rebasing: rest[size...])
                    return size
                },
                { _, value in
                    row += 1
                    try body(value)
                })
        }
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
