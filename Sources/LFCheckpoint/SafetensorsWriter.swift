import LFDiagnostics
import LFJSON
public import LFTorch

/// A tensor and the name that it has in a checkpoint.
public typealias NamedTensor = (name: String, tensor: Tensor)

/// A tensor that is made when its turn to be written comes, and let go of afterwards.
public struct PendingTensor {
    public let name: String
    public let shape: [Int]
    public let dtype: DType
    fileprivate let make: () throws -> Tensor

    /// - Parameter make: Gives a tensor of this shape and type.
    public init(name: String, shape: [Int], dtype: DType, make: @escaping () throws -> Tensor) {
        (self.name, self.shape, self.dtype, self.make) = (name, shape, dtype, make)
    }

    fileprivate init(_ tensor: NamedTensor) {
        self.init(name: tensor.name, shape: tensor.tensor.shape, dtype: tensor.tensor.dtype) { tensor.tensor }
    }

    fileprivate var count: Int { shape.reduce(1, *) }
    /// The size of the elements, in bytes.
    fileprivate var byteCount: Int { count * dtype.size }
}

/// Writes one safetensors file, whole or not at all.
///
/// Data goes out in pieces, so that no second copy of the tensors is ever in memory. As Python's writer does, tensors with
/// the widest elements come first and those of one width by name, so that each lies at an address that suits it.
///
/// - Parameter metadata: Goes into the header; transformers asks for `format: pt`.
/// - Throws: `UserError` naming `path`; `TorchError` when a tensor cannot be read.
public func writeSafetensors(
    _ tensors: [NamedTensor], metadata: [String: String] = ["format": "pt"], to path: String
) throws {
    try writeSafetensors(tensors.map { PendingTensor($0) }, metadata: metadata, to: path)
}

/// The same with tensors that are made one by one.
public func writeSafetensors(
    _ tensors: [PendingTensor], metadata: [String: String] = ["format": "pt"], to path: String
) throws {
    let ordered = tensors.sorted { a, b in
        let widths = (a.dtype.size, b.dtype.size)
        return widths.0 == widths.1
            ? a.name.utf8.lexicographicallyPrecedes(b.name.utf8) : widths.0 > widths.1
    }
    for (a, b) in zip(ordered, ordered.dropFirst()) where a.name == b.name {
        preconditionFailure("two tensors are to be saved as \(a.name)")
    }
    let header = safetensorsHeader(ordered, metadata: metadata)
    let dataSize = ordered.reduce(0) { $0 + $1.byteCount }
    let file = try AtomicFile(path: path, reserving: header.count + dataSize)
    try header.withUnsafeBytes { try file.write($0) }
    var buffer: [UInt8] = []
    for pending in ordered {
        let tensor = try pending.make()
        precondition(
            tensor.shape == pending.shape && tensor.dtype == pending.dtype, "\(pending.name) changed")
        try write(tensor, to: file, through: &buffer)
    }
    try file.commit()
}

/// Writes a model's tensors as Hugging Face lays them out: `model.safetensors`, or, when they are more than `shardSize`,
/// `model-00001-of-0000N.safetensors` … and the index that says which file holds which tensor.
///
/// Shards are filled in the given order. Tensors that share memory are for the caller to leave out.
///
/// - Parameters:
///   - directory: An existing folder. Files there that would contradict what is written are removed.
///   - shardSize: Bytes per file; a tensor larger than that has a file of its own.
/// - Returns: The names of the files written.
/// - Throws: `UserError` naming a file; `TorchError` when a tensor cannot be read.
@discardableResult
public func writeShardedSafetensors(
    _ tensors: [NamedTensor], shardSize: Int, metadata: [String: String] = ["format": "pt"],
    to directory: String, stem: String = "model"
) throws -> [String] {
    try writeShardedSafetensors(
        tensors.map { PendingTensor($0) }, shardSize: shardSize, metadata: metadata, to: directory, stem: stem
    )
}

