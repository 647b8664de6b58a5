internal import CTorch

/// A reference to an n-dimensional array held by libtorch.
///
/// Not `Sendable`: two tensors may share storage.
public final class Tensor {
    let handle: lf_tensor_t

    init(adopting handle: lf_tensor_t) { self.handle = handle }
    deinit { lf_tensor_free(handle) }

    /// Runs an operation of the shim and adopts what it hands out.
    static func make(
        _ operation: String, _ body: (UnsafeMutablePointer<lf_tensor_t?>) -> lf_status
    ) throws(TorchError) -> Tensor {
        let isRecorded = lf_profile_records()
        if isRecorded { lf_profile_begin(operation) }
        defer { if isRecorded { lf_profile_end() } }
        var raw: lf_tensor_t?
        try check(operation, body(&raw))
        guard let raw else { preconditionFailure("\(operation) succeeded without a result") }
        return Tensor(adopting: raw)
    }

    // MARK: Shape and type

    public var rank: Int { lf_rank(handle) }
    /// The size of one dimension; negative counts from the end.
    public func dim(_ index: Int) -> Int { Int(lf_dim(handle, Int64(index))) }
    /// All sizes; allocates, so prefer `dim(_:)` in hot code.
    public var shape: [Int] { (0..<rank).map { dim($0) } }
    public var count: Int { Int(lf_numel(handle)) }
    public var dtype: DType { DType(lf_dtype_of(handle)) }
    public var device: Device { Device(lf_device_of(handle)) }
    public var isContiguous: Bool { lf_is_contiguous(handle) }

    // MARK: Reading

    /// The value of a one-element tensor; waits for the device.
    public func item() throws(TorchError) -> Double {
        var value = 0.0
        try check("item", lf_item(handle, &value))
        return value
    }

    public func floats() throws(TorchError) -> [Float] { try elements(as: .float32, zero: Float(0)) }
    public func doubles() throws(TorchError) -> [Double] { try elements(as: .float64, zero: Double(0)) }
    public func int64s() throws(TorchError) -> [Int64] { try elements(as: .int64, zero: Int64(0)) }
    public func int32s() throws(TorchError) -> [Int32] { try elements(as: .int32, zero: Int32(0)) }
    public func bools() throws(TorchError) -> [Bool] {
        try elements(as: .uint8, zero: UInt8(0)).map { $0 != 0 }
    }

    private func elements<Element>(as dtype: DType, zero: Element) throws(TorchError) -> [Element] {
        let converted = try to(dtype)
        var result = [Element](repeating: zero, count: count)
        let size = result.count * MemoryLayout<Element>.stride
        let status = result.withUnsafeMutableBytes { lf_copy_bytes(converted.handle, $0.baseAddress, size) }
        try check("read", status)
        return result
    }

    /// Copies the elements, in order, into `buffer`, which must have exactly their size in bytes.
    public func copyBytes(to buffer: UnsafeMutableRawBufferPointer) throws(TorchError) {
        try check("read", lf_copy_bytes(handle, buffer.baseAddress, buffer.count))
    }

    /// Whether shape, type and every byte are equal.
    public func isIdentical(to other: Tensor) throws(TorchError) -> Bool {
        var result = false
        try check("compare", lf_identical(handle, other.handle, &result))
        return result
    }

    // MARK: Conversions

    public func to(_ dtype: DType) throws(TorchError) -> Tensor {
        try Tensor.make("to \(dtype)") { lf_to_dtype(handle, dtype.raw, $0) }
    }
    public func to(_ device: Device) throws(TorchError) -> Tensor {
        try Tensor.make("to \(device)") { lf_to_device(handle, device.raw, $0) }
    }
    public func contiguous() throws(TorchError) -> Tensor {
        try Tensor.make("contiguous") { lf_contiguous(handle, $0) }
    }
    /// The same storage outside the graph.
    public func detached() throws(TorchError) -> Tensor {
        try Tensor.make("detach") { lf_detach(handle, $0) }
    }
    public func cloned() throws(TorchError) -> Tensor { try Tensor.make("clone") { lf_clone(handle, $0) } }
}
