/// What the processes of a run say to one another. A run of one process talks to nobody and pays nothing for it.
///
/// All processes call the same functions in the same order, with tensors of the same shapes and types.
public protocol Communicator: AnyObject {
    /// This process, counted from 0; process 0 writes the files.
    var rank: Int { get }
    /// How many processes there are.
    var size: Int { get }
    /// Replaces each tensor by its sum over all processes; every process gets the same bits.
    func sum(_ tensors: [Tensor]) throws(TorchError)
    /// Sums each tensor over all processes for process `roots[i]`; what the others hold in it afterwards is undefined.
    func reduce(_ tensors: [Tensor], to roots: [Int]) throws(TorchError)
    /// Replaces each tensor by that of process `roots[i]`, whose own is only read.
    func broadcast(_ tensors: [Tensor], from roots: [Int]) throws(TorchError)
    /// The tensors of all processes: `[…]` gives `[size, …]`.
    func gathered(_ tensor: Tensor) throws(TorchError) -> Tensor
    /// Waits until all processes are here, at most as long as an exchange may take.
    func barrier() throws(TorchError)
    /// Waits until all processes have come here, however long one that is alive takes: for work whose length differs, such as
    /// tokenizing. A name serves once.
    ///
    /// - Throws: `TorchError` of kind `peerFailure` when another process has failed, or gives no sign of life.
    func storeBarrier(_ name: String) throws(TorchError)
    /// Waits until all processes have done their work, at the end of a run. Process 0, whose store the others ask, leaves last.
    ///
    /// - Throws: `TorchError` of kind `peerFailure` when another process fails on its way here.
    func finish() throws(TorchError)
    /// Tells the others why this process ends, and ends their exchanges. The first time counts.
    func leave(failing reason: String)
    /// The loss of a connection that happened where it could not be told, within a backward pass.
    var failure: TorchError? { get }
    /// Buckets in which the gradients of these weights can leave while a backward pass still makes others; nil where they cannot.
    ///
    /// - Parameters:
    ///   - weights: In the order in which passes make their gradients, about; the same in all processes.
    ///   - bytes: How large messages are; nil for as large as others.
    func gradientBuckets(of weights: [Tensor], bytes: Int?) throws(TorchError) -> GradientBuckets?
}

extension Communicator {
    public var failure: TorchError? { nil }
    public func gradientBuckets(of weights: [Tensor], bytes: Int?) throws(TorchError) -> GradientBuckets? {
        nil
    }

    /// Replaces the tensor by that of process `root`.
    public func broadcast(_ tensor: Tensor, from root: Int) throws(TorchError) {
        try broadcast([tensor], from: [root])
    }

    /// Whether this process writes files and the console.
    public var isMain: Bool { rank == 0 }

    /// The sums of some numbers over all processes, in float64.
    public func sum(_ values: [Double]) throws(TorchError) -> [Double] {
        guard size > 1, !values.isEmpty else { return values }
        let tensor = try Tensor(values)
        try sum([tensor])
        return try tensor.doubles()
    }

    /// The numbers of each process, by rank.
    public func gathered(_ values: [Double]) throws(TorchError) -> [[Double]] {
        guard size > 1, !values.isEmpty else { return Array(repeating: values, count: size) }
        let all = try gathered(Tensor(values)).doubles()
        return (0..<size).map { Array(all[($0 * values.count)..<(($0 + 1) * values.count)]) }
    }

    /// What each process says, by rank.
    public func gatheredBytes(_ bytes: [UInt8]) throws(TorchError) -> [[UInt8]] {
        guard size > 1 else { return [bytes] }
        let counts = try gathered(Tensor([Int64(bytes.count)])).int64s().map { Int($0) }
        let longest = max(counts.max() ?? 0, 1)
        let padded = bytes + Array(repeating: 0, count: longest - bytes.count)
        let all = try gathered(Tensor(padded)).contiguous()
        var flat = [UInt8](repeating: 0, count: longest * size)
        let failure = flat.withUnsafeMutableBytes { buffer -> TorchError? in
            do throws(TorchError) {
                try all.copyBytes(to: buffer)
                return nil
            } catch { return error }
        }
        if let failure { throw failure }
        return counts.enumerated().map { rank, count in
            Array(flat[(rank * longest)..<(rank * longest + count)])
        }
    }

    /// What process 0 says.
    public func mainBytes(_ bytes: [UInt8]) throws(TorchError) -> [UInt8] {
        try gatheredBytes(isMain ? bytes : [])[0]
    }

    /// Whether any process says yes: all stop when one is asked to.
    public func agree(_ flag: Bool) throws(TorchError) -> Bool {
        guard size > 1 else { return flag }
        return try sum([flag ? 1 : 0])[0] > 0
    }
}

/// The only process of a run.
public final class SingleProcess: Communicator {
    public let rank = 0
    public let size = 1

    public init() {}
    public func sum(_ tensors: [Tensor]) {}
    public func reduce(_ tensors: [Tensor], to roots: [Int]) {}
    public func broadcast(_ tensors: [Tensor], from roots: [Int]) {}
    public func gathered(_ tensor: Tensor) throws(TorchError) -> Tensor {
        try tensor.detached().reshaped([1] + tensor.shape)
    }
    public func barrier() {}
    public func storeBarrier(_ name: String) {}
    public func finish() {}
    public func leave(failing reason: String) {}
}
