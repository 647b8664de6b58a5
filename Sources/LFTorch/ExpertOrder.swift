internal import CTorch

/// The choices of a stream's tokens, sorted by expert: each expert multiplies its rows at once.
package struct ExpertOrder {
    /// int64 `[T · chosen]`: the token of each row in sorted order.
    package let tokens: Tensor
    /// int64 `[T · chosen]`: the sorted row of each choice.
    package let places: Tensor
    /// How many rows each expert has.
    package let counts: [Int]

    /// - Parameters:
    ///   - chosen: int64 `[T, chosen]`, each below `experts`.
    ///   - onDevice: Whether to sort where the choices lie and to wait for the counts alone; nil does so off the CPU.
    package init(_ chosen: Tensor, experts: Int, onDevice: Bool? = nil) throws(TorchError) {
        var counts = Array(repeating: Int64(0), count: experts)
        var tokens: lf_tensor_t?
        var places: lf_tensor_t?
        let isOnDevice = onDevice ?? (chosen.device != .cpu)
        try check(
            "order of experts",
            lf_expert_order(chosen.handle, isOnDevice, &counts, experts, &tokens, &places))
        guard let tokens, let places else { preconditionFailure("a successful order yields its tables") }
        self.tokens = Tensor(adopting: tokens)
        self.places = Tensor(adopting: places)
        self.counts = counts.map { Int($0) }
    }
}
