import Foundation
import LFDiagnostics
import LFJSON

/// A row as it stands in its file, before it has a meaning.
enum RawRow: Sendable {
    case node(JSONNode)
    case value(JSONValue)
    /// A line of plain text: a row whose only column is `text`.
    case text(String)

    /// The value of a column; nil where the row has no such column.
    subscript(column: String) -> JSONValue? {
        switch self {
        case .node(let node): node[column]?.value
        case .value(let value): value[column]
        case .text(let text): column == "text" ? .string(text) : nil
        }
    }

    func hasColumn(_ column: String) -> Bool {
        switch self {
        case .node(let node): node[column] != nil
        case .value(let value): value[column] != nil
        case .text: column == "text"
        }
    }

    /// A key that stands twice in one object of the row; readers of lines have looked already.
    var repeatedKey: String? {
        guard case .node(let node) = self else { return nil }
        return node.repeatedKey
    }

    var isObject: Bool {
        switch self {
        case .node(let node): node.isObject
        case .value(let value): value.object != nil
        case .text: true
        }
    }

    var columnNames: [String] {
        switch self {
        case .node(let node): node.value.object?.keys ?? []
        case .value(let value): value.object?.keys ?? []
        case .text: ["text"]
        }
    }
}

/// The rows of one data file.
struct DatasetFile: Sendable {
    let path: String
    let rows: [RawRow]
    /// What a row's number counts: "row" in a JSON list, "line" in the others.
    let unit: String
    /// Each row's number, from 1; nil where rows are numbered without gaps.
    private let numbers: [Int]?

    enum Kind { case json, text, csv, parquet, arrow }

    /// What a file is, by its name; nil where it cannot be read.
    static func kind(of path: String) -> Kind? { kinds[pathExtension(path)] }

    private static let kinds: [String: Kind] = [
        "json": .json, "jsonl": .json, "txt": .text, "csv": .csv, "arrow": .arrow, "parquet": .parquet,
    ]

    func location(of row: Int) -> String { "\(path): \(unit) \(number(of: row))" }

    func number(of row: Int) -> Int { numbers?[row] ?? row + 1 }

