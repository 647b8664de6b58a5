internal import CTorch

extension Tensor {
    private func reduced(_ op: lf_reduce_op) throws(TorchError) -> Tensor {
        try Tensor.make("reduction") { lf_reduce(op, handle, $0) }
    }
    private func reduced(_ op: lf_reduce_op, _ dim: Int, _ keep: Bool) throws(TorchError) -> Tensor {
        try Tensor.make("reduction") { lf_reduce_dim(op, handle, Int64(dim), keep, $0) }
    }

    public func sum() throws(TorchError) -> Tensor { try reduced(LF_SUM) }
    public func mean() throws(TorchError) -> Tensor { try reduced(LF_MEAN) }
    public func max() throws(TorchError) -> Tensor { try reduced(LF_AMAX) }
    public func min() throws(TorchError) -> Tensor { try reduced(LF_AMIN) }
    public func sum(dim: Int, keepDim: Bool = false) throws(TorchError) -> Tensor {
        try reduced(LF_SUM, dim, keepDim)
    }
    public func mean(dim: Int, keepDim: Bool = false) throws(TorchError) -> Tensor {
        try reduced(LF_MEAN, dim, keepDim)
    }
    public func max(dim: Int, keepDim: Bool = false) throws(TorchError) -> Tensor {
        try reduced(LF_AMAX, dim, keepDim)
    }

    public func argmax(dim: Int) throws(TorchError) -> Tensor {
        try Tensor.make("argmax") { lf_argmax(handle, Int64(dim), $0) }
    }
    public func softmax(dim: Int) throws(TorchError) -> Tensor {
        try Tensor.make("softmax") { lf_softmax(handle, Int64(dim), $0) }
    }
    public func logSoftmax(dim: Int) throws(TorchError) -> Tensor {
        try Tensor.make("log-softmax") { lf_log_softmax(handle, Int64(dim), $0) }
    }
    public func logSumExp(dim: Int, keepDim: Bool = false) throws(TorchError) -> Tensor {
        try Tensor.make("log-sum-exp") { lf_logsumexp(handle, Int64(dim), keepDim, $0) }
    }
    public func cumulativeSum(dim: Int) throws(TorchError) -> Tensor {
        try Tensor.make("cumulative sum") { lf_cumsum(handle, Int64(dim), $0) }
    }

    /// The `count` greatest values along `dim` and where they are.
    public func top(_ count: Int, dim: Int) throws(TorchError) -> (values: Tensor, indices: Tensor) {
        try pair("top-k") { lf_topk(handle, Int64(count), Int64(dim), $0, $1) }
    }
    public func sorted(dim: Int, descending: Bool) throws(TorchError) -> (values: Tensor, indices: Tensor) {
        try pair("sort") { lf_sort(handle, Int64(dim), descending, $0, $1) }
    }

    private func pair(
        _ operation: String,
        _ body: (UnsafeMutablePointer<lf_tensor_t?>, UnsafeMutablePointer<lf_tensor_t?>) -> lf_status
    ) throws(TorchError) -> (values: Tensor, indices: Tensor) {
        var second: lf_tensor_t?
        let first = try Tensor.make(operation) { body($0, &second) }
        guard let second else { preconditionFailure("\(operation) succeeded without a second result") }
        return (first, Tensor(adopting: second))
    }

    /// Sums rows by group: `out[group[i]] += self[i]`; `group [N]` int64 in `0..<count`, returns `[count, …]`.
    public func groupSum(_ group: Tensor, count: Int) throws(TorchError) -> Tensor {
        try Tensor.make("group sum") { lf_group_sum(handle, group.handle, Int64(count), $0) }
    }
}

extension Tensor {
    /// Whether no element is NaN or infinite; types without these always are.
    ///
    /// Elements are read in pieces, so that a weight on a mapped file is not copied as a whole.
    package func isFinite() throws(TorchError) -> Bool {
        guard dtype.isFloatingPoint, count > 0 else { return true }
        return try withoutGrad { () throws(TorchError) in
            let flat = try reshaped([count]), piece = 1 << 24
            for start in stride(from: 0, to: count, by: piece) {
                let part = try flat.slice(start..<Swift.min(count, start + piece))
                // Each element times 0 is 0 or NaN.
                if try !(part.to(.float32) * 0).sum().item().isFinite { return false }
            }
            return true
        }
    }
}
