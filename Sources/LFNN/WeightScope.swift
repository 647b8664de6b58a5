public import LFCheckpoint
import LFDiagnostics
package import LFModelConfig
public import LFTorch

/// What a weight starts from when nothing is loaded.
public enum WeightStart: Sendable, Equatable {
    case normal, zeros, ones
    /// The logarithm of a number between two.
    case logUniform(Double, Double)
}

/// Where a model's weights come from: a checkpoint, or an initializer.
public protocol WeightProvider: AnyObject {
    /// - Parameter name: The key that files use.
    /// - Throws: `UserError` naming the tensor when it is missing or has another shape.
    func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor
    func contains(_ name: String) -> Bool
    /// Whether tensors are only there for their shapes, and take no memory.
    var isOutline: Bool { get }
    /// The folder that tensors are read from; nil where they are drawn.
    var origin: String? { get }
}

extension WeightProvider {
    public var isOutline: Bool { false }
    public var origin: String? { nil }
}

/// A place in the tree of modules whose path is the weight's name.
public struct WeightScope {
    /// What all scopes of one model share: the source, the element type and the modules met, in order.
    public final class Registry {
        let provider: any WeightProvider
        let dtype: DType?
        /// Of norms, where it is another.
        let normDType: DType?
        let device: Device
        public internal(set) var parameters: [Parameter] = []
        public internal(set) var linears: [(name: String, layer: Linear)] = []
        /// Up to which length of a sequence its tokens are turned the same whatever that length is.
        package internal(set) var stableLength = Int.max

        /// - Parameters:
        ///   - dtype: What weights are held in; nil leaves each in its own type.
        ///   - normDType: What norms are held and trained in; nil for the same as all.
        public init(
            _ provider: any WeightProvider, dtype: DType?, normDType: DType? = nil, device: Device
        ) {
            self.provider = provider
            self.dtype = dtype
            self.normDType = normDType
            self.device = device
        }
    }

    public let registry: Registry
    public let path: String
    /// The block that this place lies in, and the length of the block's own path.
    private var block: (index: Int, pathLength: Int)?
    /// The same place in files, where those call it otherwise.
    private var filePath: String

    public init(_ registry: Registry) {
        self.registry = registry
        path = ""
        filePath = ""
    }

    private init(_ scope: Self, path: String, filePath: String) {
        registry = scope.registry
        self.path = path
        self.filePath = filePath
        block = scope.block
    }

    public static func / (scope: Self, name: String) -> Self {
        Self(
            scope, path: joined(scope.path, name), filePath: joined(scope.filePath, name))
    }
    public static func / (scope: Self, index: Int) -> Self { scope / String(index) }

    /// The same place where files use another name for its last part.
    public func storedAs(_ name: String) -> Self {
        let parent = filePath.lastIndex(of: ".").map { String(filePath[..<$0]) } ?? ""
        return Self(self, path: path, filePath: Self.joined(parent, name))
    }

    /// The blocks of a list of layers, each with the number that parameters in it carry.
    public func blocks<Block>(_ count: Int, _ make: (Int, Self) throws -> Block) throws -> [Block] {
        try (0..<count).map { index in
            var scope = self / index
            scope.block = (index, scope.path.utf8.count + 1)
            return try make(index, scope)
        }
    }

    /// The device that weights lie on.
    public var device: Device { registry.device }

    /// Rotary positions for the layers of this model.
    ///
    /// - Parameter rotaryDim: How many of a head's dimensions are rotated; even.
    package func rotary(
        dim rotaryDim: Int, theta: Double, scaling: RopeScaling, isInterleaved: Bool
    ) -> RotaryEmbedding {
        let made = RotaryEmbedding(
            rotaryDim: rotaryDim, theta: theta, scaling: scaling, isInterleaved: isInterleaved, on: device)
        registry.stableLength = min(registry.stableLength, made.stableLength)
        return made
    }

    /// Whether the source holds `name` at this place.
    public func contains(_ name: String) -> Bool { registry.provider.contains(fileKey(name)) }

    /// The key of `name`, at this place, in files.
    public func fileKey(_ name: String) -> String { Self.joined(filePath, name) }

    /// Loads a weight, converts it to the model's element type and registers it.
    ///
    /// - Parameters:
    ///   - start: What it starts from when nothing is loaded; nil for what its role starts from.
    ///   - layout: How files hold it, by keys from `fileKey(_:)`; nil where they hold it as it is.
    ///   - isOfNorm: Whether it belongs to a norm; nil asks its role.
    public func parameter(
        _ name: String, _ shape: [Int], _ role: ParameterRole, start: WeightStart? = nil,
        layout: WeightLayout? = nil, isOfNorm: Bool? = nil
    ) throws -> Parameter {
        let ownDType = isOfNorm ?? (role == .norm) ? registry.normDType : nil
        let layout = layout ?? .tensor(fileKey(name))
        let read = { (key: String, shape: [Int]) throws in
            try registry.provider.tensor(key, shape: shape, start: start ?? role.start)
        }
        let stored =
            registry.provider.isOutline
            ? try layout.outline(shape, read) : try layout.assemble(shape, read)
        let own = Self.joined(path, name)
        let place = block.map { block in
            Parameter.Place(block: block.index, path: String(own.dropFirst(block.pathLength)))
        }
        // What steers a choice is not rounded.
        let dtype = role == .buffer ? stored.dtype : ownDType ?? registry.dtype ?? stored.dtype
        let parameter = Parameter(
            name: own, tensor: try stored.to(dtype).to(registry.device),
            loaded: stored, role: role, place: place, layout: layout, ownDType: ownDType)
        registry.parameters.append(parameter)
        return parameter
    }

