public import LFCheckpoint
import LFDiagnostics
public import LFTorch

/// What a weight is for, which decides how it starts when nothing is loaded.
public enum WeightRole: Sendable { case matrix, bias, normScale }

/// Where a model's weights come from: a checkpoint, or an initializer.
public protocol WeightProvider: AnyObject {
    /// - Throws: `UserError` naming the tensor when it is missing or has another shape.
    func tensor(_ name: String, shape: [Int], role: WeightRole) throws -> Tensor
    func contains(_ name: String) -> Bool
}

/// A place in the tree of modules whose path is the checkpoint key.
public struct WeightScope {
    /// What all scopes of one model share: the source, the element type and the modules met, in order.
    public final class Registry {
        let provider: any WeightProvider
        let dtype: DType?
        let device: Device
        public internal(set) var parameters: [Parameter] = []
        public internal(set) var linears: [(name: String, layer: Linear)] = []

        /// - Parameter dtype: What weights are held in; nil leaves each in its own type.
        public init(_ provider: any WeightProvider, dtype: DType?, device: Device) {
            self.provider = provider
            self.dtype = dtype
            self.device = device
        }
    }

    public let registry: Registry
    public let path: String

    public init(_ registry: Registry, path: String = "") {
        self.registry = registry
        self.path = path
    }

    public static func / (scope: Self, name: String) -> Self {
        Self(scope.registry, path: scope.path.isEmpty ? name : "\(scope.path).\(name)")
    }
    public static func / (scope: Self, index: Int) -> Self { scope / String(index) }

    /// Whether the source holds `name` at this place.
    public func contains(_ name: String) -> Bool { registry.provider.contains((self / name).path) }

    /// Loads a weight, converts it to the model's element type and registers it.
    public func parameter(_ name: String, _ shape: [Int], _ role: WeightRole) throws -> Parameter {
        let key = (self / name).path
        let stored = try registry.provider.tensor(key, shape: shape, role: role)
        let parameter = Parameter(
            name: key, tensor: try stored.to(registry.dtype ?? stored.dtype).to(registry.device),
            loaded: stored)
        registry.parameters.append(parameter)
        return parameter
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

    public func contains(_ name: String) -> Bool { store.contains(name) }

    public func tensor(_ name: String, shape: [Int], role: WeightRole) throws -> Tensor {
        guard store.contains(name) else {
            throw UserError(
                .failedRun, "The checkpoint has no tensor \"\(name)\".", at: location,
                remedy: "Check that config.json belongs to these weights and that no shard is missing.")
        }
        let tensor = try store.tensor(name)
        guard tensor.shape == shape else {
            throw UserError(
                .failedRun,
                "The tensor \"\(name)\" has shape \(tensor.shape), but config.json asks for \(shape).",
                at: location,
                remedy: "Use the config.json that belongs to these weights.")
        }
        guard tensor.dtype.isFloatingPoint else {
            throw UserError(
                .failedRun,
                "The tensor \"\(name)\" has type \(tensor.dtype), which is not a floating-point type.",
                at: location,
                remedy: "Use a checkpoint that is not quantized.")
        }
        used.insert(name)
        return tensor
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

    public func tensor(_ name: String, shape: [Int], role: WeightRole) throws -> Tensor {
        let tensor = try Tensor.zeros(shape)
        switch role {
        case .matrix: try tensor.fillNormalInPlace(mean: 0, deviation: deviation, generator)
        case .bias: break
        case .normScale: try tensor.fillInPlace(1)
        }
        return tensor
    }
}

extension CheckpointWeights {
    /// Tensors of the checkpoint that no layer asked for, sorted.
    public var unusedNames: [String] { store.names.filter { !used.contains($0) }.sorted() }
}
