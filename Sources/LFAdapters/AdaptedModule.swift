public import LFModels
public import LFNN
import LFTorch

/// A module with a slot for an adapter: a linear layer, or the embedding, which multiplies one-hot vectors.
struct AdaptedModule {
    private enum Slot {
        case linear(Linear)
        case embedding(Embedding)
    }

    let name: String
    private let slot: Slot

    init(_ name: String, _ layer: Linear) {
        self.name = name
        slot = .linear(layer)
    }

    init(_ name: String, _ embedding: Embedding) {
        self.name = name
        slot = .embedding(embedding)
    }

    var isEmbedding: Bool { if case .embedding = slot { true } else { false } }

    /// The layer; nil for an embedding.
    var linear: Linear? { if case .linear(let layer) = slot { layer } else { nil } }

    /// The weight as one that can be trained; nil where it is held otherwise.
    var parameter: Parameter? {
        switch slot {
        case .linear(let layer): layer.base.parameter
        case .embedding(let embedding): embedding.weight
        }
    }

    var role: ParameterRole {
        switch slot {
        case .linear(let layer): layer.role
        case .embedding(let embedding): embedding.weight.role
        }
    }

    /// `[out, in]`
    func weight() throws(TorchError) -> Tensor {
        switch slot {
        case .linear(let layer): try layer.base.dense()
        case .embedding(let embedding): try embedding.weight.tensor.transposed()
        }
    }

    var adapter: LoRAAdapter? {
        get {
            switch slot {
            case .linear(let layer): layer.adapter as? LoRAAdapter
            case .embedding(let embedding): embedding.adapter
            }
        }
        nonmutating set {
            switch slot {
            case .linear(let layer): layer.adapter = newValue
            case .embedding(let embedding): embedding.adapter = newValue
            }
        }
    }

    /// Whether the model multiplies past an adapter here, which is left out of what is merged.
    var isBypassed: Bool { if case .linear(let layer) = slot { layer.adapterIsBypassed } else { false } }

    /// The columns of A.
    var inputSize: Int {
        switch slot {
        case .linear(let layer): layer.inputSize
        case .embedding(let embedding): embedding.weight.tensor.dim(0)
        }
    }
    /// The rows of B.
    var outputSize: Int {
        switch slot {
        case .linear(let layer): layer.outputSize
        case .embedding(let embedding): embedding.weight.tensor.dim(1)
        }
    }

    /// `[out, in]`: an embedding's table lies across.
    func matrix(_ table: Tensor) throws(TorchError) -> Tensor {
        isEmbedding ? try table.transposed() : table
    }
}

extension LanguageModel {
    /// Every module that can have an adapter, in the order in which PyTorch lists modules.
    var adaptedModules: [AdaptedModule] {
        let embedding = AdaptedModule(moduleName(embedTokens.weight.name), embedTokens)
        return [embedding] + linears.map { AdaptedModule($0.name, $0.layer) }
    }

    /// The adapters that the modules hold, one place per module.
    public var adapterSlots: [LoRAAdapter?] { adaptedModules.map(\.adapter) }

    /// Puts other adapters into the modules' slots and returns those that were there.
    ///
    /// - Parameter adapters: As `adapterSlots` lists them; an empty list empties all slots.
    @discardableResult
    public func exchangeAdapters(_ adapters: [LoRAAdapter?]) -> [LoRAAdapter?] {
        let own = adapterSlots
        for (index, module) in adaptedModules.enumerated() {
            module.adapter = adapters.isEmpty ? nil : adapters[index]
        }
        return own
    }
}

func lastComponent(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }
func moduleName(_ parameter: String) -> String {
    parameter.split(separator: ".").dropLast().joined(separator: ".")
}

/// PEFT's rule: a target is a whole module name or the end of one, at a dot.
func matches(_ name: String, _ target: String) -> Bool { name == target || name.hasSuffix("." + target) }