    private static func joined(_ path: String, _ name: String) -> String {
        path.isEmpty ? name : name.isEmpty ? path : "\(path).\(name)"
    }
}

/// Weights of a checkpoint on disk.
public final class CheckpointWeights: WeightProvider {
    let store: WeightStore
    /// Where to point in messages: the checkpoint's folder.
    let location: String
    /// Names asked for so far; what is left over at the end was not understood.
    public private(set) var used: Set<String> = []

    public init(_ store: WeightStore, location: String) {
        self.store = store
        self.location = location
    }

    public var origin: String? { location }

    public func contains(_ name: String) -> Bool {
        key(of: name) != nil || key(of: name + Self.blocks) != nil
    }

    /// The key of a tensor: its name, or the name without the first part, as files of a bare decoder have it.
    public func key(of name: String) -> String? {
        if store.contains(name) { return name }
        guard let dot = name.firstIndex(of: ".") else { return nil }
        let bare = String(name[name.index(after: dot)...])
        return store.contains(bare) ? bare : nil
    }

    /// A weight, quantized ones as bfloat16.
    public func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        switch try stored(name, shape) {
        case .plain(let key): return try store.tensor(key)
        case .scaled(let key, let scales):
            return try scaledTiles(store.tensor(key), scales: store.tensor(scales))
        case .packed(let blocks, let scales):
            let unpacked = try unpackedMXFP4(store.tensor(blocks), scales: store.tensor(scales))
            return try unpacked.transposed(shape.count - 2, shape.count - 1)
        }
    }

    /// Fails unless the checkpoint holds a weight of that shape; nothing is read.
    public func check(_ name: String, shape: [Int]) throws { _ = try stored(name, shape) }

    /// How a file holds a weight.
    private enum Stored {
        case plain(String)
        /// 8-bit floats, a factor for each tile.
        case scaled(String, scales: String)
        /// Blocks of 4-bit floats along the rows of the exchanged matrix.
        case packed(String, scales: String)
    }

    private static let blocks = "_blocks", scales = "_scales", tileScales = "_scale_inv"

    private func stored(_ name: String, _ shape: [Int]) throws -> Stored {
        guard let key = key(of: name) else {
            guard let blocks = self.key(of: name + Self.blocks) else { throw missing(name) }
            let scales = blocks.dropLast(Self.blocks.count) + Self.scales
            let exchanged: [Int] = shape.dropLast(2) + shape.suffix(2).reversed()
            let groups: [Int] = exchanged.dropLast() + [(shape.dropLast().last ?? 0) / 32]
            try require(blocks, groups + [16], [.uint8])
            try require(String(scales), groups, [.uint8])
            return .packed(blocks, scales: String(scales))
        }
        guard store.dtype(of: key) == .float8 else {
            try require(key, shape, DType.allCases.filter(\.isFloatingPoint))
            return .plain(key)
        }
        try require(key, shape, [.float8])
        let tiles = shape.map { ($0 + 127) / 128 }
        try require(key + Self.tileScales, tiles, DType.allCases.filter(\.isFloatingPoint))
        return .scaled(key, scales: key + Self.tileScales)
    }

    /// Fails unless the file's tensor has the shape and one of the types, and counts it as used.
    private func require(_ key: String, _ shape: [Int], _ types: [DType]) throws {
        guard let found = store.shape(of: key), let dtype = store.dtype(of: key) else { throw missing(key) }
        guard found == shape else {
            throw UserError(
                .failedRun,
                "The tensor \"\(key)\" has shape \(found), but config.json asks for \(shape).",
                at: location,
                remedy: "Use the config.json that belongs to these weights.")
        }
        guard types.contains(dtype) else {
            throw UserError(
                .failedRun,
                "The tensor \"\(key)\" has type \(dtype), which is not a \(types[0].isFloatingPoint ? "floating-point type" : "\(types[0])").",
                at: location,
                remedy: "Use a checkpoint that is not quantized, or one in fp8 or mxfp4.")
        }
        used.insert(key)
    }

    private func missing(_ name: String) -> UserError {
        UserError(
            .failedRun, "The checkpoint has no tensor \"\(name)\".", at: location,
            remedy: "Check that config.json belongs to these weights and that no shard is missing.")
    }
}

/// Fresh weights: matrices from N(0, deviation²), biases 0, norm scales 1 (the published models' `initializer_range`).
public final class FreshWeights: WeightProvider {
    let generator: Generator
    let deviation: Double

    public init(_ generator: Generator, deviation: Double) {
        self.generator = generator
        self.deviation = deviation
    }

    public func contains(_ name: String) -> Bool { true }

    public func tensor(_ name: String, shape: [Int], start: WeightStart) throws -> Tensor {
        let tensor = try Tensor.zeros(shape)
        switch start {
        case .normal: try tensor.fillNormalInPlace(mean: 0, deviation: deviation, generator)
        case .zeros: break
        case .ones: try tensor.fillInPlace(1)
        case .logUniform(let low, let high):
            try tensor.fillUniformInPlace(low, high, generator)
            return try tensor.log()
        }
        return tensor
    }
}

extension CheckpointWeights {
    /// Tensors of the checkpoint that no layer asked for, sorted.
    public var unusedNames: [String] { store.names.filter { !used.contains($0) }.sorted() }
}
