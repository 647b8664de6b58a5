public import LFTorch

/// A named weight of a model; layers that share one (tied embeddings) hold the same object.
public final class Parameter {
    /// The checkpoint key, such as `model.layers.0.mlp.up_proj.weight`.
    public let name: String
    /// Whether gradients are recorded for it.
    public private(set) var isTrainable = false
    /// Decides between the trained weight and the one it started from; nil when only one is kept.
    public private(set) var control: AdapterSwitch?

    private var current: Tensor
    private var original: Tensor?
    /// What was loaded, where that is another type: training starts from it rather than from its rounded image.
    private var loaded: Tensor?

    /// - Parameter loaded: The same weight as its file holds it.
    public init(name: String, tensor: Tensor, loaded: Tensor? = nil) {
        self.name = name
        current = tensor
        self.loaded = loaded.flatMap { $0.dtype == tensor.dtype ? nil : $0 }
    }

    /// The weight that layers multiply with. Frozen ones may lie on a mapped file: never write them in place.
    public var tensor: Tensor {
        if let control, let original, !control.isEnabled { return original }
        return current
    }

    /// Gives the parameter memory of its own in `dtype` and has gradients recorded for it.
    ///
    /// - Parameter control: Where given, the present value stays and is used while the switch is off.
    public func makeTrainable(
        _ dtype: DType, keepingOriginalFor control: AdapterSwitch? = nil
    ) throws(TorchError) {
        if let control { (self.control, original) = (control, current) }
        let source = try loaded?.to(current.device) ?? current
        loaded = nil
        let converted = try source.detached().to(dtype)
        current = try source.dtype == dtype ? converted.cloned() : converted
        try current.setRequiresGrad(true)
        isTrainable = true
    }

    /// A parameter of its own that starts from the same weight.
    func copied(as name: String) -> Parameter {
        Parameter(name: name, tensor: current, loaded: loaded)
    }

    /// Lets go of the loaded tensor when this parameter will not be trained.
    public func forgetLoaded() { loaded = nil }

    /// Copies saved values into a trained parameter.
    public func load(_ values: Tensor) throws(TorchError) { try current.copyInPlace(values) }

    /// Puts another tensor of the same shape in place, frozen.
    public func replace(with tensor: Tensor) {
        (current, loaded) = (tensor, nil)
        isTrainable = false
    }

    /// Makes the trained value the only one.
    public func keepTrained() { (control, original) = (nil, nil) }
}
