import Foundation
public import LFDiagnostics
import Logging

/// An exponential moving average that starts at the first value, as TensorBoard smooths.
///
/// The weight of the past is `1.8 · (σ(0.05 · n) − 0.5)` for n values, so that long curves are smoothed more. Values that
/// are not finite stay as they are and do not enter the average.
public func smoothed(_ values: [Double]) -> [Double] {
    let weight = 1.8 * (1 / (1 + exp(-0.05 * Double(values.count))) - 0.5)
    var last: Double?
    return values.map { value in
        guard value.isFinite else { return value }
        let next = last.map { $0 * weight + (1 - weight) * value } ?? value
        last = next
        return next
    }
}

extension [LogEntry] {
    /// The values of one key over the steps, in the order they were logged.
    public func points(of key: String) -> [Series.Point] {
        compactMap { entry in
            guard let step = entry.step, let value = entry[key] else { return nil }
            return Series.Point(x: Double(step), y: value)
        }
    }
}

/// The curve of one key, as measured and smoothed.
///
/// - Parameters:
///   - points: At least one of them drawable.
///   - name: What the run is called in the title: its output folder.
public func lossFigure(key: String, points: [Series.Point], of name: String) -> Figure {
    let smooth = zip(points, smoothed(points.map(\.y))).map { Series.Point(x: $0.x, y: $1) }
    return Figure(panels: [
        Panel(
            title: "training \(key) of \(name)", yLabel: key,
            series: [
                Series(name: "original", points: points, style: .faint),
                Series(name: "smoothed", points: smooth, style: points.count <= 12 ? .dotted : .line),
            ])
    ])
}

/// Draws one figure per key from the run's history: `training_<key>.png` and `.svg` in the output folder.
///
/// A key that was never logged gives a warning, no figure.
///
/// - Parameter keys: Names of logged numbers; `/` becomes `_` in file names.
/// - Returns: The PNG files' paths, in the order of `keys`.
/// - Throws: `UserError` naming the file that could not be written.
@discardableResult
public func plotLoss(
    history: [LogEntry], outputDir: String, keys: [String] = ["loss"], console: Console = .standard
) throws(UserError) -> [String] {
    let logger = Logger(label: "llamafactory.report.plot")
    var paths: [String] = []
    for key in keys {
        let points = history.points(of: key)
        guard points.contains(where: \.isDrawable) else {
            logger.warning("No metric \(key) to plot.")
            continue
        }
        let base = "\(outputDir)/training_\(key.replacingOccurrences(of: "/", with: "_"))"
        try lossFigure(key: key, points: points, of: outputDir).write(toBase: base)
        console.writeLine("Figure saved at: \(base).png")
        paths.append(base + ".png")
    }
    return paths
}

/// The curves of a preference run side by side: loss (training and held-out) and rewards.
///
/// - Returns: Nil when the history holds neither a loss nor rewards.
public func preferenceFigure(history: [LogEntry]) -> Figure? {
    func curve(_ key: String, _ name: String, _ color: Color) -> [Series] {
        let points = history.points(of: key)
        guard points.contains(where: \.isDrawable) else { return [] }
        let smooth = zip(points, smoothed(points.map(\.y))).map { Series.Point(x: $0.x, y: $1) }
        return [
            Series(name: "", points: points, color: color, style: .faint),
            Series(name: name, points: smooth, color: color, style: .line),
        ]
    }
    func heldOut(_ key: String, _ name: String, _ color: Color) -> [Series] {
        let points = history.points(of: key)
        guard points.contains(where: \.isDrawable) else { return [] }
        return [Series(name: name, points: points, color: color, style: .dotted)]
    }
    let panels = [
        Panel(
            title: "Loss", yLabel: "loss",
            series: curve("loss", "training", .blue) + heldOut("eval_loss", "held-out", .orange)),
        Panel(
            title: "Rewards", yLabel: "reward",
            series: curve("rewards/chosen", "chosen", .green) + curve("rewards/rejected", "rejected", .red)
                + curve("rewards/margins", "margin", .purple)),
        Panel(
            title: "Reward accuracy", yLabel: "accuracy",
            series: curve("rewards/accuracies", "training", .blue)
                + heldOut("eval_rewards/accuracies", "held-out", .orange)),
    ].filter { !$0.series.isEmpty }
    return panels.isEmpty ? nil : Figure(panels: panels, panelSize: (480, 360))
}

extension Figure {
    /// Writes `<base>.png` and `<base>.svg`.
    ///
    /// - Throws: `UserError` naming the file.
    public func write(toBase base: String) throws(UserError) {
        try writeFileAtomically(png(), to: base + ".png")
        try writeFileAtomically(svg(), to: base + ".svg")
    }
}
