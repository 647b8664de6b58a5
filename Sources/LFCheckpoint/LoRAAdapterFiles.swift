import Glibc
public import LFDiagnostics
public import LFTorch

/// The two matrices that adapt one linear layer, or the embedding.
public struct LoRAMatrices {
    /// `[r, in]`; `[r, vocab]` of the embedding.
    public let a: Tensor
    /// `[out, r]`; `[hidden, r]` of the embedding.
    public let b: Tensor
    /// The lengths of the adapted weight's rows, `[out]`, of a DoRA adapter; of the embedding's columns, `[hidden]`.
    public let magnitude: Tensor?
    /// Whether they adapt an embedding, whose matrices have names of their own in PEFT's files.
    public let isOfEmbedding: Bool

    public init(a: Tensor, b: Tensor, magnitude: Tensor? = nil, isOfEmbedding: Bool = false) {
        self.a = a
        self.b = b
        self.magnitude = magnitude
        self.isOfEmbedding = isOfEmbedding
    }

    /// How the names of the two matrices end in files.
    public static func suffixes(ofEmbedding: Bool) -> (a: String, b: String) {
        ofEmbedding ? (".lora_embedding_A", ".lora_embedding_B") : (".lora_A.weight", ".lora_B.weight")
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
        var halves: [String: Halves] = [:]
        var magnitudes: [String: Tensor] = [:]
        replacements = []
        for name in store.names {
            guard name.hasPrefix(Self.prefix) else { throw Self.unknown(name, path) }
            let inner = name.dropFirst(Self.prefix.count)
            // With a resized vocabulary PEFT also writes how it holds the modules: their first values and the trained ones again.
            if inner.hasSuffix(".original_module.weight") || inner.hasSuffix(".modules_to_save.weight") {
                continue
            }
            if let (module, half) = Self.half(inner) {
                halves[module, default: Halves()][keyPath: half] = try store.tensor(name)
            } else if config.usesDoRA, let module = inner.droppingSuffix(".lora_magnitude_vector") {
                magnitudes[module] = try store.tensor(name)
            } else if let (module, leaf) = Self.basis(inner) {
                // PEFT writes what an adapted embedding or head stands on, too.
                replacements.append((module + leaf, try store.tensor(name)))
            } else if inner.contains("lora_") || inner.isEmpty {
                throw Self.unknown(name, path)
            } else {
                replacements.append((String(inner), try store.tensor(name)))
            }
        }
        matrices = [:]
        for (module, halves) in halves.sorted(by: { $0.key < $1.key }) {
            let isOfEmbedding = halves.embeddingA != nil || halves.embeddingB != nil
            let (a, b) = isOfEmbedding ? (halves.embeddingA, halves.embeddingB) : (halves.a, halves.b)
            guard let a, let b else {
                throw UserError(
                    .failedRun, "module \"\(module)\" has only lora_\(a == nil ? "B" : "A").", at: path,
                    remedy: "Download or save the adapter again; the file is incomplete.")
            }
            let rank = config.rank(of: module)
            guard a.rank == 2, b.rank == 2, a.dim(0) == rank, b.dim(1) == rank else {
                throw UserError(
                    .failedRun,
                    "module \"\(module)\" has lora_A \(a.shape) and lora_B \(b.shape), which do not have the rank r = \(rank) of \(LoRAAdapterConfig.fileName).",
                    at: path, remedy: "Take both files from the same adapter.")
            }
            guard config.usesDoRA == (magnitudes[module] != nil) else {
                throw UserError(
                    .failedRun, "module \"\(module)\" has no lora_magnitude_vector, which use_dora requires.",
                    at: path,
                    remedy: "Take both files from the same adapter.")
            }
            matrices[module] = LoRAMatrices(
                a: a, b: b, magnitude: magnitudes.removeValue(forKey: module), isOfEmbedding: isOfEmbedding)
        }
        if let stray = magnitudes.keys.min() {
            throw Self.unknown(Self.prefix + stray + ".lora_magnitude_vector", path)
        }
    }

    /// Writes both files into an existing folder.
    ///
    /// - Throws: `UserError` naming a file; `TorchError` when a tensor cannot be read.
    public func write(to directory: String) throws {
        // PEFT looks for the weight of an adapted module behind the adapter.
        var tensors: [NamedTensor] = replacements.map { name, tensor in
            for leaf in Self.leaves {
                guard let module = Substring(name).droppingSuffix(leaf), matrices[module] != nil else {
                    continue
                }
                return ("\(Self.prefix)\(module).base_layer\(leaf)", tensor)
            }
            return (Self.prefix + name, tensor)
        }
        for (module, matrices) in matrices {
            let suffixes = LoRAMatrices.suffixes(ofEmbedding: matrices.isOfEmbedding)
            tensors.append((Self.prefix + module + suffixes.a, matrices.a))
            tensors.append((Self.prefix + module + suffixes.b, matrices.b))
            if let magnitude = matrices.magnitude {
                tensors.append(("\(Self.prefix)\(module).lora_magnitude_vector", magnitude))
            }
        }
        try writeSafetensors(tensors, to: directory + "/" + Self.weightsFileName)
        try writeFileAtomically(config.serialized(), to: directory + "/" + LoRAAdapterConfig.fileName)
    }

    /// What a file holds of one module's matrices.
    private struct Halves {
        var a: Tensor?, b: Tensor?, embeddingA: Tensor?, embeddingB: Tensor?
    }

    /// The module and the place of a matrix by the end of its name; nil for other tensors.
    private static func half(_ name: Substring) -> (String, WritableKeyPath<Halves, Tensor?>)? {
        let (linear, embedding) = (
            LoRAMatrices.suffixes(ofEmbedding: false), LoRAMatrices.suffixes(ofEmbedding: true)
        )
        for (suffix, place) in [
            (linear.a, \Halves.a), (linear.b, \Halves.b), (embedding.a, \Halves.embeddingA),
            (embedding.b, \Halves.embeddingB),
        ] {
            if let module = name.droppingSuffix(suffix) { return (module, place) }
        }
        return nil
    }

    /// What a linear layer holds.
    private static let leaves = [".weight", ".bias"]

    /// The module and the leaf of a tensor that an adapter stands on; nil for other tensors.
    private static func basis(_ name: Substring) -> (module: String, leaf: String)? {
        for leaf in leaves {
            if let module = name.droppingSuffix(".base_layer" + leaf) { return (module, leaf) }
        }
        return nil
    }

    private static func unknown(_ name: String, _ path: String) -> UserError {
        UserError(
            .failedRun, "tensor \"\(name)\" is not part of a plain LoRA adapter.", at: path,
            remedy:
                "Use a LoRA adapter of linear layers and embeddings, or merge this one into its base model with PEFT."
        )
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
            "has its weights only as adapter_model.bin, a pickle file, which can run any code when it is read.",
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
