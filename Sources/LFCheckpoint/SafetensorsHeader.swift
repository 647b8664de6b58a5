import LFDiagnostics
import LFJSON
public import LFTorch

/// Where one tensor lies in a safetensors file.
struct TensorEntry {
    let name: String
    let dtype: DType
    let shape: [Int]
    /// Bytes from the start of the file.
    let range: Range<Int>
}

/// The table of contents of a safetensors file: an 8-byte length, that many bytes of JSON, then the data.
struct SafetensorsHeader {
    /// In the order of the data.
    let entries: [TensorEntry]
    let metadata: [String: String]

    /// The format's own bound on the length of its JSON.
    static let longestJSON = 100_000_000

    /// Reads and checks the whole table: afterwards every entry's range lies in the file and fits its shape.
    ///
    /// - Throws: `UserError` naming the file, and the tensor where there is one.
    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(UserError) {
        let json = try Self.json(bytes, path: path)
        let dataStart = json.endIndex
        let root = try JSONValue.parse(
            UnsafeRawBufferPointer(rebasing: bytes[json]), source: "\(path) (header)")
        guard let members = root.object else {
            throw Self.damaged(path, "its header is \(root.kind), not an object.")
        }
        var entries: [TensorEntry] = []
        entries.reserveCapacity(members.count)
        var metadata: [String: String] = [:]
        for (name, value) in members {
            if name == "__metadata__" {
                metadata = try Self.metadata(value, path: path)
            } else {
                entries.append(
                    try Self.entry(name, value, dataStart: dataStart, fileSize: bytes.count, path: path))
            }
        }
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        try Self.checkCoverage(entries, dataStart: dataStart, fileSize: bytes.count, path: path)
        self.entries = entries
        self.metadata = metadata
    }

    /// The range of the JSON text.
    private static func json(_ bytes: UnsafeRawBufferPointer, path: String) throws(UserError) -> Range<Int> {
        guard !bytes.isEmpty else { throw damaged(path, "the file is empty.") }
        if bytes.starts(with: "version https://git-lfs".utf8) {
            throw UserError(
                .failedRun, "is a Git LFS pointer, not the weights themselves.", at: path,
                remedy: "Run `git lfs pull` in its folder, or download the file again.")
        }
        guard bytes.count >= 8 else {
            throw damaged(path, "it has \(bytes.count) bytes, fewer than a header.")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(longestJSON), Int(length) <= bytes.count - 8 else {
            throw damaged(path, "it announces a header of \(length) bytes in a file of \(bytes.count).")
        }
        return 8..<8 + Int(length)
    }

    private static func metadata(_ value: JSONValue, path: String) throws(UserError) -> [String: String] {
        guard let members = value.object else {
            throw damaged(path, "its metadata is \(value.kind), not an object.")
        }
        var metadata: [String: String] = [:]
        for (key, value) in members {
            guard let text = value.string else {
                throw damaged(path, "its metadata \"\(key)\" is \(value.kind), not a string.")
            }
            metadata[key] = text
        }
        return metadata
    }

    private static func entry(
        _ name: String, _ value: JSONValue, dataStart: Int, fileSize: Int, path: String
    ) throws(UserError) -> TensorEntry {
        guard let typeName = value["dtype"]?.string, let sizes = value["shape"]?.array,
            let offsets = value["data_offsets"]?.array, offsets.count == 2
        else { throw damaged(path, "tensor \"\(name)\" lacks its dtype, shape or data_offsets.") }
        guard let dtype = DType(safetensorsName: typeName) else {
            throw UserError(
                .failedRun, "tensor \"\(name)\" has the type \(typeName), which is not supported.", at: path,
                remedy: "Use a checkpoint in \(DType.safetensorsNames.joined(separator: ", ")).")
        }
        var shape: [Int] = []
        var byteCount = dtype.size
        for size in sizes {
            guard let size = size.int, size >= 0 else {
                throw damaged(
                    path, "tensor \"\(name)\" has the shape \(JSONValue.array(sizes).serialized()).")
            }
            let (product, overflows) = byteCount.multipliedReportingOverflow(by: size)
            guard !overflows else {
                throw damaged(
                    path,
                    "tensor \"\(name)\" of shape \(JSONValue.array(sizes).serialized()) exceeds any memory.")
            }
            byteCount = product
            shape.append(size)
        }
        guard let start = offsets[0].int, let end = offsets[1].int, start >= 0, end >= start else {
            throw damaged(
                path, "tensor \"\(name)\" has the data_offsets \(JSONValue.array(offsets).serialized()).")
        }
        guard end <= fileSize - dataStart else {
            throw damaged(
                path,
                "tensor \"\(name)\" ends at byte \(end) of the data, but only \(fileSize - dataStart) are there."
            )
        }
        guard end - start == byteCount else {
            throw damaged(
                path,
                "tensor \"\(name)\" of type \(typeName) and shape \(shape) needs \(byteCount) bytes, but has \(end - start)."
            )
        }
        return TensorEntry(name: name, dtype: dtype, shape: shape, range: dataStart + start..<dataStart + end)
    }

    /// The format asks that tensors follow one another without gaps: a difference means that the file is not what was written.
    private static func checkCoverage(
        _ entries: [TensorEntry], dataStart: Int, fileSize: Int, path: String
    ) throws(UserError) {
        var position = dataStart
        for entry in entries {
            guard entry.range.lowerBound == position else {
                let relation = entry.range.lowerBound < position ? "overlaps" : "leaves a gap behind"
                throw damaged(path, "tensor \"\(entry.name)\" \(relation) the tensor before it.")
            }
            position = entry.range.upperBound
        }
        guard position == fileSize else {
            throw damaged(path, "\(fileSize - position) bytes follow the last tensor.")
        }
    }

    static func damaged(_ path: String, _ problem: String) -> UserError {
        UserError(
            .failedRun, "is not a valid safetensors file: \(problem)", at: path,
            remedy: "Download or save it again; the copy is damaged or incomplete.")
    }
}

extension DType {
    /// The type that a safetensors header calls `name`; nil where we have none.
    public init?(safetensorsName name: String) {
        guard let dtype = DType.allCases.first(where: { $0.safetensorsName == name }) else { return nil }
        self = dtype
    }

    /// The type's name in a safetensors header.
    public var safetensorsName: String {
        switch self {
        case .float64: "F64"
        case .float32: "F32"
        case .float16: "F16"
        case .bfloat16: "BF16"
        case .int64: "I64"
        case .int32: "I32"
        case .int16: "I16"
        case .int8: "I8"
        case .uint8: "U8"
        case .bool: "BOOL"
        case .float8: "F8_E4M3"
        }
    }

    static var safetensorsNames: [String] { allCases.map(\.safetensorsName) }
}
