package import LFDiagnostics
package import LFJSON

/// A GGUF file's table of contents: its metadata, and where its tensors lie.
package struct GGUFContents: Sendable {
    /// Numbers of all widths as integers or doubles; a float32 becomes the double that prints as it does.
    package let metadata: JSONObject
    package let tensors: [GGUFEntry]
    package let path: String

    /// Reads and checks the whole table: afterwards every tensor's range lies in the file and fits its shape.
    ///
    /// - Parameter bytes: The whole file, of version 2 or 3.
    /// - Throws: `UserError` naming the file, and the tensor where there is one.
    package init(_ bytes: UnsafeRawBufferPointer, path: String) throws(UserError) {
        var cursor = GGUFCursor(bytes, path: path)
        guard bytes.count >= 24, try cursor.number(UInt32.self) == 0x4655_4747 else {
            throw cursor.damaged("it does not begin with GGUF.")
        }
        let version = try cursor.number(UInt32.self)
        guard version == 2 || version == 3 else {
            throw UserError(
                .failedRun, "is a GGUF file of version \(version), which is not read.", at: path,
                remedy: "Use a file of version 2 or 3 for little-endian machines.")
        }
        let (tensorCount, keyCount) = (try cursor.count(perItem: 24), try cursor.count(perItem: 12))
        var metadata = JSONObject()
        for _ in 0..<keyCount {
            let key = try cursor.text()
            metadata[key] = try cursor.value(of: cursor.number(UInt32.self), key: key)
        }
        var found: [(name: String, shape: [Int], type: UInt32, offset: UInt64)] = []
        for _ in 0..<tensorCount {
            let name = try cursor.text()
            let dimensions = try cursor.number(UInt32.self)
            guard (1...4).contains(dimensions) else {
                throw cursor.damaged("the tensor \"\(name)\" has \(dimensions) dimensions.")
            }
            var sizes: [Int] = []
            for _ in 0..<dimensions { sizes.append(Int(clamping: try cursor.number(UInt64.self))) }
            found.append(
                (
                    name, sizes.reversed(), try cursor.number(UInt32.self), try cursor.number(UInt64.self)
                ))
        }
        let alignment = metadata["general.alignment"]?.int ?? 32
        guard alignment > 0, alignment <= 1 << 20 else {
            throw cursor.damaged("its alignment is \(alignment).")
        }
        let start = (cursor.position + alignment - 1) / alignment * alignment
        var entries: [GGUFEntry] = []
        var names: Set<String> = []
        for (name, shape, type, offset) in found {
            guard names.insert(name).inserted else {
                throw cursor.damaged("it holds the tensor \"\(name)\" twice.")
            }
            entries.append(
                try GGUFEntry(name, shape, type: type, offset: offset, from: start, in: cursor))
        }
        (self.metadata, tensors, self.path) = (metadata, entries, path)
    }
}

/// Where a tensor lies in a GGUF file.
package struct GGUFEntry: Sendable {
    package let name: String
    /// The row's length last.
    package let shape: [Int]
    package let type: TensorType
    /// Bytes from the start of the file.
    package let range: Range<Int>

    fileprivate init(
        _ name: String, _ shape: [Int], type code: UInt32, offset: UInt64, from start: Int,
        in cursor: GGUFCursor
    ) throws(UserError) {
        guard let type = TensorType(rawValue: code) else {
            throw UserError(
                .failedRun, "The tensor \"\(name)\" has weights of type \(code), which are not read.",
                at: cursor.path,
                remedy:
                    "Use a file whose tensors are of the types \(TensorType.allCases.map(\.name).joined(separator: ", "))."
            )
        }
        guard !shape.contains(0) else {
            throw cursor.damaged("the tensor \"\(name)\" of shape \(shape) is empty.")
        }
        var count = 1
        for size in shape {
            let (product, overflows) = count.multipliedReportingOverflow(by: size)
            guard !overflows, product <= 1 << 56 else {
                throw cursor.damaged("the tensor \"\(name)\" of shape \(shape) exceeds any memory.")
            }
            count = product
        }
        guard (shape.last ?? 1) % type.blockWeights == 0 else {
            throw cursor.damaged("rows of the tensor \"\(name)\" (\(type.name)) are not whole blocks.")
        }
        let size = type.byteCount(of: count)
        guard offset <= UInt64(cursor.size), start + Int(offset) <= cursor.size - size else {
            throw cursor.damaged("the tensor \"\(name)\" ends behind the file's end.")
        }
        (self.name, self.shape, self.type) = (name, shape, type)
        range = start + Int(offset)..<start + Int(offset) + size
    }

    /// The tensor's weights as float32, found by all cores.
    ///
    /// - Parameter file: The whole file.
    package func weights(in file: UnsafeRawBufferPointer) -> [Float] {
        type.decode(UnsafeRawBufferPointer(rebasing: file[range]), count: shape.reduce(1, *))
    }
}

