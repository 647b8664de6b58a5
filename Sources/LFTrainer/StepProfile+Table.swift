import Foundation
package import LFJSON
package import LFTorch

/// How fast this machine multiplies, as a profile's floor needs it.
package struct MeasuredRate: Sendable, Equatable {
    /// Multiplications and additions a second.
    package var operationsPerSecond: Double
    package var product: ProfileRecording.Product
    package var dtype: DType

    package init(operationsPerSecond: Double, product: ProfileRecording.Product, dtype: DType) {
        (self.operationsPerSecond, self.product, self.dtype) = (operationsPerSecond, product, dtype)
    }
}

extension StepProfile {
    /// A line of the table; those within a phase are indented.
    struct Row {
        var label: String
        var cell: Cell
    }

    /// Phases and their parts, those without time left out, and the whole step last.
    var rows: [Row] {
        var rows: [Row] = []
        for phase in StepPhase.allCases {
            guard let parts = cells[phase] else { continue }
            rows.append(Row(label: phase.rawValue, cell: sum(of: phase)))
            let shown = Part.allCases.filter { parts[$0] != nil }
            guard shown != [.other] else { continue }
            rows += shown.map { Row(label: "  " + $0.rawValue, cell: parts[$0] ?? Cell()) }
        }
        rows.append(Row(label: "rest", cell: rest))
        rows.append(Row(label: "step", cell: sum))
        return rows
    }

    /// The profile as lines for a console.
    ///
    /// - Parameters:
    ///   - steps: The first and the last step that were recorded.
    ///   - rate: What the floor is reckoned with; nil leaves the floor out.
    package func table(steps: ClosedRange<Int>, threads: Int, rate: MeasuredRate?) -> [String] {
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        func number(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
        let whole = max(sum.seconds, 1e-12)
        var lines = [
            "Where a step's time went: the mean of \(stepCount) steps (\(steps.lowerBound) to \(steps.upperBound)), \(number(stepSeconds, 3)) s each, \(threads) threads"
        ]
        let titles = ["", "seconds", "share", "GFLOP"] + (rate == nil ? [] : ["floor s", "of floor"])
        let labels = rows.map(\.label)
        let width = (labels.map(\.count).max() ?? 0) + 2
        lines.append(
            "  " + titles[0].padding(toLength: width, withPad: " ", startingAt: 0)
                + titles.dropFirst().map { padded($0, 10) }.joined())
        for row in rows {
            var fields = [
                number(row.cell.seconds, 3), number(100 * row.cell.seconds / whole, 1) + " %",
                row.cell.operations > 0 ? number(row.cell.operations / 1e9, 1) : "-",
            ]
            if let rate {
                let floor = row.cell.operations / rate.operationsPerSecond
                fields.append(row.cell.operations > 0 ? number(floor, 3) : "-")
                fields.append(
                    row.cell.operations > 0
                        ? number(100 * floor / max(row.cell.seconds, 1e-12), 0) + " %" : "-")
            }
            lines.append(
                "  " + row.label.padding(toLength: width, withPad: " ", startingAt: 0)
                    + fields.map { padded($0, 10) }.joined())
        }
        if let rate {
            let product = rate.product
            lines.append(
                "The floor is the time of the multiplications alone at \(number(rate.operationsPerSecond / 1e9, 0)) GFLOP/s, which this machine reaches on the fastest of the step's largest products ([\(product.rows), \(product.inner)] by [\(product.inner), \(product.columns)], \(rate.dtype.rawValue))."
            )
        }
        return lines
    }

    /// The same for programs: seconds and operations of each row.
    package func json(steps: ClosedRange<Int>, threads: Int, rate: MeasuredRate?) -> JSONObject {
        var object: JSONObject = [
            "steps": .int(Int64(stepCount)), "first_step": .int(Int64(steps.lowerBound)),
            "threads": .int(Int64(threads)), "step_seconds": .double(stepSeconds),
        ]
        if let rate { object["operations_per_second"] = .double(rate.operationsPerSecond) }
        var phases = JSONObject()
        for phase in StepPhase.allCases {
            guard let parts = cells[phase] else { continue }
            phases[phase.rawValue] = .object(
                JSONObject(
                    Part.allCases.compactMap { part in
                        parts[part].map { (key: part.rawValue, value: Self.json($0)) }
                    }))
        }
        phases["rest"] = Self.json(rest)
        object["phases"] = .object(phases)
        return object
    }

    private static func json(_ cell: Cell) -> JSONValue {
        .object(["seconds": .double(cell.seconds), "operations": .double(cell.operations)])
    }
}
