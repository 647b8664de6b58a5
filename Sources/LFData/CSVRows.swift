import LFDiagnostics
import LFJSON

/// The rows of comma-separated text with a header line (RFC 4180).
///
/// Fields are text, an empty field is null; a column that holds nothing but `true` and `false`, in any case, holds truth
/// values. Line feeds, carriage returns and both together end a row; blank lines are not rows.
struct CSVRows {
    private(set) var rows: [JSONValue] = []
    /// The line on which each row begins, from 1.
    private(set) var lines: [Int] = []

    /// - Throws: A `UserError` with the line of a quote that is never closed, of a row with more fields than the header, or
    ///   of text that is no UTF-8.
    init(_ bytes: [UInt8], path: String) throws(UserError) {
        var scanner = CSVScanner(bytes, path: path)
        guard let header = try scanner.row() else { return }
        let columns = try CSVColumns(header.fields, at: "\(path): line \(header.line)")
        var table: [[String?]] = []
        while let row = try scanner.row() {
            try columns.check(row.fields, at: "\(path): line \(row.line)")
            table.append(row.fields)
            lines.append(row.line)
        }
        let truthColumns = columns.names.indices.filter { column in
            let values = table.compactMap { column < $0.count ? $0[column]?.lowercased() : nil }
            return !values.isEmpty && values.allSatisfy { $0 == "true" || $0 == "false" }
        }
        let truthNames = Set(truthColumns.map { columns.names[$0] })
        rows = table.map { columns.row($0, truthColumns: truthNames) }
    }
}

/// What the header line of comma-separated text names.
struct CSVColumns: Sendable {
    let names: [String]

    /// - Throws: A `UserError` when a column has no name, or another's.
    init(_ header: [String?], at place: String) throws(UserError) {
        names = header.map { $0 ?? "" }
        for (index, name) in names.enumerated() {
            guard !name.isEmpty else {
                throw UserError(
                    .failedRun, "Column \(index + 1) has no name.", at: place,
                    remedy: "Name every column in the first line.")
            }
            guard names.firstIndex(of: name) == index else {
                throw UserError(
                    .failedRun, "Two columns are called \"\(name)\".", at: place,
                    remedy: "Give every column a name of its own.")
            }
        }
    }

    /// - Throws: A `UserError` when a row has more fields than the header.
    func check(_ fields: [String?], at place: String) throws(UserError) {
        guard fields.count > names.count else { return }
        throw UserError(
            .failedRun,
            "The row has \(fields.count) fields, but the header names \(names.count) columns.", at: place,
            remedy: "Put fields that hold commas, quotes or line breaks between double quotes.")
    }

    /// A row as an object; a column without a field is null.
    ///
    /// - Parameter truthColumns: Those whose `true` and `false` are truth values.
    func row(_ fields: [String?], truthColumns: Set<String>) -> JSONValue {
        var row: JSONObject = [:]
        for (column, name) in names.enumerated() {
            guard column < fields.count, let text = fields[column] else {
                row[name] = .null
                continue
            }
            let word = truthColumns.contains(name) ? text.lowercased() : ""
            row[name] = word == "true" || word == "false" ? .bool(word == "true") : .string(text)
        }
        return .object(row)
    }
}

/// Cuts comma-separated text into fields.
struct CSVScanner {
    private let bytes: [UInt8]
    private let path: String
    private var position = 0
    private var line: Int

    /// - Parameter line: The number of the line that the bytes begin with.
    init(_ bytes: [UInt8], path: String, line: Int = 1) {
        self.bytes = bytes
        self.path = path
        self.line = line
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The next row that is not blank; nil at the end.
    mutating func row() throws(UserError) -> (line: Int, fields: [String?])? {
        while position < bytes.count {
            let start = line
            var fields: [String?] = []
            repeat { fields.append(try field()) } while takeComma()
            endLine()
            if fields.count > 1 || fields[0] != nil { return (start, fields) }
        }
        return nil
    }

    private mutating func takeComma() -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: ",") else { return false }
        position += 1
        return true
    }

    private mutating func endLine() {
        guard position < bytes.count else { return }
        let isPair = bytes[position] == 0x0D && position + 1 < bytes.count && bytes[position + 1] == 0x0A
        position += isPair ? 2 : 1
        line += 1
    }

    private mutating func field() throws(UserError) -> String? {
        let start = line
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            let end = bytes[position...].firstIndex { Self.endsField($0) } ?? bytes.count
            defer { position = end }
            return end == position ? nil : try text(bytes[position..<end], line: start)
        }
        position += 1
        var content: [UInt8] = []
        while true {
            guard position < bytes.count else {
                throw UserError(
                    .failedRun, "A quoted field is never closed.", at: "\(path): line \(start)",
                    remedy: "Write a quote inside a quoted field twice.")
            }
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { break }
                position += 1
            } else if byte == 0x0A || (byte == 0x0D && !(position < bytes.count && bytes[position] == 0x0A)) {
                line += 1
            }
            content.append(byte)
        }
        // What stands between the closing quote and the comma belongs to the field, as readers of this format have it.
        let end = bytes[position...].firstIndex { Self.endsField($0) } ?? bytes.count
        content += bytes[position..<end]
        position = end
        return content.isEmpty ? nil : try text(content[...], line: start)
    }

    private static func endsField(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == 0x0A || byte == 0x0D
    }

    private func text(_ bytes: ArraySlice<UInt8>, line: Int) throws(UserError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw UserError(
                .failedRun, "The text is not valid UTF-8.", at: "\(path): line \(line)",
                remedy: "Convert the file to UTF-8.")
        }
        return text
    }
}
