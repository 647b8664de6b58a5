internal import CTorch

/// Where a tensor lives.
public enum Device: String, Sendable {
    case cpu
    case cuda
    /// What tests register with libtorch to see what a run asks of a device that is not the CPU; no run chooses it.
    case standIn = "stand-in"

    public static var hasCUDA: Bool { lf_cuda_available() }

    /// Whether runs of this task compute on the stand-in, which tests alone have.
    @TaskLocal package static var usesStandIn = false

    /// Where a run computes that was not told to use the CPU.
    package static var fastest: Device { usesStandIn ? .standIn : hasCUDA ? .cuda : .cpu }

    /// How many there are of its kind.
    package var count: Int { Int(lf_device_count(raw)) }

    /// From now on this process computes on the `index`-th of its kind, counted from 0. Of stand-ins it is this thread that does.
    package func choose(_ index: Int) throws(TorchError) {
        try check("choose a device", lf_choose_device(raw, Int32(index)))
    }

    /// Waits until everything asked of the device is done.
    public func synchronize() throws(TorchError) { try check("synchronize", lf_synchronize(raw)) }

    /// Bytes of its own memory that nobody has asked the driver for; nil for the CPU and where the device does not say.
    package var freeMemory: Int? {
        var bytes: Int64 = 0
        return lf_free_memory(raw, &bytes) ? Int(bytes) : nil
    }

    var raw: lf_device_type {
        switch self {
        case .cpu: LF_CPU
        case .cuda: LF_CUDA
        case .standIn: LF_STAND_IN
        }
    }
    init(_ raw: lf_device_type) { self = raw == LF_CUDA ? .cuda : raw == LF_STAND_IN ? .standIn : .cpu }
}

/// Settings of the process that all tensors share.
public enum TorchRuntime {
    /// libtorch's version, such as `2.13.0`.
    public static var version: String { String(cString: lf_version()) }

    /// Threads that CPU operations use.
    public static var threads: Int { Int(lf_threads()) }
    /// Threads that take a share of the shim's own loops: `threads`, or 1 where libtorch's cannot be shared.
    public static var loopThreads: Int { Int(lf_loop_threads()) }
    public static func setThreads(_ count: Int) { lf_set_threads(Int32(clamping: count)) }

    /// Lets freed tensors' pages stay with the process; see `lf_keep_freed_memory`.
    public static func keepFreedMemory() { lf_keep_freed_memory() }
    /// Lets a freed tensor's memory take another of its size; see `lf_refill_freed_memory`. Not together with `preferHugePages`, which is
    /// a setting of the allocator that this one replaces.
    public static func refillFreedMemory() { lf_refill_freed_memory() }
    /// Lays large tensors on huge pages; see `lf_prefer_huge_pages`. A model that answers reads all its weights for every token, and
    /// reads them faster so. Training gains nothing, and its tensors of many sizes would take more memory.
    public static func preferHugePages() { lf_prefer_huge_pages() }
    public static func trimMemory() { lf_trim_memory() }

    /// Whether float32 products on the CPU go to oneDNN.
    public static var routesFloat32Matmul: Bool { lf_routes_float32_matmul() }
}

/// Runs `body` without recording for autograd; restores the previous mode even when it throws.
public func withoutGrad<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    let previous = lf_grad_mode_set(false)
    defer { _ = lf_grad_mode_set(previous) }
    return try body()
}

/// Whether operations on this thread are recorded for autograd.
public var recordsGrad: Bool { lf_grad_mode() }
