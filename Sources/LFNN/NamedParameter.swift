public import LFTorch

/// A trained weight: its name in saved files and in the optimizer's state, and how it is stepped.
public struct NamedParameter {
    /// Such as `base_model.model.model.layers.0.mlp.up_proj.lora_A.weight`.
    public let name: String
    public let parameter: Parameter
    /// Whether weight decay applies to it.
    public let decays: Bool
    /// Its learning rate is the step's times this.
    public var learningRateScale: Double

    public var tensor: Tensor { parameter.tensor }
    public var role: ParameterRole { parameter.role }
    /// The block of the model that it lies in; nil outside.
    public var block: Int? { parameter.place?.block }

    /// - Parameter decays: Unless given, all but biases and the weights of norms decay.
    public init(name: String, parameter: Parameter, decays: Bool? = nil, learningRateScale: Double = 1) {
        self.name = name
        self.parameter = parameter
        self.decays = decays ?? (parameter.role != .norm && Self.decays(name))
        self.learningRateScale = learningRateScale
    }

    /// A tensor by itself.
    public init(
        name: String, tensor: Tensor, role: ParameterRole = .other, block: Int? = nil, decays: Bool? = nil,
        learningRateScale: Double = 1
    ) {
        let place = block.map { Parameter.Place(block: $0, path: name) }
        self.init(
            name: name, parameter: Parameter(name: name, tensor: tensor, role: role, place: place),
            decays: decays, learningRateScale: learningRateScale)
    }

    /// The same with another tensor in its place.
    public func replacing(_ tensor: Tensor) -> NamedParameter {
        NamedParameter(
            name: name, tensor: tensor, role: role, block: block, decays: decays,
            learningRateScale: learningRateScale)
    }

    /// transformers' rule by name: no decay where the lower-case name contains "bias", "layernorm" or "rmsnorm", or has a
    /// part that is "norm" or ends in "_norm".
    public static func decays(_ name: String) -> Bool {
        let name = name.lowercased()
        if ["bias", "layernorm", "rmsnorm"].contains(where: name.contains) { return false }
        return !name.split(separator: ".").contains { $0 == "norm" || $0.hasSuffix("_norm") }
    }
}
