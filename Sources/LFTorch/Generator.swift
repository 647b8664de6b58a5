internal import CTorch

/// One of libtorch's random streams: the same seed gives PyTorch's numbers on the same kind of device.
///
/// Not `Sendable`: drawing changes it.
public final class Generator {
    let handle: lf_generator_t

    /// - Parameter device: Whose numbers these are; a device's own fill its tensors without the host.
    public init(seed: UInt64, on device: Device = .cpu) throws(TorchError) {
        var raw: lf_generator_t?
        try check("generator", lf_generator_create(seed, device.raw, &raw))
        guard let raw else { preconditionFailure("a successful creation yields a handle") }
        handle = raw
    }

    deinit { lf_generator_free(handle) }

    public func reseed(_ seed: UInt64) throws(TorchError) {
        try check("reseed", lf_generator_seed(handle, seed))
    }

    /// The stream's whole state, `[n]` uint8.
    public func state() throws(TorchError) -> Tensor {
        try Tensor.make("generator state") { lf_generator_state(handle, $0) }
    }

    public func restore(_ state: Tensor) throws(TorchError) {
        try check("restore generator", lf_generator_set_state(handle, state.handle))
    }

    /// A random order of `0..<count` (`torch.randperm`).
    public func permutation(_ count: Int) throws(TorchError) -> [Int] {
        try Tensor.make("randperm") { lf_randperm(Int64(count), handle, $0) }.int64s().map { Int($0) }
    }
}
