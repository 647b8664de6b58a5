import Glibc
public import LFDiagnostics
import LFJSON
public import LFTorch

/// The named tensors of a checkpoint: one safetensors file, the shards that an index lists, or a GGUF file.
///
/// Files are mapped into memory and checked as a whole when opened; a tensor's bytes are read from disk when they are first
/// touched, and shared with the system's page cache.
public final class WeightStore {
    /// The folder or the file that was opened.
    public let path: String
    /// All tensors, in the order of the files' data.
    public let names: [String]
    /// What the writer noted in the first file, such as `format: pt`.
    public let metadata: [String: String]
    private let places: [String: Place]
    /// Set where the weights lie in a GGUF file.
    private let gguf: GGUFWeights?

    private struct Place {
        let file: MappedFile
        let entry: TensorEntry
    }

    private struct Shard {
        let file: MappedFile
        let header: SafetensorsHeader

        init(path: String) throws(UserError) {
            file = try MappedFile(path: path)
            header = try SafetensorsHeader(file.bytes, path: path)
        }
    }

    /// Opens the weights of a model folder: `model.safetensors`, else the shards of `model.safetensors.index.json`.
    ///
    /// - Throws: `UserError` naming the file, and the tensor where one is concerned.
    public static func open(directory: String) throws(UserError) -> WeightStore {
        let folder = directory.utf8.last == UInt8(ascii: "/") ? String(directory.dropLast()) : directory
        if isPresent(folder + "/model.safetensors") {
            return try WeightStore(path: folder, shards: [Shard(path: folder + "/model.safetensors")])
        }
        let index = folder + "/model.safetensors.index.json"
        if isPresent(index) { return try open(index: index, in: folder) }
        let gguf = folder + "/" + GGUFWeights.fileName
        if isPresent(gguf) { return WeightStore(path: folder, try GGUFWeights(path: gguf)) }
        throw missingWeights(in: folder)
    }

    /// Opens one safetensors file of any name.
    ///
    /// - Throws: `UserError` naming the file, and the tensor where one is concerned.
    public static func open(file: String) throws(UserError) -> WeightStore {
        try WeightStore(path: file, shards: [Shard(path: file)])
    }

    private static func open(index: String, in folder: String) throws(UserError) -> WeightStore {
        guard let members = try JSONValue.read(path: index)["weight_map"]?.object else {
            throw UserError(
                .failedRun, "has no object \"weight_map\".", at: index,
                remedy: "Download the file again; it should say which file holds each tensor.")
        }
        var fileOfTensor: [String: String] = [:]
        var shards: [String: Shard] = [:]
        var order: [String] = []
        for (name, value) in members {
            guard let file = value.string, isInside(file) else {
                throw UserError(
                    .failedRun,
                    "tensor \"\(name)\" is said to be in \(value.serialized()), which is not a file in this folder.",
                    at: index, remedy: "Download the file again, or correct the name.")
            }
            fileOfTensor[name] = file
            if shards[file] == nil {
                guard isPresent(folder + "/" + file) else {
                    throw UserError(
                        .failedRun, "the file \(file), which should hold tensor \"\(name)\", is missing.",
                        at: index,
                        remedy: "Download the missing file; the checkpoint is incomplete.")
                }
                shards[file] = try Shard(path: folder + "/" + file)
                order.append(file)
            }
        }
        return try WeightStore(
            path: folder, shards: order.compactMap { shards[$0] }, index: index, fileOfTensor: fileOfTensor)
    }

    private init(path: String, _ gguf: GGUFWeights) {
        (self.path, self.gguf, names) = (path, gguf, gguf.names)
        (places, metadata) = ([:], [:])
    }

    /// - Parameter fileOfTensor: Decides between shards that hold a tensor of the same name, and must be fulfilled.
    private init(
        path: String, shards: [Shard], index: String = "", fileOfTensor: [String: String] = [:]
    ) throws(UserError) {
        var places: [String: Place] = [:]
        var names: [String] = []
        for shard in shards {
            for entry in shard.header.entries {
                if let file = fileOfTensor[entry.name], shard.file.path != path + "/" + file { continue }
                if places.updateValue(Place(file: shard.file, entry: entry), forKey: entry.name) == nil {
                    names.append(entry.name)
                }
            }
        }
        if let (name, file) = fileOfTensor.filter({ places[$0.key] == nil }).min(by: { $0.key < $1.key }) {
            throw UserError(
                .failedRun, "tensor \"\(name)\" is listed, but \(file) does not hold it.", at: index,
                remedy: "Download the index and its files again; they do not belong together.")
        }
        self.path = path
        self.names = names
        self.places = places
        gguf = nil
        metadata = shards.first?.header.metadata ?? [:]
    }

