internal import CTorch

extension Tensor {
    /// Copies of tensors on the CPU in one piece of memory, on huge pages where the system has them.
    package static func laidTogether(_ tensors: [Tensor]) throws(TorchError) -> [Tensor] {
        let handles = tensors.map { Optional($0.handle) }
        var results = [lf_tensor_t?](repeating: nil, count: tensors.count)
        let status = withExtendedLifetime(tensors) { lf_lay_together(handles, handles.count, &results) }
        try check("lay together", status)
        return results.map { result in
            guard let result else { preconditionFailure("a copy succeeded without a result") }
            return Tensor(adopting: result)
        }
    }

    public static func zeros(
        _ shape: [Int], _ dtype: DType = .float32, on device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        let sizes = shape.map { Int64($0) }
        return try make("zeros") { lf_zeros(sizes, sizes.count, dtype.raw, device.raw, $0) }
    }

    public static func full(
        _ shape: [Int], _ value: Double, _ dtype: DType = .float32, on device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        let sizes = shape.map { Int64($0) }
        return try make("full") { lf_full(sizes, sizes.count, value, dtype.raw, device.raw, $0) }
    }

    public static func scalar(
        _ value: Double, _ dtype: DType = .float32, on device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        try full([], value, dtype, on: device)
    }

    /// `0, 1, …, count - 1`.
    public static func range(
        _ count: Int, _ dtype: DType = .int64, on device: Device = .cpu
    ) throws(TorchError) -> Tensor {
        try make("range") { lf_arange(Int64(count), dtype.raw, device.raw, $0) }
    }

    public func zerosLike() throws(TorchError) -> Tensor {
        try Tensor.make("zeros") { lf_zeros_like(handle, $0) }
    }

    public convenience init(_ values: [Float], _ shape: [Int]? = nil) throws(TorchError) {
        try self.init(elements: values, shape ?? [values.count], .float32)
    }
    public convenience init(_ values: [Double], _ shape: [Int]? = nil) throws(TorchError) {
        try self.init(elements: values, shape ?? [values.count], .float64)
    }
    public convenience init(_ values: [Int64], _ shape: [Int]? = nil) throws(TorchError) {
        try self.init(elements: values, shape ?? [values.count], .int64)
    }
    public convenience init(_ values: [Int32], _ shape: [Int]? = nil) throws(TorchError) {
        try self.init(elements: values, shape ?? [values.count], .int32)
    }
    public convenience init(_ values: [UInt8], _ shape: [Int]? = nil) throws(TorchError) {
        try self.init(elements: values, shape ?? [values.count], .uint8)
    }

    /// Copies `bytes`, which must hold exactly the elements of `shape`.
    public convenience init(
        copying bytes: UnsafeRawBufferPointer, _ shape: [Int], _ dtype: DType
    ) throws(TorchError) {
        guard byteCount(of: shape, dtype) == bytes.count else {
            throw TorchError(
                kind: .invalidArgument, operation: "tensor from bytes",
                message: "\(bytes.count) bytes do not hold \(shape) elements of type \(dtype)")
        }
        let sizes = shape.map { Int64($0) }
        var raw: lf_tensor_t?
        try check("tensor from bytes", lf_from_bytes(bytes.baseAddress, sizes, sizes.count, dtype.raw, &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        self.init(adopting: raw)
    }

    private convenience init<Element>(elements: [Element], _ shape: [Int], _ dtype: DType) throws(TorchError)
    {
        var raw: lf_tensor_t?
        guard byteCount(of: shape, dtype) == elements.count * dtype.size else {
            throw TorchError(
                kind: .invalidArgument, operation: "tensor from array",
                message: "\(elements.count) values do not fill the shape \(shape)")
        }
        let sizes = shape.map { Int64($0) }
        let status = elements.withUnsafeBytes {
            lf_from_bytes($0.baseAddress, sizes, sizes.count, dtype.raw, &raw)
        }
        try check("tensor from array", status)
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        self.init(adopting: raw)
    }

    /// A tensor on memory of somebody else's, which `owner` keeps alive as long as the tensor's storage lives.
    ///
    /// The memory may be read-only (a mapped file); then the tensor must never be written in place.
    public convenience init(
        noCopy bytes: UnsafeRawBufferPointer, _ shape: [Int], _ dtype: DType, owner: AnyObject
    ) throws(TorchError) {
        guard let base = bytes.baseAddress, byteCount(of: shape, dtype) == bytes.count else {
            throw TorchError(
                kind: .invalidArgument, operation: "tensor on mapped memory",
                message: "\(bytes.count) bytes do not hold \(shape) elements of type \(dtype)")
        }
        let sizes = shape.map { Int64($0) }
        let retained = Unmanaged.passRetained(owner)
        var raw: lf_tensor_t?
        let status = lf_wrap_bytes(
            UnsafeMutableRawPointer(mutating: base), sizes, sizes.count, dtype.raw, retained.toOpaque(),
            { owner in if let owner { Unmanaged<AnyObject>.fromOpaque(owner).release() } }, &raw)
        try check("tensor on mapped memory", status)
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        self.init(adopting: raw)
    }
}

/// The bytes that a shape takes; nil for a negative size and where the product overflows.
private func byteCount(of shape: [Int], _ dtype: DType) -> Int? {
    var count = dtype.size
    for size in shape {
        let (product, overflows) = count.multipliedReportingOverflow(by: size)
        guard size >= 0, !overflows else { return nil }
        count = product
    }
    return count
}
