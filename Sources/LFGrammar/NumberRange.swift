import LFJSON

/// A decimal number with at most 15 digits on either side of its point, times 10^15.
struct Decimal15: Equatable {
    let scaled: Int128

    static let one: Int128 = 1_000_000_000_000_000

    init(scaled: Int128) { self.scaled = scaled }

    /// - Returns: nil for what is not a number and for those with more digits.
    init?(_ value: JSONValue) {
        let text: String
        switch value {
        case .int(let number): text = String(number)
        case .double(let number) where number.isFinite: text = JSONValue.literal(number)
        default: return nil
        }
        let parts = text.split(separator: "e")
        guard let mantissa = parts.first, let exponent = parts.count > 1 ? Int(parts[1]) : 0 else {
            return nil
        }
        let pieces = mantissa.drop { $0 == "-" }.split(separator: ".")
        let fraction = pieces.count > 1 && pieces[1] != "0" ? String(pieces[1]) : ""
        guard var number = Int128(String(pieces[0]) + fraction) else { return nil }
        let shift = exponent - fraction.count + GrammarBuilder.greatestDigits
        guard number != 0 else {
            scaled = 0
            return
        }
        guard shift >= 0, shift <= 2 * GrammarBuilder.greatestDigits else { return nil }
        for _ in 0..<shift { number *= 10 }
        guard number < Self.one * Self.one else { return nil }
        scaled = text.hasPrefix("-") ? -number : number
    }
}

/// Bounds of numbers, both included, in units of 10^-15.
struct NumberRange: Equatable {
    var low: Int128?
    var high: Int128?

    var isOpen: Bool { low == nil && high == nil }

    /// Takes a bound by the keyword that sets it.
    mutating func narrow(_ word: String, _ bound: Decimal15) {
        switch word {
        case "minimum": low = max(low ?? bound.scaled, bound.scaled)
        case "exclusiveMinimum": low = max(low ?? bound.scaled + 1, bound.scaled + 1)
        case "maximum": high = min(high ?? bound.scaled, bound.scaled)
        case "exclusiveMaximum": high = min(high ?? bound.scaled - 1, bound.scaled - 1)
        default: break
        }
    }
}

extension GrammarBuilder {
    /// The numbers of a range, without exponents and with at most 15 digits, which all parsers tell apart.
    mutating func number(in range: NumberRange, isWhole: Bool, from: Int32) -> Int32 {
        let last = state()
        let most = Decimal15.one * Decimal15.one - 1
        var low = range.low ?? -most, high = range.high ?? most
        if isWhole {
            low = Self.floor(low + Decimal15.one - 1)
            high = Self.floor(high)
        }
        if low <= high, high >= 0 { magnitudes(max(low, 0), high, isWhole, from: from, to: last) }
        if low <= high, low < 0 {
            let sign = punctuation("-", from: from)
            magnitudes(max(-high, 0), -low, isWhole, from: sign, to: last)
        }
        return last
    }

    /// The whole number that is not greater.
    private static func floor(_ scaled: Int128) -> Int128 {
        let (quotient, rest) = scaled.quotientAndRemainder(dividingBy: Decimal15.one)
        return (rest < 0 ? quotient - 1 : quotient) * Decimal15.one
    }

    /// Numbers without sign, by how many digits stand before the point.
    private mutating func magnitudes(
        _ low: Int128, _ high: Int128, _ isWhole: Bool, from: Int32, to: Int32
    ) {
        let count = Self.greatestDigits
        for length in 1...count {
            var digits = BoundedDigits(low, high, isWhole: isWhole, length: length, last: to)
            let lead = count - length
            // The digits that are not written are zeros.
            guard digits.low[..<lead].allSatisfy({ $0 == 0 }) else { continue }
            let isBelow = digits.high[..<lead].contains { $0 != 0 }
            let place = BoundedDigits.Place(index: lead, touchesLow: true, touchesHigh: !isBelow)
            let first = digits.state(place, &self)
            jump(from: from, to: first)
        }
    }
}

/// The digits of numbers between two bounds, whose part before the point has a given length.
private struct BoundedDigits {
    struct Place: Hashable {
        var index: Int
        /// Whether all digits so far are those of the bound.
        var touchesLow: Bool
        var touchesHigh: Bool
    }

    let low: [UInt8]
    let high: [UInt8]
    private let isWhole: Bool
    private let length: Int
    private let last: Int32
    private var states: [Place: Int32] = [:]

    private static let point = GrammarBuilder.greatestDigits

    init(_ low: Int128, _ high: Int128, isWhole: Bool, length: Int, last: Int32) {
        func digits(_ number: Int128) -> [UInt8] {
            let text = Array(String(number).utf8).map { $0 - 0x30 }
            return Array(repeating: 0, count: 2 * Self.point - text.count) + text
        }
        (self.low, self.high) = (digits(low), digits(high))
        (self.isWhole, self.length, self.last) = (isWhole, length, last)
    }

    /// The state in which the digit of a place comes next.
    mutating func state(_ place: Place, _ builder: inout GrammarBuilder) -> Int32 {
        if let known = states[place] { return known }
        let state = builder.state()
        states[place] = state
        let end = isWhole ? Self.point : 2 * Self.point - length
        if place.index >= Self.point {
            let isLow = !place.touchesLow || low[place.index...].allSatisfy { $0 == 0 }
            if isLow { builder.jump(from: state, to: last) }
        }
        guard place.index < end else { return state }
        let digit = place.index == Self.point ? builder.punctuation(".", from: state) : state
        digits(place, from: digit, &builder)
        return state
    }

    private mutating func digits(_ place: Place, from: Int32, _ builder: inout GrammarBuilder) {
        var first = place.touchesLow ? low[place.index] : 0
        let last = place.touchesHigh ? high[place.index] : 9
        let isFirst = place.index == Self.point - length
        // No number of several digits begins with a zero.
        if isFirst, length > 1 { first = max(first, 1) }
        guard first <= last else { return }
        for value in first...last {
            let next = Place(
                index: place.index + 1, touchesLow: place.touchesLow && value == low[place.index],
                touchesHigh: place.touchesHigh && value == high[place.index])
            let target = state(next, &builder)
            builder.edge(0x30 + value...0x30 + value, from: from, to: target)
        }
    }
}