    /// The files of a dataset: one file, or all files of a folder, by name.
    ///
    /// - Throws: A `UserError` when nothing is there or the types are unknown or differ.
    static func paths(at path: String) throws(UserError) -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw UserError(
                .failedRun, "The file \(path) does not exist.",
                remedy: "Correct file_name in dataset_info.json, or dataset_dir.")
        }
        var paths = [path]
        if isFolder.boolValue {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            paths = names.filter { !$0.hasPrefix(".") }.sorted().map { path + "/" + $0 }
            if paths.isEmpty {
                throw UserError(
                    .failedRun, "The folder \(path) is empty.", remedy: "Put the data files there.")
            }
        }
        for path in paths {
            guard let kind = kinds[pathExtension(path)] else {
                throw UserError(
                    .failedRun, "The type of the file \(path) is unknown.",
                    remedy:
                        "Allowed file types: arrow, parquet, csv, json, jsonl, txt, the last four also with .gz or .zst behind it."
                )
            }
            if kind == .parquet || kind == .arrow, DataFileReader.Compression(path: path) != nil {
                throw UserError(
                    .failedRun, "The file \(path) is packed, but its format is packed in itself.",
                    remedy: "Unpack it.")
            }
            if kind != kinds[pathExtension(paths[0])] {
                throw UserError(
                    .failedRun, "The files \(paths[0]) and \(path) are of different types.",
                    remedy: "Keep one type of file in a dataset's folder.")
            }
        }
        return paths
    }

    /// Reads a file: a JSON list, one JSON object per line, comma-separated values or plain text, packed ones too; Parquet, or
    /// Arrow's own file or stream.
    ///
    /// - Throws: A `UserError` with the place of what is malformed.
    init(path: String) throws {
        self.path = path
        let isPacked = DataFileReader.Compression(path: path) != nil
        let kind = Self.kind(of: path)
        if kind == .text {
            rows = try Self.lines(of: path).map { .text($0) }
            unit = "line"
            numbers = nil
        } else if kind == .csv {
            let table = try CSVRows(DataFileReader(path: path).readToEnd(), path: path)
            rows = table.rows.map { .value($0) }
            unit = "line"
            numbers = table.lines
        } else if kind == .parquet || kind == .arrow {
            var table = try TableReader(path: path, format: kind == .parquet ? .parquet : .arrow)
            var rows: [RawRow] = []
            try table.forEachRow { rows.append(.value($0)) }
            self.rows = rows
            unit = "row"
            numbers = nil
        } else if try Self.startsAsList(path) {
            let root =
                isPacked
                ? try JSONDocument(DataFileReader(path: path).readToEnd(), source: path).root
                : try JSONDocument(path: path).root
            rows = root.elements.map { .node($0) }
            unit = "row"
            numbers = nil
        } else {
            var rows: [RawRow] = []
            var numbers: [Int] = []
            let reader = try DataFileReader(path: path)
            try JSONValue.forEachLine(
                source: path, read: { try reader.read(into: $0) }, refusesRepeatedKeys: true
            ) { number, value in
                rows.append(.value(value))
                numbers.append(number)
            }
            self.rows = rows
            unit = "line"
            self.numbers = numbers
        }
        if let row = rows.firstIndex(where: { !$0.isObject }) {
            throw Self.noObject(at: location(of: row))
        }
        if rows.isEmpty { throw Self.noRows(path) }
    }

    static func noObject(at place: String) -> UserError {
        UserError(
            .failedRun, "A row is not an object.", at: place, remedy: #"Write rows as {"column": value, …}."#)
    }

    static func noRows(_ path: String) -> UserError {
        UserError(.failedRun, "The data file has no rows.", at: path, remedy: "Give a file with data.")
    }

    /// What a file is read as, by its name; nil where it cannot be read.
    static func typeName(_ name: String) -> String? { kinds[pathExtension(name)].map { "\($0)" } }

    private static func pathExtension(_ path: String) -> String {
        var name = path.split(separator: "/").last ?? ""
        if let packing = DataFileReader.Compression(path: path) {
            name = name.dropLast(packing.rawValue.count + 1)
        }
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
        return name[name.index(after: dot)...].lowercased()
    }

    /// Whether the first character that is not white space opens a list.
    static func startsAsList(_ path: String) throws(UserError) -> Bool {
        let reader = try DataFileReader(path: path)
        var buffer = [UInt8](repeating: 0, count: 4096)
        var mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        while true {
            let result = buffer.withUnsafeMutableBytes { target in
                Result { () throws(UserError) in try reader.read(into: target) }
            }
            let count = try result.get()
            guard count > 0 else { return false }
            for byte in buffer[..<count] {
                if byte == mark.first {
                    mark.removeFirst()
                } else if !isJSONSpace(byte) {
                    return byte == UInt8(ascii: "[")
                }
            }
        }
    }

    /// The lines of a text file; line feeds, carriage returns and both together end one.
    private static func lines(of path: String) throws(UserError) -> [String] {
        var bytes = try DataFileReader(path: path).readToEnd()[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        var lines: [String] = []
        while !bytes.isEmpty {
            let end = bytes.firstIndex { $0 == 0x0A || $0 == 0x0D } ?? bytes.endIndex
            guard let line = String(validating: bytes[..<end], as: UTF8.self) else {
                throw UserError(
                    .failedRun, "The text is not valid UTF-8.", at: "\(path): line \(lines.count + 1)",
                    remedy: "Convert the file to UTF-8.")
            }
            lines.append(line)
            guard end < bytes.endIndex else { break }
            let isPair = bytes[end] == 0x0D && end + 1 < bytes.endIndex && bytes[end + 1] == 0x0A
            bytes = bytes[(end + (isPair ? 2 : 1))...]
        }
        return lines
    }
}

/// Whether JSON takes a byte for white space; other control characters are errors.
func isJSONSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
