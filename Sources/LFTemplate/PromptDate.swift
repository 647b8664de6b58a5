import Foundation

/// The day that a prompt names as today, as some formats do when they describe tools.
public struct PromptDate: Sendable, Equatable {
    public var year: Int
    public var month: Int
    public var day: Int

    public init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The local date.
    public static var today: PromptDate {
        let parts = Calendar(identifier: .gregorian).dateComponents([.year, .month, .day], from: Date())
        return PromptDate(year: parts.year ?? 1970, month: parts.month ?? 1, day: parts.day ?? 1)
    }

    /// As in "01 Jul 2025", in English whatever the locale.
    var dayMonthYear: String {
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let name = names.indices.contains(month - 1) ? names[month - 1] : String(month)
        return "\(day < 10 ? "0" : "")\(day) \(name) \(year)"
    }
}