/// Reads a GGUF file's first part from front to back.
private struct GGUFCursor {
    private let bytes: UnsafeRawBufferPointer
    let path: String
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer, path: String) { (self.bytes, self.path) = (bytes, path) }

    var size: Int { bytes.count }

    func damaged(_ problem: String) -> UserError {
        UserError(
            .failedRun, "is not a valid GGUF file: \(problem)", at: path,
            remedy: "Download or write it again; the copy is damaged or incomplete.")
    }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) throws(UserError) -> Number {
        let size = MemoryLayout<Number>.size
        guard position <= bytes.count - size else { throw damaged("its table of contents is cut off.") }
        defer { position += size }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Number.self))
    }

    /// A number of items that follow.
    ///
    /// - Parameter least: The bytes that one needs at least.
    mutating func count(perItem least: Int) throws(UserError) -> Int {
        let count = try number(UInt64.self)
        guard count <= UInt64((bytes.count - position) / least) else {
            throw damaged("it announces \(count) entries, more than it has room for.")
        }
        return Int(count)
    }

    mutating func text() throws(UserError) -> String {
        let count = try count(perItem: 1)
        defer { position += count }
        return String(decoding: bytes[position..<position + count], as: UTF8.self)
    }

    /// The bytes that a value of each type takes at least; a text has its length in front.
    private static let leastSizes: [UInt32: Int] = [
        0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 8: 8, 10: 8, 11: 8, 12: 8,
    ]

    mutating func value(of type: UInt32, key: String, isInner: Bool = false) throws(UserError) -> JSONValue {
        switch type {
        case 0: return .int(Int64(try number(UInt8.self)))
        case 1: return .int(Int64(try number(Int8.self)))
        case 2: return .int(Int64(try number(UInt16.self)))
        case 3: return .int(Int64(try number(Int16.self)))
        case 4: return .int(Int64(try number(UInt32.self)))
        case 5: return .int(Int64(try number(Int32.self)))
        case 6:
            let number = Float(bitPattern: try number(UInt32.self))
            return .double(Double("\(number)") ?? Double(number))
        case 7: return .bool(try number(UInt8.self) != 0)
        case 8: return .string(try text())
        case 9 where !isInner:
            let element = try number(UInt32.self)
            guard let size = Self.leastSizes[element] else {
                throw damaged("the values of \"\(key)\" are of the unknown type \(element).")
            }
            let count = try count(perItem: size)
            var values: [JSONValue] = []
            for _ in 0..<count { values.append(try value(of: element, key: key, isInner: true)) }
            return .array(values)
        case 10: return .int(Int64(clamping: try number(UInt64.self)))
        case 11: return .int(try number(Int64.self))
        case 12: return .double(Double(bitPattern: try number(UInt64.self)))
        default: throw damaged("the value of \"\(key)\" is of the unknown type \(type).")
        }
    }
}
