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

    public init(name: String, tensor: Tensor) {
        self.name = name
        current = tensor
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
        let converted = try current.detached().to(dtype)
        current = try current.dtype == dtype ? converted.cloned() : converted
        try current.setRequiresGrad(true)
        isTrainable = true
    }

    /// Copies saved values into a trained parameter.
    public func load(_ values: Tensor) throws(TorchError) { try current.copyInPlace(values) }

    /// Puts another tensor of the same shape in place, frozen.
    public func replace(with tensor: Tensor) {
        current = tensor
        isTrainable = false
    }

    /// Makes the trained value the only one.
    public func keepTrained() { (control, original) = (nil, nil) }
}
