/// Rows as lines under a line of headings, each column as wide as its widest cell.
///
/// - Parameter words: Only rows whose line holds all of them, whatever their case.
func tableLines(_ headings: [String], _ rows: [[String]], holding words: [String]) -> [String] {
    let widths = headings.indices.map { column in ([headings] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ row: [String]) -> String {
        var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            .joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }
    return [line(headings)] + rows.map(line).filter { holds($0, words) }
}

/// Whether a line holds all words, whatever their case.
func holds(_ line: String, _ words: [String]) -> Bool {
    words.allSatisfy { line.lowercased().containsBytes(of: $0.lowercased()) }
}