    public func contains(_ name: String) -> Bool { shape(of: name) != nil }
    /// The sizes of a tensor; nil where there is none of that name.
    public func shape(of name: String) -> [Int]? { places[name]?.entry.shape ?? gguf?.shape(of: name) }
    /// The element type of a tensor; nil where there is none of that name.
    public func dtype(of name: String) -> DType? { places[name]?.entry.dtype ?? gguf?.dtype(of: name) }
    /// The file that a tensor lies in; the folder where there is none of that name.
    public func file(of name: String) -> String {
        places[name]?.file.path ?? (gguf == nil ? path : "\(path)/\(GGUFWeights.fileName)")
    }
    /// The size of all tensors together.
    public var byteCount: Int {
        gguf?.byteCount ?? places.values.reduce(0) { $0 + $1.entry.range.count }
    }

    /// A tensor on the mapped file itself, without a copy, unless the file places it at an odd address or holds it otherwise.
    ///
    /// Writing to it in place changes neither the file nor what another process sees, but every later tensor of that name
    /// from this store.
    ///
    /// - Throws: `UserError` naming the file and the tensor.
    public func tensor(_ name: String) throws(UserError) -> Tensor {
        do throws(TorchError) {
            if let tensor = try gguf?.tensor(name) { return tensor }
        } catch {
            throw Self.unloadable(name, at: path, error)
        }
        guard let place = places[name] else {
            let near = nearestName(to: name, among: names)
            throw UserError(
                .failedRun, "holds no tensor \"\(name)\"" + (near.map { ", but \"\($0)\"." } ?? "."),
                at: path,
                remedy: "Check that the weights belong to this model's config.json.")
        }
        let entry = place.entry
        let bytes = UnsafeRawBufferPointer(rebasing: place.file.bytes[entry.range])
        if entry.dtype == .bool, let value = bytes.first(where: { $0 > 1 }) {
            throw SafetensorsHeader.damaged(
                place.file.path, "tensor \"\(name)\" of type BOOL holds the byte \(value).")
        }
        do throws(TorchError) {
            if bytes.isEmpty { return try Tensor.zeros(entry.shape, entry.dtype) }
            guard UInt(bitPattern: bytes.baseAddress) % UInt(entry.dtype.size) == 0 else {
                return try Tensor(copying: bytes, entry.shape, entry.dtype)
            }
            return try Tensor(noCopy: bytes, entry.shape, entry.dtype, owner: place.file)
        } catch {
            throw Self.unloadable(name, at: place.file.path, error)
        }
    }
}

extension WeightStore {
    private static func unloadable(_ name: String, at path: String, _ error: TorchError) -> UserError {
        UserError(
            .failedRun, "tensor \"\(name)\" could not be loaded: \(error.message)", at: path,
            remedy: "Free some memory, or use a smaller model.")
    }

    private static func isPresent(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0
    }

    /// Whether a relative path stays in its folder.
    private static func isInside(_ file: String) -> Bool {
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        return !parts.contains { $0.isEmpty || $0 == "." || $0 == ".." } && !file.utf8.contains(0)
    }

    /// Says what the folder holds instead of safetensors weights.
    private static func missingWeights(in folder: String) -> UserError {
        var status = stat()
        guard stat(folder, &status) == 0 else { return .file(folder, notBe: "read", errorNumber: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return .file(folder, notBe: "read", errorNumber: ENOTDIR)
        }
        func has(_ names: String...) -> String? { names.first { isPresent(folder + "/" + $0) } }
        if let file = has("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth") {
            return UserError(
                .failedRun,
                "has its weights only as \(file), a pickle file, which can run any code when it is read.",
                at: folder,
                remedy:
                    "Convert it to model.safetensors with Python (`AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)`), or take a copy that has safetensors."
            )
        }
        // As save_pretrained names them: model-00001-of-00002.safetensors.
        let shards = directoryEntries(folder).filter {
            $0.hasPrefix("model-") && $0.hasSuffix(".safetensors")
        }.sorted()
        if let shard = shards.first {
            return UserError(
                .failedRun,
                "holds \(shards.count == 1 ? "the shard \(shard)" : "\(shards.count) shards, \(shard) for one"), but not model.safetensors.index.json, which says what each holds.",
                at: folder, remedy: "Download the index, too; the checkpoint is incomplete.")
        }
        if let file = has("adapter_model.safetensors", "adapter_config.json") {
            return UserError(
                .failedRun, "holds an adapter (\(file)), not a model.", at: folder,
                remedy: "Name it as adapter_name_or_path, and its base model as model_name_or_path.")
        }
        return UserError(
            .failedRun,
            "holds no weights: neither model.safetensors nor model.safetensors.index.json is there.",
            at: folder,
            remedy: "Download the model completely, or name another folder.")
    }
}
