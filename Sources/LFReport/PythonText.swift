import Foundation
import LFJSON

/// A count with commas between thousands, as Python's `{:,}`.
func grouped(_ count: Int) -> String {
    let digits = Array(String(count.magnitude))
    var text = ""
    for (index, digit) in digits.enumerated() {
        if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
        text.append(digit)
    }
    return (count < 0 ? "-" : "") + text
}

/// `value` rounded half to even at the given decimal, as Python's `round`.
func rounded(_ value: Double, decimals: Int) -> Double {
    guard value.isFinite else { return value }
    return Double(String(format: "%.\(decimals)f", value)) ?? value
}

/// Seconds as Python's `str(timedelta(seconds=int(seconds)))`: `1:02:03`, `2 days, 0:00:10`.
func timedelta(_ seconds: Double) -> String {
    let whole = seconds.isFinite ? Int(min(max(seconds, 0), 1e15)) : 0
    let days = whole / 86400
    let clock = String(format: "%d:%02d:%02d", whole / 3600 % 24, whole / 60 % 60, whole % 60)
    return days == 0 ? clock : "\(days) day\(days == 1 ? "" : "s"), \(clock)"
}

/// Four significant digits, as Python's `{:.4g}`.
func fourDigits(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return String(format: "%.4g", value)
}

/// A number as Python prints it: integers bare, others with the shortest digits that read back.
func pythonText(_ value: JSONValue) -> String {
    switch value {
    case .double(let number) where number.isNaN: "nan"
    case .double(let number) where number.isInfinite: number < 0 ? "-inf" : "inf"
    default: value.serialized()
    }
}
