import CGGUF
import Dispatch

/// How a tensor's weights lie in a GGUF file; the raw value is the number in the file's tensor table.
///
/// Types of four to eight bits store blocks of 32 weights, those with a K superblocks of 256: codes of few bits, and scales beside them.
package enum TensorType: UInt32, Sendable, CaseIterable {
    case float32 = 0
    case float16 = 1
    case q40 = 2
    case q41 = 3
    case q50 = 6
    case q51 = 7
    case q80 = 8
    case q4K = 12
    case q5K = 13
    case q6K = 14
    case bfloat16 = 30

    /// The name that GGUF's tools show, such as `Q4_K`.
    package var name: String {
        switch self {
        case .float32: "F32"
        case .float16: "F16"
        case .q40: "Q4_0"
        case .q41: "Q4_1"
        case .q50: "Q5_0"
        case .q51: "Q5_1"
        case .q80: "Q8_0"
        case .q4K: "Q4_K"
        case .q5K: "Q5_K"
        case .q6K: "Q6_K"
        case .bfloat16: "BF16"
        }
    }

    /// How many weights a block holds: 1, 32 or 256. Blocks do not reach from one row into the next.
    package var blockWeights: Int { lf_gguf_block_weights(rawValue) }

    /// The bytes of `count` weights, which are whole blocks.
    package func byteCount(of count: Int) -> Int { count / blockWeights * lf_gguf_block_bytes(rawValue) }

    /// The bytes of finite weights, found by all cores; the bytes do not depend on their number.
    ///
    /// - Parameter weights: A whole number of blocks.
    package func encode(_ weights: [Float]) -> [UInt8] {
        precondition(weights.count % blockWeights == 0, "\(weights.count) weights are not whole blocks")
        let size = byteCount(of: weights.count)
        let blocks = weights.count / blockWeights
        let share = max(1, min(blocks, 1 << 16 / blockWeights))
        return [UInt8](unsafeUninitializedCapacity: size) { output, count in
            weights.withUnsafeBufferPointer { input in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                nonisolated(unsafe) let (source, target) = (from, to)
                DispatchQueue.concurrentPerform(iterations: (blocks + share - 1) / share) { index in
                    let first = index * share
                    let length = min(share, blocks - first) * blockWeights
                    lf_gguf_encode(
                        rawValue, source + first * blockWeights, length,
                        target + byteCount(of: first * blockWeights))
                }
            }
            count = size
        }
    }

    /// The weights that bytes stand for.
    package func decode(_ bytes: [UInt8], count: Int) -> [Float] {
        bytes.withUnsafeBytes { decode($0, count: count) }
    }

    /// The weights that bytes stand for, found by all cores.
    package func decode(_ bytes: UnsafeRawBufferPointer, count: Int) -> [Float] {
        precondition(bytes.count == byteCount(of: count), "\(bytes.count) bytes do not hold \(count) weights")
        let blocks = count / blockWeights
        let share = max(1, min(blocks, 1 << 16 / blockWeights))
        return [Float](unsafeUninitializedCapacity: count) { output, initialized in
            if let from = bytes.baseAddress, let to = output.baseAddress {
                nonisolated(unsafe) let source = from.assumingMemoryBound(to: UInt8.self)
                nonisolated(unsafe) let target = to
                DispatchQueue.concurrentPerform(iterations: (blocks + share - 1) / share) { index in
                    let first = index * share
                    let length = min(share, blocks - first) * blockWeights
                    lf_gguf_decode(
                        rawValue, source + byteCount(of: first * blockWeights), length,
                        target + first * blockWeights)
                }
            }
            initialized = count
        }
    }
}

/// What rounding to few bits has cost: sums over weights.
package struct RoundingLoss: Sendable {
    /// The squared distances between weights and what is stored for them.
    private var missed = 0.0
    private var squares = 0.0

    package init() {}

    /// The root of the mean squared distance, as a share of the weights' own root mean square.
    package var relative: Double { squares > 0 ? (missed / squares).squareRoot() : 0 }
    /// Whether all weights, and all that is stored for them, are finite numbers.
    package var isFinite: Bool { missed.isFinite && squares.isFinite }

    package mutating func add(_ weights: [Float], _ bytes: [UInt8], _ type: TensorType) {
        lf_gguf_compare(type.rawValue, weights, weights.count, bytes, &missed, &squares)
    }

    package mutating func add(_ other: RoundingLoss) {
        missed += other.missed
        squares += other.squares
    }
}
