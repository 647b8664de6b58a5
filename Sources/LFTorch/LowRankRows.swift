internal import CTorch

/// A low-rank update of some rows: `scale · (x·Aᵀ)·B`.
public struct LowRankRows {
    /// The rows that get it.
    public var rows: Range<Int>
    /// `[rank, in]`
    public var a: Tensor
    /// `[rank, out]`
    public var b: Tensor
    public var scale: Double

    public init(rows: Range<Int>, a: Tensor, b: Tensor, scale: Double) {
        (self.rows, self.a, self.b, self.scale) = (rows, a, b, scale)
    }
}

extension Tensor {
    /// Adds updates to rows of this tensor, `[T, out]`, in place; nothing is recorded for autograd.
    ///
    /// - Parameters:
    ///   - updates: Their rows do not overlap.
    ///   - x: What the updates are made of, `[T, in]`, of this tensor's type.
    public func addInPlace(_ updates: [LowRankRows], of x: Tensor) throws(TorchError) {
        let begins = updates.map { Int64($0.rows.lowerBound) },
            ends = updates.map { Int64($0.rows.upperBound) }
        let a = updates.map { Optional($0.a.handle) }, b = updates.map { Optional($0.b.handle) }
        try check(
            "low-rank rows",
            lf_add_low_rank(handle, x.handle, begins, ends, a, b, updates.map(\.scale), updates.count))
    }
}
