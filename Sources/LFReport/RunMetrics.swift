import Foundation
public import LFDiagnostics
import LFJSON

extension LogEntry {
    /// The block that ends a training or an evaluation: `***** train metrics *****` and aligned `key = value` lines.
    ///
    /// Run times read `h:mm:ss.cc`, `total_flos` counts whole GF (2³⁰), other numbers have four decimals at most.
    ///
    /// - Parameter split: "train", "eval" or "predict".
    public func metricsTable(split: String) -> [String] {
        let rows = members.filter { $0.key != "step" }.sorted {
            $0.key.utf8.lexicographicallyPrecedes($1.key.utf8)
        }
        .map { (key: $0.key, value: readable($0.key, $0.value)) }
        let keyWidth = rows.map(\.key.count).max() ?? 0
        let valueWidth = rows.map(\.value.count).max() ?? 0
        return ["***** \(split) metrics *****"]
            + rows.map { row in
                "  " + row.key + String(repeating: " ", count: keyWidth - row.key.count) + " = "
                    + String(repeating: " ", count: valueWidth - row.value.count) + row.value
            }
    }

    private func readable(_ key: String, _ value: JSONValue) -> String {
        guard case .double(let number) = value, number.isFinite else {
            if key == "total_flos", let flos = value.int { return "\(flos >> 30)GF" }
            return pythonText(value)
        }
        if key.contains("_runtime") {
            let hundredths = Int((number - number.rounded(.towardZero)).magnitude * 100)
            return timedelta(number) + String(format: ".%02d", hundredths)
        }
        if key == "total_flos" {
            return String(format: "%.0f", (number / Double(1 << 30)).rounded(.down)) + "GF"
        }
        return JSONValue.literal(rounded(number, decimals: 4))
    }

    /// Writes `<split>_results.json` and merges its numbers into `all_results.json`.
    ///
    /// - Throws: `UserError` naming the file, also when `all_results.json` is there and holds no JSON object.
    public func saveMetrics(split: String, in folder: String) throws(UserError) {
        var metrics = members
        metrics.removeValue(forKey: "step")
        try write(metrics, to: "\(folder)/\(split)_results.json")
        let combinedPath = folder + "/all_results.json"
        var combined = JSONObject()
        if FileManager.default.fileExists(atPath: combinedPath) {
            let old = try JSONValue.read(path: combinedPath)
            guard let members = old.object else {
                throw UserError(
                    .failedRun, "expected an object, found \(old.kind).", at: combinedPath,
                    remedy: "Remove the file; the results of each part are in files of their own.")
            }
            combined = members
        }
        for (name, value) in metrics { combined[name] = value }
        try write(combined, to: combinedPath)
    }

    private func write(_ object: JSONObject, to path: String) throws(UserError) {
        try writeFileAtomically(JSONValue.object(object).serialized(indent: 4, sortKeys: true), to: path)
    }

    /// The line that a log event shows on the console, in the form of a Python dictionary.
    ///
    /// Real numbers have four significant digits and stand in quotes; `total_flos` and `step` are left out.
    public var consoleLine: String {
        let items = members.filter { $0.key != "total_flos" && $0.key != "step" }.map { name, value in
            if case .double(let number) = value {
                "'\(name)': '\(fourDigits(number))'"
            } else {
                "'\(name)': \(pythonText(value))"
            }
        }
        return "{" + items.joined(separator: ", ") + "}"
    }
}
