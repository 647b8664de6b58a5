package import LFCheckpoint
package import LFDiagnostics
package import LFModels
import LFNN
import LFTorch

extension LanguageModel {
    /// The modules that an adapter changes, in the model's order, and whether the model multiplies past it there.
    package func modules(of files: LoRAAdapterFiles) -> [(name: String, isBypassed: Bool)] {
        adaptedModules.filter { files.matrices[$0.name] != nil }.map { ($0.name, $0.isBypassed) }
    }

    /// Fails for an adapter that cannot act beside others on one model.
    ///
    /// - Throws: `UserError` naming what it changes besides linear layers, or a tensor that is missing, misshapen or belongs to no layer.
    package func requireNamedFit(_ files: LoRAAdapterFiles, location: String) throws(UserError) {
        let remedy =
            "Merge it into a model of its own with `export`, or serve it alone as adapter_name_or_path."
        if let module = files.config.modulesToSave?.first ?? files.replacements.first?.name {
            throw UserError(
                .failedRun,
                "The adapter replaces \"\(module)\" as a whole, which all adapters that are served together share.",
                at: location, remedy: remedy)
        }
        if let module = files.matrices.first(where: { $0.value.isOfEmbedding })?.key {
            throw UserError(
                .failedRun,
                "The adapter changes the embedding \"\(module)\"; adapters that are served together change linear layers only.",
                at: location, remedy: remedy)
        }
        try requireFit(files, location: location)
    }

    /// Puts an adapter beside others on its layers, where each row of a pass chooses one by its name (`adapters.choice`).
    ///
    /// - Throws: `UserError` for an adapter that cannot act so, or that does not fit.
    package func addAdapter(_ files: LoRAAdapterFiles, named name: String, location: String) throws {
        try requireNamedFit(files, location: location)
        sources.adapters.append(location)
        try withoutGrad { () throws(TorchError) in
            // That these are the modules that the adapter's settings mean has been checked.
            for module in adaptedModules where !module.isBypassed {
                guard let layer = module.linear, let matrices = files.matrices[module.name] else { continue }
                precondition(
                    layer.adapter == nil || layer.adapter is NamedAdapters, "a trained adapter is there")
                let adapters = layer.adapter as? NamedAdapters ?? NamedAdapters(control: self.adapters)
                adapters.add(
                    name,
                    try NamedAdapters.Update(
                        a: matrices.a.to(device), b: matrices.b.to(device),
                        scale: files.config.scaling(of: module.name),
                        magnitude: matrices.magnitude?.to(device), of: layer.base, in: computeDType))
                layer.adapter = adapters
            }
        }
        adapters.choice.add(name)
    }
}
