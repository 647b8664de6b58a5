import Foundation

/// The slopes of linear biases, one per head (Press et al. 2021, arXiv 2108.12409): a geometric series, filled up from the next
/// finer one where the number of heads is not a power of two.
package func alibiSlopes(heads: Int) -> [Float] {
    let power = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
    func slope(_ step: Int, of count: Int) -> Float { powf(powf(2, -8 / Float(count)), Float(step)) }
    let whole = (1...power).map { slope($0, of: power) }
    return whole + (0..<heads - power).map { slope(2 * $0 + 1, of: 2 * power) }
}
