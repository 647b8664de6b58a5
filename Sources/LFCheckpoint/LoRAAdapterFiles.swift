import Glibc
public import LFDiagnostics
public import LFTorch

/// The two matrices that adapt one linear layer.
public struct LoRAMatrices {
    /// `[r, in]`.
    public let a: Tensor
    /// `[out, r]`.
    public let b: Tensor
    /// The lengths of the adapted weight's rows, `[out]`, of a DoRA adapter.
    public let magnitude: Tensor?

    public init(a: Tensor, b: Tensor, magnitude: Tensor? = nil) {
        self.a = a
        self.b = b
        self.magnitude = magnitude
    }
}

/// A LoRA adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.
public struct LoRAAdapterFiles {
    public static let weightsFileName = "adapter_model.safetensors"
    private static let prefix = "base_model.model."

    public var config: LoRAAdapterConfig
    /// By the name of the adapted module in the base model, such as `model.layers.0.self_attn.q_proj`.
    public var matrices: [String: LoRAMatrices]
    /// Tensors that replace the base model's of the same name (`modules_to_save`, resized embeddings).
    public var replacements: [NamedTensor]

    public init(
        config: LoRAAdapterConfig, matrices: [String: LoRAMatrices], replacements: [NamedTensor] = []
    ) {
        self.config = config
        self.matrices = matrices
        self.replacements = replacements
    }

    /// Reads an adapter folder; tensors lie on the mapped file.
    ///
    /// Whether the modules exist in a model, and fit it, is for whoever attaches them to check.
    ///
    /// - Throws: `UserError` naming the folder, the file, and the setting or tensor.
    public init(directory: String) throws(UserError) {
        let folder = directory.utf8.last == UInt8(ascii: "/") ? String(directory.dropLast()) : directory
        try Self.requireFiles(in: folder)
        config = try LoRAAdapterConfig(directory: folder)
        let path = folder + "/" + Self.weightsFileName
        let store = try WeightStore.open(file: path)
        var halves: [String: (a: Tensor?, b: Tensor?)] = [:]
        var magnitudes: [String: Tensor] = [:]
        replacements = []
        for name in store.names {
            guard name.hasPrefix(Self.prefix) else { throw Self.unknown(name, path) }
            let inner = name.dropFirst(Self.prefix.count)
            // With a resized vocabulary PEFT also writes how it holds the modules: their first values and the trained ones again.
            if inner.hasSuffix(".original_module.weight") || inner.hasSuffix(".modules_to_save.weight") {
                continue
            }
            if let module = inner.droppingSuffix(".lora_A.weight") {
                halves[module, default: (nil, nil)].a = try store.tensor(name)
            } else if let module = inner.droppingSuffix(".lora_B.weight") {
                halves[module, default: (nil, nil)].b = try store.tensor(name)
            } else if config.usesDoRA, let module = inner.droppingSuffix(".lora_magnitude_vector") {
                magnitudes[module] = try store.tensor(name)
            } else if inner.contains("lora_") || inner.isEmpty {
                throw Self.unknown(name, path)
            } else {
                replacements.append((String(inner), try store.tensor(name)))
            }
        }
        matrices = [:]
        for (module, (a, b)) in halves.sorted(by: { $0.key < $1.key }) {
            guard let a, let b else {
                throw UserError(
                    .failedRun, "module \"\(module)\" has lora_\(a == nil ? "B" : "A") only.", at: path,
                    remedy: "Download or save the adapter again; the file is incomplete.")
            }
            guard a.rank == 2, b.rank == 2, a.dim(0) == config.r, b.dim(1) == config.r else {
                throw UserError(
                    .failedRun,
                    "module \"\(module)\" has lora_A \(a.shape) and lora_B \(b.shape), which do not have the rank r = \(config.r) of \(LoRAAdapterConfig.fileName).",
                    at: path, remedy: "Take both files from the same adapter.")
            }
            guard config.usesDoRA == (magnitudes[module] != nil) else {
                throw UserError(
                    .failedRun, "module \"\(module)\" has no lora_magnitude_vector, which use_dora asks for.",
                    at: path,
                    remedy: "Take both files from the same adapter.")
            }
            matrices[module] = LoRAMatrices(a: a, b: b, magnitude: magnitudes.removeValue(forKey: module))
        }
        if let stray = magnitudes.keys.min() {
            throw Self.unknown(Self.prefix + stray + ".lora_magnitude_vector", path)
        }
    }

    /// Writes both files into an existing folder.
    ///
    /// - Throws: `UserError` naming a file; `TorchError` when a tensor cannot be read.
    public func write(to directory: String) throws {
        var tensors: [NamedTensor] = replacements.map { (Self.prefix + $0.name, $0.tensor) }
        for (module, matrices) in matrices {
            tensors.append(("\(Self.prefix)\(module).lora_A.weight", matrices.a))
            tensors.append(("\(Self.prefix)\(module).lora_B.weight", matrices.b))
            if let magnitude = matrices.magnitude {
                tensors.append(("\(Self.prefix)\(module).lora_magnitude_vector", magnitude))
            }
        }
        try writeSafetensors(tensors, to: directory + "/" + Self.weightsFileName)
        try writeFileAtomically(config.serialized(), to: directory + "/" + LoRAAdapterConfig.fileName)
    }

    private static func unknown(_ name: String, _ path: String) -> UserError {
        UserError(
            .failedRun, "tensor \"\(name)\" is no part of a plain LoRA adapter.", at: path,
            remedy: "Use a LoRA adapter of linear layers, or merge this one into its base model with PEFT.")
    }

    private static func requireFiles(in folder: String) throws(UserError) {
        func has(_ name: String) -> Bool {
            var status = stat()
            return stat(folder + "/" + name, &status) == 0
        }
        var status = stat()
        guard stat(folder, &status) == 0 else { throw .file(folder, notBe: "read", errorNumber: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .file(folder, notBe: "read", errorNumber: ENOTDIR)
        }
        guard has(LoRAAdapterConfig.fileName) else {
            let remedy =
                has("config.json")
                ? "It looks like a model: name it as model_name_or_path."
                : "Name the folder that holds \(LoRAAdapterConfig.fileName) and \(weightsFileName)."
            throw UserError(
                .failedRun, "holds no adapter: \(LoRAAdapterConfig.fileName) is missing.", at: folder,
                remedy: remedy)
        }
        if has(weightsFileName) { return }
        guard has("adapter_model.bin") else {
            throw UserError(
                .failedRun, "holds no \(weightsFileName).", at: folder,
                remedy: "Download or save the adapter again; it is incomplete.")
        }
        throw UserError(
            .failedRun,
            "holds its weights as adapter_model.bin only, a pickle, which can run any code when read.",
            at: folder,
            remedy: "Load it with PEFT in Python and save it again: that writes \(weightsFileName).")
    }
}

extension Substring {
    /// What comes before `suffix`; nil where the text does not end so, or is nothing else.
    fileprivate func droppingSuffix(_ suffix: String) -> String? {
        hasSuffix(suffix) && count > suffix.count ? String(dropLast(suffix.count)) : nil
    }
}
