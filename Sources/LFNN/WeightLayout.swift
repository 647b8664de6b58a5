public import LFTorch

/// How the tensors of a file make up a weight: most files hold a weight as it is, some transposed, some in pieces.
public indirect enum WeightLayout: Sendable, Equatable {
    /// One tensor of the file, by its key.
    case tensor(String)
    /// The dimensions of a matrix, or of each of a stack of them, exchanged.
    case transposed(WeightLayout)
    /// Equal parts, one after the other along a dimension.
    case concatenated([WeightLayout], dim: Int)
    /// Parts of the same shape under a new first dimension.
    case stacked([WeightLayout])

    /// One tensor of a file, and how it is taken out of the whole weight.
    public struct FilePart {
        public let name: String
        public let shape: [Int]
        public let extract: (Tensor) throws(TorchError) -> Tensor
    }

    /// The keys of all parts, in order.
    public var keys: [String] {
        switch self {
        case .tensor(let key): [key]
        case .transposed(let whole): whole.keys
        case .concatenated(let parts, _), .stacked(let parts): parts.flatMap(\.keys)
        }
    }

    /// Puts a weight of `shape` together.
    ///
    /// - Parameter read: Gives the tensor of a key, which must have the shape asked for.
    public func assemble(
        _ shape: [Int], _ read: (_ key: String, _ shape: [Int]) throws -> Tensor
    ) throws -> Tensor {
        switch self {
        case .tensor(let key): return try read(key, shape)
        case .transposed(let whole):
            return try whole.assemble(Self.exchanged(shape), read).transposed(
                shape.count - 2, shape.count - 1
            )
            .contiguous()
        case .concatenated(let parts, let dim):
            let size = Self.partShape(shape, dim, of: parts.count)
            return try .concatenated(parts.map { try $0.assemble(size, read) }, dim: dim)
        case .stacked(let parts):
            return try .stacked(parts.map { try $0.assemble(Array(shape.dropFirst()), read) })
        }
    }

    /// Asks for every part, and gives zeros of the whole's shape that take no memory.
    func outline(
        _ shape: [Int], _ read: (_ key: String, _ shape: [Int]) throws -> Tensor
    ) throws -> Tensor {
        for part in fileParts(shape) { _ = try read(part.name, part.shape) }
        return try Tensor.zeros(shape.map { _ in 1 }).expanded(shape)
    }

    /// The tensors that a file holds for a weight of `shape`.
    public func fileParts(_ shape: [Int]) -> [FilePart] {
        switch self {
        case .tensor(let key):
            return [FilePart(name: key, shape: shape) { (whole) throws(TorchError) in whole }]
        case .transposed(let whole):
            return whole.fileParts(Self.exchanged(shape)).behind { (tensor) throws(TorchError) in
                try tensor.transposed(shape.count - 2, shape.count - 1).contiguous()
            }
        case .concatenated(let parts, let dim):
            let size = Self.partShape(shape, dim, of: parts.count)
            return parts.enumerated().flatMap { index, part in
                part.fileParts(size).behind { (tensor) throws(TorchError) in
                    try tensor.slice(index * size[dim]..<(index + 1) * size[dim], dim: dim).contiguous()
                }
            }
        case .stacked(let parts):
            let size = Array(shape.dropFirst())
            return parts.enumerated().flatMap { index, part in
                part.fileParts(size).behind { (tensor) throws(TorchError) in
                    try tensor.slice(index..<index + 1).reshaped(size)
                }
            }
        }
    }

    private static func exchanged(_ shape: [Int]) -> [Int] {
        shape.dropLast(2) + shape.suffix(2).reversed()
    }

    private static func partShape(_ shape: [Int], _ dim: Int, of count: Int) -> [Int] {
        var size = shape
        precondition(size[dim] % count == 0, "\(count) parts do not make up \(shape)")
        size[dim] /= count
        return size
    }
}

extension [WeightLayout.FilePart] {
    /// The same parts, taken out of what `first` makes of the whole.
    fileprivate func behind(_ first: @escaping (Tensor) throws(TorchError) -> Tensor) -> Self {
        map { part in
            .init(name: part.name, shape: part.shape) { (whole) throws(TorchError) in
                try part.extract(first(whole))
            }
        }
    }
}

extension Parameter {
    /// The tensors that a file of its model holds for it.
    public var fileParts: [WeightLayout.FilePart] { layout.fileParts(tensor.shape) }

    /// The same with their present values.
    public func fileTensors() throws(TorchError) -> [(name: String, tensor: Tensor)] {
        let values = try tensor.detached()
        var result: [(name: String, tensor: Tensor)] = []
        for part in fileParts { result.append((part.name, try part.extract(values))) }
        return result
    }
}
