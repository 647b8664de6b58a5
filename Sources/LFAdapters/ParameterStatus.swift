public import LFModels
import LFNN
public import LFTorch

extension LanguageModel {
    /// A line per parameter with its name, type, device and whether it is trained, as PyTorch names and lists them (upstream's
    /// `print_param_status`).
    ///
    /// - Parameters:
    ///   - trainable: What the run trains.
    ///   - valueHead: Of a model that scores.
    public func parameterStatus(
        _ trainable: TrainableWeights, valueHead: ValueHead?
    ) throws(TorchError) -> [String] {
        let prefix = valueHead == nil ? "" : "pretrained_model."
        let isAdapted = trainable.entries.contains { $0.name.hasPrefix(Self.adapterPrefix) }
        let adapters = Dictionary(
            grouping: trainable.entries.filter { $0.parameter.part != nil }, by: { Self.adaptedName($0.name) }
        )
        var lines: [String] = []
        for (index, parameter) in parameters.enumerated() {
            let module = moduleName(parameter.name), leaf = lastComponent(parameter.name)
            let place = prefix + (isAdapted ? Self.adapterPrefix : "") + module
            if parameter.control != nil {
                let original = try self.adapters.disabled { () throws(TorchError) in parameter.tensor }
                lines.append(Self.line(place + ".original_module." + leaf, original, isTrained: false))
                lines.append(
                    Self.line(place + ".modules_to_save.default." + leaf, parameter.tensor, isTrained: true))
                continue
            }
            let parts = adapters[module] ?? []
            lines.append(
                Self.line(
                    place + (parts.isEmpty ? "." : ".base_layer.") + leaf, parameter.tensor,
                    isTrained: parameter.isTrainable))
            let isLast = index + 1 == parameters.count || moduleName(parameters[index + 1].name) != module
            guard isLast else { continue }
            for part in parts {
                lines.append(Self.line(prefix + Self.nameInMemory(part.name), part.tensor, isTrained: true))
            }
        }
        for parameter in valueHead?.parameters ?? [] {
            lines.append(Self.line(parameter.name, parameter.tensor, isTrained: parameter.isTrainable))
        }
        return lines
    }

    private static func line(_ name: String, _ tensor: Tensor, isTrained: Bool) -> String {
        "name: \(name), dtype: torch.\(tensor.dtype.rawValue), device: \(tensor.device == .cpu ? "cpu" : "cuda:0"), trainable: \(isTrained ? "True" : "False")"
    }

    /// The module that a part of an adapter sits on.
    private static func adaptedName(_ part: String) -> String {
        let words = part.dropFirst(adapterPrefix.count).split(separator: ".")
        return words.prefix { !$0.hasPrefix("lora_") }.joined(separator: ".")
    }

    /// PEFT names the adapter too, which its files leave out; DoRA's lengths are a module there.
    private static func nameInMemory(_ part: String) -> String {
        if part.hasSuffix(".lora_magnitude_vector") { return part + ".default.weight" }
        guard part.hasSuffix(".weight") else { return part + ".default" }
        return part.dropLast(".weight".count) + ".default.weight"
    }
}