/// The same with tensors that are made one by one.
@discardableResult
public func writeShardedSafetensors(
    _ tensors: [PendingTensor], shardSize: Int, metadata: [String: String] = ["format": "pt"],
    to directory: String, stem: String = "model"
) throws -> [String] {
    let shards = shards(of: tensors, limit: shardSize)
    let indexName = "\(stem).safetensors.index.json"
    guard shards.count > 1 else {
        try writeSafetensors(tensors, metadata: metadata, to: "\(directory)/\(stem).safetensors")
        removeTree("\(directory)/\(indexName)")
        return ["\(stem).safetensors"]
    }
    var written: [String] = []
    var places = JSONObject()
    for (number, shard) in shards.enumerated() {
        let name = "\(stem)-\(padded(number + 1))-of-\(padded(shards.count)).safetensors"
        try writeSafetensors(shard, metadata: metadata, to: "\(directory)/\(name)")
        for tensor in shard { places[tensor.name] = .string(name) }
        written.append(name)
    }
    let index: JSONValue = [
        "metadata": [
            "total_parameters": .int(Int64(tensors.reduce(0) { $0 + $1.count })),
            "total_size": .int(Int64(tensors.reduce(0) { $0 + $1.byteCount })),
        ],
        "weight_map": .object(places),
    ]
    try writeFileAtomically(
        index.serialized(indent: 2, sortKeys: true) + "\n", to: "\(directory)/\(indexName)")
    // A reader prefers the single file, which would be one of an earlier save.
    removeTree("\(directory)/\(stem).safetensors")
    return written + [indexName]
}

private func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
}

private func shards(of tensors: [PendingTensor], limit: Int) -> [[PendingTensor]] {
    var shards: [[PendingTensor]] = []
    var current: [PendingTensor] = []
    var size = 0
    for tensor in tensors {
        let byteCount = tensor.byteCount
        if byteCount > limit {
            shards.append([tensor])
            continue
        }
        if size + byteCount > limit, !current.isEmpty {
            shards.append(current)
            current = []
            size = 0
        }
        current.append(tensor)
        size += byteCount
    }
    if !current.isEmpty { shards.append(current) }
    return shards
}

/// The length of the table of contents, and the table, padded so that the data starts at a multiple of eight.
private func safetensorsHeader(_ tensors: [PendingTensor], metadata: [String: String]) -> [UInt8] {
    var members: [JSONObject.Element] = []
    if !metadata.isEmpty {
        let texts = metadata.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }
        members.append(("__metadata__", .object(JSONObject(texts))))
    }
    var offset = 0
    for tensor in tensors {
        let end = offset + tensor.byteCount
        members.append(
            (
                tensor.name,
                [
                    "dtype": .string(tensor.dtype.safetensorsName),
                    "shape": .array(tensor.shape.map { .int(Int64($0)) }),
                    "data_offsets": [.int(Int64(offset)), .int(Int64(end))],
                ]
            ))
        offset = end
    }
    var json = Array(
        JSONValue.object(JSONObject(members)).serialized(
            ensureASCII: false, itemSeparator: ",", keySeparator: ":"
        ).utf8)
    json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: -json.count & 7))
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
}

/// Appends a tensor's elements; `buffer` is the memory that they pass through, and grows to one piece.
private func write(_ tensor: Tensor, to file: AtomicFile, through buffer: inout [UInt8]) throws {
    let pieceSize = 32 << 20
    let width = tensor.dtype.size
    guard tensor.count > 0 else { return }
    let elements = try tensor.detached().contiguous().reshaped([-1])
    let step = pieceSize / width
    if buffer.count < min(pieceSize, tensor.byteCount) {
        buffer = [UInt8](repeating: 0, count: min(pieceSize, tensor.byteCount))
    }
    for start in stride(from: 0, to: elements.count, by: step) {
        let piece = try elements.slice(start..<min(start + step, elements.count))
        try buffer.withUnsafeMutableBytes { memory in
            let target = UnsafeMutableRawBufferPointer(rebasing: memory[..<piece.byteCount])
            try piece.copyBytes(to: target)
            try file.write(UnsafeRawBufferPointer(target))
        }
    }
}

extension Tensor {
    /// The size of the elements, in bytes.
    var byteCount: Int { count * dtype.size }
}
