internal import CTorch

/// Gradients that leave for the other processes while the backward pass still makes others.
///
/// They travel in flat messages of about 25 MB (buckets, Li et al. 2020, arXiv 2006.15704, section 3.2), each of which leaves when its gradients
/// and all messages before it are there. All processes send the same messages, with zeros for gradients that they do not have. A
/// gradient is held once, in its weight or in its bucket.
public final class GradientBuckets {
    /// What the passes of a step have left in this process, by weight.
    public struct Arrivals: Equatable {
        /// Whether there is a gradient.
        public var isOwn: [Bool]
        /// Whether more of it was made when its message had left.
        public var isLate: [Bool]
        /// How many messages left before the last pass had ended.
        public var earlyCount: Int
    }

    private let weights: [Tensor]
    private let group: ProcessGroup
    private let handle: lf_gradient_buckets_t

    /// - Parameters:
    ///   - weights: In the order in which passes make their gradients, about; the same in all processes.
    ///   - bytes: How large messages are; nil for as large as others.
    package init(of weights: [Tensor], over group: ProcessGroup, bytes: Int?) throws(TorchError) {
        self.weights = weights
        self.group = group
        var raw: lf_gradient_buckets_t?
        let handles: [lf_tensor_t?] = weights.map(\.handle)
        try check(
            "gradient buckets",
            handles.withUnsafeBufferPointer {
                lf_gradient_buckets_make($0.baseAddress, $0.count, Int64(bytes ?? 0), &raw)
            })
        guard let raw else { preconditionFailure("a successful call yields a handle") }
        handle = raw
    }

    deinit { lf_gradient_buckets_free(handle) }

    /// From now on the pass makes the last gradients of a step: they may leave as they are made. Until `settle` no weight has a gradient
    /// that can be read.
    public func open() throws(TorchError) {
        try group.exchange("send gradients") { lf_gradient_buckets_open(handle, $0) }
    }

    /// The passes of the step have ended: sends what has not left yet, also without `open`.
    public func close() throws(TorchError) -> Arrivals {
        var arrivals = Arrivals(
            isOwn: Array(repeating: false, count: weights.count),
            isLate: Array(repeating: false, count: weights.count), earlyCount: 0)
        try group.exchange("send gradients") {
            lf_gradient_buckets_close(
                handle, $0, &arrivals.isOwn, &arrivals.isLate, &arrivals.earlyCount)
        }
        return arrivals
    }

    /// Waits for the sums over all processes, which become the gradients of the weights.
    ///
    /// - Parameters:
    ///   - learned: Which weights some process has a gradient for; the others get none.
    ///   - late: For which some process made more when the message had left.
    public func settle(learned: [Bool], late: [Bool]) throws(TorchError) {
        precondition(learned.count == weights.count && late.count == weights.count, "one for each weight")
        try group.exchange("sum over processes") {
            lf_gradient_buckets_settle(handle, $0, learned, late)
        }
    }
}
