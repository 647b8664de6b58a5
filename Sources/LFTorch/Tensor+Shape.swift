internal import CTorch

extension Tensor {
    public func matmul(_ other: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("matmul") { lf_matmul(handle, other.handle, $0) }
    }
    /// The same elements in another shape; one size may be -1.
    public func reshaped(_ shape: [Int]) throws(TorchError) -> Tensor {
        let sizes = shape.map { Int64($0) }
        return try Tensor.make("reshape") { lf_reshape(handle, sizes, sizes.count, $0) }
    }
    public func transposed(_ a: Int = 0, _ b: Int = 1) throws(TorchError) -> Tensor {
        try Tensor.make("transpose") { lf_transpose(handle, Int64(a), Int64(b), $0) }
    }
    public func expanded(_ shape: [Int]) throws(TorchError) -> Tensor {
        let sizes = shape.map { Int64($0) }
        return try Tensor.make("expand") { lf_expand(handle, sizes, sizes.count, $0) }
    }
    /// A view of `range` along `dim`.
    public func slice(_ range: Range<Int>, dim: Int = 0) throws(TorchError) -> Tensor {
        try Tensor.make("slice") {
            lf_narrow(handle, Int64(dim), Int64(range.lowerBound), Int64(range.count), $0)
        }
    }
    /// The rows (or other slices) that `index`, int64, names.
    public func selecting(_ index: Tensor, dim: Int = 0) throws(TorchError) -> Tensor {
        try Tensor.make("index select") { lf_index_select(handle, Int64(dim), index.handle, $0) }
    }
    public func gathered(_ index: Tensor, dim: Int) throws(TorchError) -> Tensor {
        try Tensor.make("gather") { lf_gather(handle, Int64(dim), index.handle, $0) }
    }
    public func scattered(_ index: Tensor, dim: Int, from source: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("scatter") { lf_scatter(handle, Int64(dim), index.handle, source.handle, $0) }
    }
    public static func concatenated(_ tensors: [Tensor], dim: Int = 0) throws(TorchError) -> Tensor {
        let handles = tensors.map { Optional($0.handle) }
        return try withExtendedLifetime(tensors) { () throws(TorchError) in
            try make("concatenate") { lf_cat(handles, handles.count, Int64(dim), $0) }
        }
    }
    public static func stacked(_ tensors: [Tensor], dim: Int = 0) throws(TorchError) -> Tensor {
        let handles = tensors.map { Optional($0.handle) }
        return try withExtendedLifetime(tensors) { () throws(TorchError) in
            try make("stack") { lf_stack(handles, handles.count, Int64(dim), $0) }
        }
    }
    /// Rows of `self [vocab, hidden]` for `ids [T]`: `[T, hidden]`.
    public func embedding(_ ids: Tensor) throws(TorchError) -> Tensor {
        try Tensor.make("embedding") { lf_embedding(handle, ids.handle, $0) }
    }
}
