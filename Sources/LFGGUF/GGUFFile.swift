import LFDiagnostics

/// A tensor of a model's own files, read when its turn comes and let go of afterwards.
package struct SourceTensor {
    /// Its name in the Hugging Face checkpoint.
    package let name: String
    package let shape: [Int]
    /// Makes the tensor; what it returns gives ranges of its rows (of length `shape.last`) as float32.
    package let open: () throws -> (Range<Int>) throws -> [Float]

    package init(
        name: String, shape: [Int], open: @escaping () throws -> (Range<Int>) throws -> [Float]
    ) {
        (self.name, self.shape, self.open) = (name, shape, open)
    }
}

/// A tensor of a GGUF file and where its weights come from.
package struct GGUFTensor {
    package let name: String
    /// The sizes, the row's length last; the file has them the other way round.
    package let shape: [Int]
    package let type: TensorType
    /// One behind the other along the first dimension, as the experts of a mixture.
    package let sources: [SourceTensor]
    package let change: WeightChange

    package init(
        name: String, shape: [Int], type: TensorType, sources: [SourceTensor], change: WeightChange
    ) {
        (self.name, self.shape, self.type) = (name, shape, type)
        (self.sources, self.change) = (sources, change)
    }

    var width: Int { shape.last ?? 1 }
    var byteCount: Int { type.byteCount(of: shape.reduce(1, *)) }
}

/// What llama.cpp expects a weight to be, beside what the model's own files hold.
package struct WeightChange: Equatable {
    /// Added first: Gemma's norms are stored less one.
    package var shift: Float
    /// Multiplied then.
    package var factor: Float
    /// The rows of a head, where llama.cpp turns neighbouring rows and the model the two halves of a head against each other.
    package var headRows: Int?

    package init(shift: Float = 0, factor: Float = 1, headRows: Int? = nil) {
        (self.shift, self.factor, self.headRows) = (shift, factor, headRows)
    }

    /// Rows that stay together: a whole head where its rows change places.
    var step: Int { headRows ?? 1 }

    package func callAsFunction(_ weights: inout [Float], width: Int) {
        if shift != 0 || factor != 1 {
            for index in weights.indices { weights[index] = (weights[index] + shift) * factor }
        }
        guard let headRows else { return }
        let source = weights
        let half = headRows / 2
        for row in 0..<weights.count / width {
            let (head, place) = (row / headRows * headRows, row % headRows)
            let from = head + place / 2 + (place % 2) * half
            weights.replaceSubrange(
                row * width..<(row + 1) * width, with: source[from * width..<(from + 1) * width])
        }
    }
}

/// Writes a GGUF file (version 3), whole or not at all; memory holds some rows of one tensor at a time.
///
/// - Parameter advance: Called after each tensor.
/// - Returns: What rounding has cost, over all tensors that are not float32.
/// - Throws: `UserError` naming `path`, or the tensor that the type cannot hold; what `sources` and `advance` throw.
package func writeGGUF(
    _ tensors: [GGUFTensor], metadata: GGUFMetadata, to path: String, advance: () throws -> Void
) throws -> RoundingLoss {
    let alignment = 32
    let padded = { (size: Int) in (size + alignment - 1) / alignment * alignment }
    var header = GGUFBytes()
    header.append(0x4655_4747 as UInt32)
    header.append(3 as UInt32)
    header.append(UInt64(tensors.count))
    header.append(UInt64(metadata.count))
    for (key, value) in metadata {
        header.append(key)
        header.append(value)
    }
    var offset = 0
    for tensor in tensors {
        header.append(tensor.name)
        header.append(UInt32(tensor.shape.count))
        for size in tensor.shape.reversed() { header.append(UInt64(size)) }
        header.append(tensor.type.rawValue)
        header.append(UInt64(offset))
        offset += padded(tensor.byteCount)
    }
    header.align(to: alignment)
    let file = try AtomicFile(path: path, reserving: header.bytes.count + offset)
    try header.bytes.withUnsafeBytes { try file.write($0) }
    var loss = RoundingLoss()
    for tensor in tensors {
        let own = try write(tensor, to: file)
        if tensor.type != .float32 { loss.add(own) }
        let rest = [UInt8](repeating: 0, count: padded(tensor.byteCount) - tensor.byteCount)
        try rest.withUnsafeBytes { try file.write($0) }
        try advance()
    }
    try file.commit()
    return loss
}

/// Encodes a tensor piece by piece.
private func write(_ tensor: GGUFTensor, to file: AtomicFile) throws -> RoundingLoss {
    let width = tensor.width
    var loss = RoundingLoss()
    for source in tensor.sources {
        let read = try source.open()
        let rows = source.shape.dropLast().reduce(1, *)
        let wanted = max(1, (1 << 22) / max(1, width))
        let step = max(1, wanted / tensor.change.step) * tensor.change.step
        for start in stride(from: 0, to: rows, by: step) {
            var weights = try read(start..<min(start + step, rows))
            tensor.change(&weights, width: tensor.shape.count == 1 ? 1 : width)
            let bytes = tensor.type.encode(weights)
            loss.add(weights, bytes, tensor.type)
            guard loss.isFinite else { throw unencodable(tensor, source, weights) }
            try bytes.withUnsafeBytes { try file.write($0) }
        }
    }
    return loss
}

private func unencodable(_ tensor: GGUFTensor, _ source: SourceTensor, _ weights: [Float]) -> UserError {
    if let value = weights.first(where: { !$0.isFinite }) {
        return UserError(
            .failedRun, "The tensor \"\(source.name)\" holds the value \(value).",
            remedy: "Export another checkpoint of the training: one whose loss is a number.")
    }
    let largest = weights.lazy.map(abs).max() ?? 0
    return UserError(
        .failedRun,
        "The tensor \"\(source.name)\" holds values up to \(largest), which \(tensor.type.name) cannot hold.",
        remedy: "Use `export_gguf: bf16` or `f32`.")
}
