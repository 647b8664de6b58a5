internal import CTorch
internal import Foundation

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
    /// Names the run: processes of another one do not join these.
    public var runName: String
    /// Seconds to wait for the others in every exchange.
    public var timeout: Double
    /// Seconds to wait until all have joined and are connected to one another.
    public var rendezvousTimeout: Double
    /// Where this process computes. Tensors on a GPU travel between GPUs.
    package var device = Device.cpu
    /// How long exchanges and barriers wait before something is said or done.
    package var waits = Waits()

    /// Seconds.
    package struct Waits: Sendable, Equatable {
        /// Between two signs of life of each process.
        package var heartbeat = 5.0
        /// Without a sign of life until a process counts as gone.
        package var silence = 60.0
        /// Between two lines that say who is missing.
        package var notice = 30.0

        package init() {}
    }

    public init(
        rank: Int, size: Int, masterAddress: String, masterPort: Int, servesStore: Bool = true,
        networkInterface: String? = nil, runName: String = "run", timeout: Double = 1800,
        rendezvousTimeout: Double? = nil
    ) {
        self.rank = rank
        self.size = size
        self.masterAddress = masterAddress
        self.masterPort = masterPort
        self.servesStore = servesStore
        self.networkInterface = networkInterface
        self.runName = runName
        self.timeout = timeout
        self.rendezvousTimeout = rendezvousTimeout ?? timeout
    }

    /// Hands this place to a function of the shim.
    func withPlain<R>(
        _ body: (UnsafePointer<lf_process_place>) throws(TorchError) -> R
    ) throws(TorchError) -> R {
        let texts = [masterAddress, runName, networkInterface].map { text in text.flatMap { strdup($0) } }
        defer { for text in texts { free(text) } }
        var plain = lf_process_place(
            rank: Int32(rank), size: Int32(size), master_address: texts[0], master_port: Int32(masterPort),
            serves_store: servesStore, network_interface: texts[2], run_name: texts[1],
            timeout_seconds: timeout, rendezvous_seconds: rendezvousTimeout,
            heartbeat_seconds: waits.heartbeat, silence_seconds: waits.silence, device: device.raw)
        return try body(&plain)
    }
}

/// Processes that exchange tensors with one another: the CPU's over Gloo, out of libtorch, those on GPUs over NCCL.
///
/// All processes call the same functions in the same order. A process that is gone makes every exchange of the others throw, be it that its
/// connections end or that it gives no more sign of life; where it has said why, the error of the others says so too.
public final class ProcessGroup: Communicator {
    public let rank: Int
    public let size: Int
    private let store: RunStore
    /// nil once this process has failed: its connections are closed.
    private var handle: lf_process_group_t?

    /// Joins the other processes; returns when all have.
    ///
    /// - Parameter notice: Receives a line now and then while others are waited for.
    /// - Throws: `TorchError` when one is missing after the time-out, has failed, or the port is taken.
    public init(
        joining place: ProcessPlace, notice: @escaping (String) -> Void = { _ in }
    ) throws(TorchError) {
        (rank, size) = (place.rank, place.size)
        let store = try RunStore.ofThisAttempt(place, notice: notice)
        self.store = store
        try store.barrier("join", limit: place.rendezvousTimeout)
        var raw: lf_process_group_t?
        do throws(TorchError) {
            try place.withPlain { (plain) throws(TorchError) in
                try checkExchange("join processes", lf_process_group_join(store.handle, plain, &raw))
            }
        } catch {
            guard error.kind == .communication else { throw error }
            if let reason = store.reasonOfLoss() { throw reason }
            // Others may still be about to connect to this one.
            try? store.report(failure: "It could not connect to the others: \(error.message)")
            store.lingerUntilRead()
            throw error
        }
        guard let raw else { preconditionFailure("a successful join yields a handle") }
        handle = raw
    }

    deinit { lf_process_group_free(handle) }

    public func sum(_ tensors: [Tensor]) throws(TorchError) {
        guard !tensors.isEmpty else { return }
        let handles: [lf_tensor_t?] = tensors.map(\.handle)
        try exchange("sum over processes") { group in
            handles.withUnsafeBufferPointer { lf_process_group_sum(group, $0.baseAddress, $0.count) }
        }
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
        try exchange(name) { group in
            withExtendedLifetime(tensors) {
                handles.withUnsafeBufferPointer { handles in
                    ranks.withUnsafeBufferPointer {
                        operation(group, handles.baseAddress, $0.baseAddress, handles.count)
                    }
                }
            }
        }
    }

    public func gradientBuckets(of weights: [Tensor], bytes: Int?) throws(TorchError) -> GradientBuckets? {
        try GradientBuckets(of: weights, over: self, bytes: bytes)
    }

    public func gathered(_ tensor: Tensor) throws(TorchError) -> Tensor {
        var raw: lf_tensor_t?
        try exchange("gather from processes") { lf_process_group_gather($0, tensor.handle, &raw) }
        guard let raw else { preconditionFailure("a successful exchange yields a tensor") }
        return Tensor(adopting: raw)
    }

    public func barrier() throws(TorchError) { try exchange("barrier") { lf_process_group_barrier($0) } }

    public func storeBarrier(_ name: String) throws(TorchError) { try store.barrier(name) }

    public func finish() throws(TorchError) { try store.finish() }

    public func leave(failing reason: String) {
        guard handle != nil else { return }
        try? store.report(failure: reason)
        // The others' exchanges end now, and they ask the store why.
        lf_process_group_free(handle)
        handle = nil
        store.lingerUntilRead()
    }

    /// From now on this process looks dead to the others, for tests.
    package func fallSilent() { store.fallSilent() }

    /// The others learn of a failure while the connections stay, for tests.
    package func tell(failure reason: String) { try? store.report(failure: reason) }

    /// The connections end as those of a process that is killed, for tests.
    package func sever() { if let handle { lf_process_group_sever(handle) } }

    /// A failed exchange is the fault of a process that has said why, or of one that is gone without a word. It ends this process's connections:
    /// what was on its way may never arrive, and the others must not wait for it.
    func exchange(
        _ operation: String, _ call: (lf_process_group_t) -> lf_status
    ) throws(TorchError) {
        guard let handle else {
            throw TorchError(
                kind: .communication, operation: operation, message: "this process has left the others")
        }
        do throws(TorchError) { try checkExchange(operation, call(handle)) } catch {
            guard error.kind == .communication else { throw error }
            let reason = store.reasonOfLoss()
            lf_process_group_sever(handle)
            throw reason ?? error
        }
    }
}
