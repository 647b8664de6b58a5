/// NumPy's global generator after `np.random.seed`: the Mersenne Twister (Matsumoto and Nishimura 1998).
///
/// Upstream draws `num_samples` from it.
package struct NumPyLegacyGenerator {
    private var state: [UInt32]
    private var position = 624

    /// - Parameter seed: In `0...UInt32.max`.
    package init(seed: UInt32) {
        state = [seed]
        state.reserveCapacity(624)
        for i in 1..<624 {
            let last = state[i - 1]
            state.append(1_812_433_253 &* (last ^ last >> 30) &+ UInt32(i))
        }
    }

    package mutating func next32() -> UInt32 {
        if position == 624 { refill() }
        var word = state[position]
        position += 1
        word ^= word >> 11
        word ^= word << 7 & 0x9d2c_5680
        word ^= word << 15 & 0xefc6_0000
        return word ^ word >> 18
    }

    /// The seed of a shuffle that is given none (`Dataset.shuffle` of `datasets`): the word that comes next, as it lies in the state. The
    /// generator then moves on by one float.
    package mutating func shuffleSeed() -> UInt32 {
        let seed = position < 624 ? state[position] : state[0]
        _ = (next32(), next32())
        return seed
    }

    private mutating func refill() {
        for i in 0..<624 {
            let bits = state[i] & 0x8000_0000 | state[(i + 1) % 624] & 0x7fff_ffff
            state[i] = state[(i + 397) % 624] ^ bits >> 1 ^ (bits & 1 == 0 ? 0 : 0x9908_b0df)
        }
        position = 0
    }

    /// A number in `0...limit`: draws under the smallest mask until one fits.
    package mutating func next(through limit: Int) -> Int {
        if limit == 0 { return 0 }
        let mask = UInt64.max >> UInt64(limit).leadingZeroBitCount
        while true {
            var value = UInt64(next32())
            if mask > UInt64(UInt32.max) { value = value << 32 | UInt64(next32()) }
            value &= mask
            if value <= UInt64(limit) { return Int(value) }
        }
    }

    /// `np.random.permutation(count)`.
    package mutating func permutation(_ count: Int) -> [Int] {
        var numbers = Array(0..<count)
        for i in stride(from: count - 1, to: 0, by: -1) { numbers.swapAt(i, next(through: i)) }
        return numbers
    }

    /// `np.random.choice(count, size)`, with replacement.
    package mutating func choices(of count: Int, _ size: Int) -> [Int] {
        (0..<size).map { _ in next(through: count - 1) }
    }
}
