/// NumPy's `default_rng`: PCG64 (O'Neill 2014, XSL-RR 128/64) seeded through `SeedSequence`.
///
/// Hugging Face `datasets` splits and interleaves with it, so the same seed must give the same rows.
package struct NumPyGenerator {
    private var state: UInt128
    private let increment: UInt128
    /// The upper half of a 64-bit draw whose lower half was handed out as 32 bits.
    private var bufferedHalf: UInt32?

    private static let multiplier =
        UInt128(2_549_297_995_355_413_924) << 64 | UInt128(4_865_540_595_714_422_341)

    /// - Parameter seed: Not negative.
    package init(seed: Int) {
        var words = [UInt32(truncatingIfNeeded: seed)]
        if seed >> 32 != 0 { words.append(UInt32(truncatingIfNeeded: seed >> 32)) }
        let entropy = SeedSequence(words).words(8).map { UInt128($0) }
        func word64(_ index: Int) -> UInt128 { entropy[2 * index + 1] << 32 | entropy[2 * index] }
        increment = (word64(2) << 64 | word64(3)) << 1 | 1
        state = 0
        step()
        state &+= word64(0) << 64 | word64(1)
        step()
    }

    private mutating func step() { state = state &* Self.multiplier &+ increment }

    package mutating func next64() -> UInt64 {
        step()
        let folded = UInt64(truncatingIfNeeded: state >> 64) ^ UInt64(truncatingIfNeeded: state)
        let rotation = UInt64(truncatingIfNeeded: state >> 122)
        return folded >> rotation | folded << ((64 &- rotation) & 63)
    }

    package mutating func next32() -> UInt32 {
        if let half = bufferedHalf {
            bufferedHalf = nil
            return half
        }
        let word = next64()
        bufferedHalf = UInt32(truncatingIfNeeded: word >> 32)
        return UInt32(truncatingIfNeeded: word)
    }

    /// A float in `0..<1` with 53 random bits.
    package mutating func nextDouble() -> Double { Double(next64() >> 11) * 0x1p-53 }

    /// A number in `0...limit`: draws under the smallest mask until one fits (`random_interval`).
    package mutating func next(through limit: UInt64) -> UInt64 {
        if limit == 0 { return 0 }
        let mask = UInt64.max >> UInt64(limit.leadingZeroBitCount)
        while true {
            let value = (limit <= UInt64(UInt32.max) ? UInt64(next32()) : next64()) & mask
            if value <= limit { return value }
        }
    }

    /// `Generator.permutation(count)`: the numbers `0..<count`, shuffled from the end.
    package mutating func permutation(_ count: Int) -> [Int] {
        var numbers = Array(0..<count)
        shuffle(&numbers)
        return numbers
    }

    /// `Generator.shuffle(list)`.
    package mutating func shuffle<Element>(_ elements: inout [Element]) {
        for i in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(i, Int(next(through: UInt64(i))))
        }
    }

    /// `Generator.integers(0, limit, size: count)` (Lemire 2019, arXiv 1805.10941).
    ///
    /// - Parameter limit: Above 0 and at most 2^32 - 1.
    package mutating func integers(_ count: Int, below limit: Int) -> [Int] {
        let limit = UInt32(limit)
        guard limit > 1 else { return Array(repeating: 0, count: count) }
        let threshold = (0 &- limit) % limit
        return (0..<count).map { _ in
            var product: UInt64
            repeat {
                product = UInt64(next32()) * UInt64(limit)
            } while UInt32(truncatingIfNeeded: product) < threshold
            return Int(product >> 32)
        }
    }

    /// `Generator.choice(probabilities.count, size: count, p: probabilities)`.
    package mutating func choices(_ count: Int, probabilities: [Double]) -> [Int] {
        var cumulated: [Double] = []
        var sum = 0.0
        for probability in probabilities {
            sum += probability
            cumulated.append(sum)
        }
        cumulated = cumulated.map { $0 / sum }
        return (0..<count).map { _ in
            let draw = nextDouble()
            return cumulated.firstIndex { $0 > draw } ?? probabilities.count - 1
        }
    }
}

/// NumPy's `SeedSequence`: spreads the entropy of a seed over a pool of four words (after O'Neill's `seed_seq`).
private struct SeedSequence {
    private var pool: [UInt32] = []
    private var hashConstant: UInt32 = 0x43b0_d7e5

    init(_ entropy: [UInt32]) {
        for i in 0..<4 { pool.append(hashed(i < entropy.count ? entropy[i] : 0)) }
        for source in 0..<4 {
            for target in 0..<4 where source != target {
                pool[target] = mixed(pool[target], hashed(pool[source]))
            }
        }
        for word in entropy.dropFirst(4) {
            for target in 0..<4 { pool[target] = mixed(pool[target], hashed(word)) }
        }
    }

    private mutating func hashed(_ value: UInt32) -> UInt32 {
        var value = value ^ hashConstant
        hashConstant = hashConstant &* 0x931e_8875
        value = value &* hashConstant
        return value ^ value >> 16
    }

    private func mixed(_ x: UInt32, _ y: UInt32) -> UInt32 {
        let result = 0xca01_f9dd &* x &- 0x4973_f715 &* y
        return result ^ result >> 16
    }

    /// `generate_state(count)`.
    func words(_ count: Int) -> [UInt32] {
        var constant: UInt32 = 0x8b51_f9dd
        return (0..<count).map { i in
            var value = pool[i % 4] ^ constant
            constant = constant &* 0x58f3_8ded
            value = value &* constant
            return value ^ value >> 16
        }
    }
}
