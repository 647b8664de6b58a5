internal import CTorch

/// Where a process stands among those that train together.
public struct ProcessPlace: Sendable, Equatable {
    public var rank: Int
    public var size: Int
    /// Where process 0's store answers.
    public var masterAddress: String
    public var masterPort: Int
    /// Whether process 0 opens the store itself; torchrun's agent may hold it.
    public var servesStore: Bool
    /// The network interface to talk through, such as `eth0`; nil takes the one that leads to the master.
    public var networkInterface: String?
    /// Names one attempt: processes of another attempt do not meet these.
    public var runName: String
    /// Seconds to wait for the others in every exchange.
    public var timeout: Double
    /// Seconds to wait until all are there.
    public var meetingTimeout: Double

    public init(
        rank: Int, size: Int, masterAddress: String, masterPort: Int, servesStore: Bool = true,
        networkInterface: String? = nil, runName: String = "run", timeout: Double = 1800,
        meetingTimeout: Double? = nil
    ) {
        self.rank = rank
        self.size = size
        self.masterAddress = masterAddress
        self.masterPort = masterPort
        self.servesStore = servesStore
        self.networkInterface = networkInterface
        self.runName = runName
        self.timeout = timeout
        self.meetingTimeout = meetingTimeout ?? timeout
    }
}

/// Processes that exchange tensors with one another: Gloo on the CPU, out of libtorch.
///
/// All processes call the same functions in the same order. A process that is gone makes every exchange of the others throw.
public final class ProcessGroup: Communicator {
    public let rank: Int
    public let size: Int
    private let handle: lf_process_group_t

    /// Meets the other processes; returns when all are there.
    ///
    /// - Throws: `TorchError` when one is missing after the time-out, or the port is taken.
    public init(joining place: ProcessPlace) throws(TorchError) {
        (rank, size) = (place.rank, place.size)
        var raw: lf_process_group_t?
        let status = place.masterAddress.withCString { address in
            place.runName.withCString { name in
                withOptionalCString(place.networkInterface) { interface in
                    var place = lf_process_place(
                        rank: Int32(place.rank), size: Int32(place.size), master_address: address,
                        master_port: Int32(place.masterPort), serves_store: place.servesStore,
                        network_interface: interface, run_name: name, timeout_seconds: place.timeout,
                        meeting_seconds: place.meetingTimeout)
                    return lf_process_group_join(&place, &raw)
                }
            }
        }
        try checkExchange("join processes", status)
        guard let raw else { preconditionFailure("a successful join yields a handle") }
        handle = raw
    }

    deinit { lf_process_group_free(handle) }

    public func sum(_ tensors: [Tensor]) throws(TorchError) {
        guard !tensors.isEmpty else { return }
        let handles: [lf_tensor_t?] = tensors.map(\.handle)
        try checkExchange(
            "sum over processes",
            handles.withUnsafeBufferPointer { lf_process_group_sum(handle, $0.baseAddress, $0.count) })
    }

    public func broadcast(_ tensors: [Tensor], from roots: [Int]) throws(TorchError) {
        try exchange("broadcast", tensors, roots, lf_process_group_broadcast)
    }

    public func reduce(_ tensors: [Tensor], to roots: [Int]) throws(TorchError) {
        try exchange("sum to a process", tensors, roots, lf_process_group_reduce)
    }

    private func exchange(
        _ name: String, _ tensors: [Tensor], _ roots: [Int],
        _ operation: (
            lf_process_group_t?, UnsafePointer<lf_tensor_t?>?, UnsafePointer<Int32>?, Int
        ) -> lf_status
    ) throws(TorchError) {
        precondition(tensors.count == roots.count, "each tensor has one process")
        guard !tensors.isEmpty else { return }
        let handles: [lf_tensor_t?] = tensors.map(\.handle)
        let ranks = roots.map { Int32($0) }
        let status = withExtendedLifetime(tensors) {
            handles.withUnsafeBufferPointer { handles in
                ranks.withUnsafeBufferPointer {
                    operation(handle, handles.baseAddress, $0.baseAddress, handles.count)
                }
            }
        }
        try checkExchange(name, status)
    }

    public func gathered(_ tensor: Tensor) throws(TorchError) -> Tensor {
        var raw: lf_tensor_t?
        try checkExchange(
            "gather from processes", lf_process_group_gather(handle, tensor.handle, &raw))
        guard let raw else { preconditionFailure("a successful exchange yields a tensor") }
        return Tensor(adopting: raw)
    }

    public func barrier() throws(TorchError) {
        try checkExchange("barrier", lf_process_group_barrier(handle))
    }

    public func meet(_ name: String) throws(TorchError) {
        try checkExchange(
            "wait for the other processes", name.withCString { lf_process_group_meet(handle, $0) })
    }
}

/// What fails in an exchange is the connection to another process, unless memory is.
private func checkExchange(_ operation: String, _ status: lf_status) throws(TorchError) {
    do throws(TorchError) { try check(operation, status) } catch {
        var failure = error
        if failure.kind != .outOfMemory { failure.kind = .communication }
        throw failure
    }
}

private func withOptionalCString<R>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
    guard let text else { return body(nil) }
    return text.withCString { body($0) }
}
