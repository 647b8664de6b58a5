import LFDiagnostics
import LFGGUF
import LFTorch

/// The tensors of a GGUF file under their names in a Hugging Face checkpoint.
///
/// Float tensors that the file holds as they are lie on the mapped file; others are made when they are asked for. What is rounded
/// to few bits becomes float32.
final class GGUFWeights {
    /// The name under which a model's folder holds, or links to, a GGUF file that is read for its weights.
    static let fileName = "weights.gguf"

    let names: [String]
    private let file: MappedFile
    private let tensors: [String: GGUFCheckpoint.StoredTensor]

    /// - Throws: `UserError` naming the file, and the tensor where one is concerned.
    init(path: String) throws(UserError) {
        file = try MappedFile(path: path)
        let checkpoint = try GGUFCheckpoint(GGUFContents(file.bytes, path: path), file: file.bytes)
        names = checkpoint.tensors.map(\.name)
        tensors = Dictionary(checkpoint.tensors.map { ($0.name, $0) }) { first, _ in first }
    }

    func shape(of name: String) -> [Int]? { tensors[name]?.shape }

    func dtype(of name: String) -> DType? {
        switch tensors[name]?.entry.type {
        case nil: nil
        case .float16: .float16
        case .bfloat16: .bfloat16
        default: .float32
        }
    }

    /// The size of all tensors as they are given out.
    var byteCount: Int {
        tensors.reduce(0) { $0 + $1.value.shape.reduce(1, *) * (dtype(of: $1.key) ?? .float32).size }
    }

    /// - Throws: `TorchError` where memory is short.
    func tensor(_ name: String) throws(TorchError) -> Tensor? {
        guard let tensor = tensors[name], let dtype = dtype(of: name) else { return nil }
        let range = tensor.range
        let isFloat = [.float32, .float16, .bfloat16].contains(tensor.entry.type)
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
        if isFloat, tensor.isPlain, !bytes.isEmpty,
            UInt(bitPattern: bytes.baseAddress) % UInt(dtype.size) == 0
        {
            return try Tensor(noCopy: bytes, tensor.shape, dtype, owner: file)
        }
        let made = try Tensor(tensor.weights(in: file.bytes), tensor.shape)
        return dtype == .float32 ? made : try made.to(dtype)
    }
}
