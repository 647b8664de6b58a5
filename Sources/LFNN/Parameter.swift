public import LFTorch

/// What a weight does in its model, whatever its name.
public enum ParameterRole: Sendable, Hashable {
    case embedding, positions, head
    case norm, bias
    case query, key, value
    /// Queries, keys and values in one matrix.
    case queryKeyValue
    /// The output of attention or of a recurrent mixer.
    case output
    case gate, up, down
    /// Gate and up in one matrix.
    case gateUp
    /// Scores of experts.
    case router
    /// The matrices of all experts of a layer, `[experts, out, in]`.
    case expert
    /// Saved with the model, but never trained, such as a correction that a router's training keeps.
    case buffer
    case other

    /// What a weight starts from when nothing is loaded, unless its layer says otherwise.
    var start: WeightStart {
        switch self {
        case .norm: .ones
        case .bias, .buffer: .zeros
        default: .normal
        }
    }
}

/// A named weight of a model; layers that share one (tied embeddings) hold the same object.
public final class Parameter {
    /// Where a weight lies in its model.
    public struct Place: Sendable, Equatable {
        /// The block's number, from 0.
        public var block: Int
        /// The name within the block, such as `mlp.up_proj.weight`.
        public var path: String

        public init(block: Int, path: String) {
            self.block = block
            self.path = path
        }

        /// The first part of the path, such as `mlp`.
        public var module: String { String(path.prefix { $0 != "." }) }
    }

    /// The part of an adapter that a tensor is.
    public enum AdapterPart: Sendable {
        /// The factor on the input's side, `[rank, in]`.
        case down
        /// The factor on the output's side, `[out, rank]`.
        case up
        case magnitude
    }

    /// The name as transformers holds it in memory, such as `model.layers.0.mlp.up_proj.weight`.
    public let name: String
    /// For a part of an adapter, the role of the weight that it adapts.
    public let role: ParameterRole
    /// nil outside the blocks.
    public let place: Place?
    public let part: AdapterPart?
    /// How files hold it.
    public let layout: WeightLayout
    /// What it is held and trained in, whatever the others are in.
    private let ownDType: DType?
    /// Whether gradients are recorded for it.
    public private(set) var isTrainable = false
    /// Decides between the trained weight and the one it started from; nil when only one is kept.
    public private(set) var control: AdapterSwitch?

    /// The process that keeps the value where several share a model's weights; nil where each has its own.
    public private(set) var owner: Int?
    /// Whether this process keeps the value; else `tensor` is an outline without memory, except while one is lent.
    public private(set) var isHere = true
    /// Fetches the value from the process that keeps it.
    private var fetch: (() throws(TorchError) -> Tensor)?
    /// A value that has come from another process, for as long as a pass needs it.
    private var lent: Tensor?

    private var current: Tensor
    private var original: Tensor?
    /// What was loaded, where that is another type: training starts from it rather than from its rounded image.
    private var loaded: Tensor?

    /// - Parameters:
    ///   - loaded: The same weight as its file holds it.
    ///   - layout: nil where files hold it under its own name.
    ///   - ownDType: What it is held and trained in, whatever the others are in.
    public init(
        name: String, tensor: Tensor, loaded: Tensor? = nil, role: ParameterRole = .other,
        place: Place? = nil, part: AdapterPart? = nil, layout: WeightLayout? = nil, ownDType: DType? = nil
    ) {
        self.ownDType = ownDType
        self.name = name
        self.role = role
        self.place = place
        self.part = part
        self.layout = layout ?? .tensor(name)
        current = tensor
        self.loaded = loaded.flatMap { $0.dtype == tensor.dtype ? nil : $0 }
    }

    /// The weight that layers multiply with. Frozen ones may lie on a mapped file: never write them in place.
    public var tensor: Tensor {
        if let lent { return lent }
        if let control, let original, !control.isEnabled { return original }
        return current
    }

    /// Gives the parameter memory of its own in `dtype` and has gradients recorded for it.
    ///
    /// - Parameter control: Where given, the present value stays and is used while the switch is off.
    public func makeTrainable(
        _ dtype: DType, keepingOriginalFor control: AdapterSwitch? = nil
    ) throws(TorchError) {
        let dtype = ownDType ?? dtype
        if let control { (self.control, original) = (control, current) }
        let source = try loaded?.to(current.device) ?? current
        loaded = nil
        let converted = try source.detached().to(dtype)
        current = try source.dtype == dtype ? converted.cloned() : converted
        try current.setRequiresGrad(true)
        isTrainable = true
    }

    /// A parameter of its own that starts from the same weight.
    func copied(as name: String, role: ParameterRole) -> Parameter {
        Parameter(name: name, tensor: current, loaded: loaded, role: role)
    }

    /// Lets go of the loaded tensor when this parameter will not be trained.
    public func forgetLoaded() { loaded = nil }

    /// Copies saved values into a trained parameter, in the process that keeps it.
    public func load(_ values: Tensor) throws(TorchError) {
        if isHere { try current.copyInPlace(values) }
    }

    /// Puts another tensor of the same shape in place, frozen.
    public func replace(with tensor: Tensor) {
        (current, loaded) = (tensor, nil)
        isTrainable = false
    }

    /// Holds the value in another type from now on; it is not trained any more.
    package func convert(to dtype: DType) throws(TorchError) {
        let dtype = ownDType ?? dtype
        let isHere = isHere
        func converted(_ tensor: Tensor) throws(TorchError) -> Tensor {
            let plain = try tensor.detached()
            guard plain.dtype != dtype else { return plain }
            return isHere ? try plain.to(dtype) : try Self.outline(of: plain, in: dtype)
        }
        (loaded, isTrainable) = (nil, false)
        current = try converted(current)
        original = try original.map { (tensor) throws(TorchError) in try converted(tensor) }
    }

    /// Makes the trained value the only one.
    public func keepTrained() { (control, original) = (nil, nil) }

    // MARK: Kept by one of several processes

    /// Leaves the value to one of several processes.
    ///
    /// - Parameter fetch: Brings it here from there.
    public func share(
        ownedBy owner: Int, isHere: Bool, fetch: @escaping () throws(TorchError) -> Tensor
    ) throws(TorchError) {
        (self.owner, self.isHere, self.fetch) = (owner, isHere, fetch)
        loaded = nil
        guard !isHere else { return }
        current = try Self.outline(of: current)
        original = try original.map { (tensor) throws(TorchError) in try Self.outline(of: tensor) }
    }

    /// The value wherever it is kept. Where that is another process, every process must be taking part.
    public func whole() throws(TorchError) -> Tensor {
        guard lent == nil, let fetch else { return tensor }
        return try fetch()
    }

    /// Whether passes multiply with the value that training started from.
    public var usesOriginal: Bool { original != nil && control?.isEnabled == false }

    /// The value that this process keeps, or its outline.
    ///
    /// - Parameter original: The one that training started from.
    public func kept(original wantsOriginal: Bool) -> Tensor {
        wantsOriginal ? original ?? current : current
    }

    /// Has passes multiply with a value that has come from elsewhere; nil ends that.
    public func lend(_ value: Tensor?) { lent = value }

    /// Zeros of the same shape and type that take no memory.
    private static func outline(of tensor: Tensor, in dtype: DType? = nil) throws(TorchError) -> Tensor {
        try Tensor.zeros(tensor.shape.map { _ in 1 }, dtype ?? tensor.dtype, on: tensor.device)
            .expanded(tensor.shape)
    }
}
