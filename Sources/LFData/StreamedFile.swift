import LFDiagnostics
import LFJSON

/// A data file that is read while its rows are used, and how its bytes become rows.
final class StreamedFile: Sendable {
    private enum Form {
        case line
        case element
        case text
        case csv(CSVColumns, truthColumns: Set<String>)
    }

    let path: String
    /// Its place among all files of the stream.
    let index: Int
    /// Brings its rows to the standard form.
    let converter: ConversationConverter
    private let form: Form

    private init(path: String, index: Int, converter: ConversationConverter, form: Form) {
        self.path = path
        self.index = index
        self.converter = converter
        self.form = form
    }

    /// Opens a file, compressed ones too.
    ///
    /// Of comma-separated text only KTO's verdicts are truth values: whether a whole column is nothing else cannot be
    /// known before its end.
    ///
    /// - Throws: A `UserError` when it cannot be read, or has a malformed header.
    static func open(
        path: String, index: Int, converter: ConversationConverter
    ) throws -> (file: StreamedFile, records: RecordReader) {
        func file(_ form: Form) -> StreamedFile {
            StreamedFile(path: path, index: index, converter: converter, form: form)
        }
        func records(_ grammar: any RecordGrammar) throws -> RecordReader {
            let bytes = try DataFileReader(path: path)
            return RecordReader(path: path, grammar: grammar, read: { try bytes.read(into: $0) })
        }
        switch DatasetFile.kind(of: path) {
        case .text:
            let lines = LineGrammar(endsAtCarriageReturn: true, skipsBlankLines: false)
            return (file(.text), try records(lines))
        case .csv:
            let records = try records(CSVGrammar())
            guard let header = try records.next() else { throw DatasetFile.noRows(path) }
            var scanner = CSVScanner(header.bytes, path: path, line: header.number)
            let columns = try CSVColumns(
                scanner.row()?.fields ?? [], at: "\(path): line \(header.number)")
            let truth = Set([converter.entry.columns.ktoTag].compactMap { $0 })
            return (file(.csv(columns, truthColumns: truth)), records)
        case .parquet: return (file(.element), try tableRecords(path, .parquet))
        case .arrow: return (file(.element), try tableRecords(path, .arrow))
        case .json, nil:
            let isList = try DatasetFile.startsAsList(path)
            return (file(isList ? .element : .line), try records(isList ? ListGrammar() : LineGrammar()))
        }
    }

    private static func tableRecords(_ path: String, _ format: TableReader.Format) throws -> RecordReader {
        let table = TableBytes(try TableReader(path: path, format: format))
        return RecordReader(path: path, grammar: LineGrammar(), read: { try table.read(into: $0) })
    }

    var unit: String { if case .element = form { "row" } else { "line" } }

    func location(of number: Int) -> String { "\(path): \(unit) \(number)" }

    /// What the bytes of a row say.
    ///
    /// - Throws: A `UserError` with the place of what is malformed.
    func row(_ record: Record) throws -> RawRow {
        switch form {
        case .text:
            guard let text = String(validating: record.bytes, as: UTF8.self) else {
                throw UserError(
                    .failedRun, "The text is not valid UTF-8.", at: location(of: record.number),
                    remedy: "Convert the file to UTF-8.")
            }
            return .text(text)
        case .csv(let columns, let truthColumns):
            var scanner = CSVScanner(record.bytes, path: path, line: record.number)
            let fields = try scanner.row()?.fields ?? []
            try columns.check(fields, at: location(of: record.number))
            return .value(columns.row(fields, truthColumns: truthColumns))
        case .line:
            return .value(
                try object(JSONValue.parse(line: record.bytes, number: record.number, source: path), record))
        case .element:
            do throws(UserError) {
                let root = try JSONDocument(record.bytes, source: path).root
                if let key = root.repeatedKey { throw UserError.repeatedKey(key, at: nil) }
                return .value(try object(root.value, record))
            } catch {
                // The scanner sees one row and counts lines from its beginning.
                var error = error
                error.location = location(of: record.number)
                throw error
            }
        }
    }

    private func object(_ value: JSONValue, _ record: Record) throws(UserError) -> JSONValue {
        if value.object != nil { return value }
        throw DatasetFile.noObject(at: location(of: record.number))
    }
}

/// Keeps a table open for the closures that read it.
private final class TableBytes {
    private var table: TableReader

    init(_ table: consuming TableReader) { self.table = table }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(UserError) -> Int {
        try table.read(into: buffer)
    }
}
