import Foundation

/// Round positions along an axis and how they are written.
struct AxisTicks: Equatable {
    /// Positions inside the axis' range, ascending.
    var positions: [Double]
    var labels: [String]
    /// The power of ten that all labels leave out; 0 for none.
    var exponent = 0

    /// Places ticks at multiples of 1, 2, 2.5 or 5 times a power of ten.
    ///
    /// - Parameters:
    ///   - range: What the axis shows; finite and not empty.
    ///   - maximumCount: The most ticks that fit.
    ///   - wholeNumbers: Whether only whole numbers make sense, as for steps.
    init(range: ClosedRange<Double>, maximumCount: Int, wholeNumbers: Bool = false) {
        let span = range.upperBound - range.lowerBound
        let step = Self.step(span: span, maximumCount: max(2, maximumCount), wholeNumbers: wholeNumbers)
        let first = (range.lowerBound / step - 1e-9).rounded(.up)
        let last = (range.upperBound / step + 1e-9).rounded(.down)
        positions = first <= last ? stride(from: first, through: last, by: 1).map { $0 * step } : []
        let largest = max(range.lowerBound.magnitude, range.upperBound.magnitude)
        let magnitude = largest > 0 ? Int(log10(largest).rounded(.down)) : 0
        if !wholeNumbers, magnitude < -3 || magnitude > 5 { exponent = magnitude }
        let scale = pow(10, Double(-exponent))
        let decimals = Self.decimals(of: step * scale)
        let scaled = positions.map { $0 * scale }
        let isGrouped = scaled.contains { $0.magnitude >= 10000 }
        labels = scaled.map { Self.label($0, decimals: decimals, isGrouped: isGrouped) }
    }

    private static func step(span: Double, maximumCount: Int, wholeNumbers: Bool) -> Double {
        let rough = span / Double(maximumCount)
        let power = pow(10, log10(rough).rounded(.down))
        let candidates = [1, 2, 2.5, 5, 10, 20].map { $0 * power }.filter { step in
            !wholeNumbers || step >= 1 && abs(step - step.rounded()) < 1e-9 * step
        }
        return candidates.first { $0 >= rough * (1 - 1e-9) } ?? max(1, 10 * power)
    }

    /// The decimals that tell multiples of `step` apart.
    private static func decimals(of step: Double) -> Int {
        for decimals in 0..<12 {
            let shifted = step * pow(10, Double(decimals))
            if abs(shifted - shifted.rounded()) < 1e-6 * shifted { return decimals }
        }
        return 12
    }

    private static func label(_ value: Double, decimals: Int, isGrouped: Bool) -> String {
        let cleaned = abs(value) < 1e-12 ? 0 : value
        let digits = String(format: "%.\(decimals)f", cleaned.magnitude)
        let parts = digits.split(separator: ".", maxSplits: 1)
        let whole = isGrouped ? Int(parts[0]).map(grouped) ?? String(parts[0]) : String(parts[0])
        let text = parts.count > 1 ? whole + "." + parts[1] : whole
        // A true minus sign is as wide as a digit.
        return cleaned < 0 ? "−" + text : text
    }
}

/// The range an axis shows for its values: a margin of 4 % on both sides, and some width even for equal values.
///
/// - Parameter values: Coordinates of drawable points.
/// - Returns: Nil when there are none.
func axisRange(of values: some Sequence<Double>) -> ClosedRange<Double>? {
    var low = Double.infinity
    var high = -Double.infinity
    for value in values {
        low = min(low, value)
        high = max(high, value)
    }
    guard low <= high else { return nil }
    if high - low <= 1e-9 * max(abs(low), abs(high)) || high - low < 1e-300 {
        let half = low == 0 ? 1 : abs(low) * 0.05
        return (low - half)...(high + half)
    }
    let margin = (high - low) * 0.04
    return (low - margin)...(high + margin)
}
