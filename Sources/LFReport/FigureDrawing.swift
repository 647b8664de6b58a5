public import LFDiagnostics

extension Figure {
    /// Draws the figure as a PNG image, two pixels per point unless said otherwise.
    ///
    /// - Throws: `UserError` when memory does not suffice.
    public func png(scale: Double = 2) throws(UserError) -> [UInt8] { try drawn(as: .png(scale: scale)) }

    /// Draws the figure as an SVG image; text is drawn as outlines, so that it looks the same everywhere.
    ///
    /// - Throws: `UserError` when memory does not suffice.
    public func svg() throws(UserError) -> [UInt8] { try drawn(as: .svg) }

    private func drawn(as kind: Canvas.Kind) throws(UserError) -> [UInt8] {
        let width = panelSize.width * Double(panels.count)
        guard let canvas = Canvas(width: width, height: panelSize.height, kind: kind) else {
            throw Self.noMemory
        }
        canvas.fill(Ink.paper)
        for (index, panel) in panels.enumerated() {
            PanelDrawing(
                panel: panel, canvas: canvas, left: Double(index) * panelSize.width, width: panelSize.width,
                height: panelSize.height
            )?.draw()
        }
        guard let bytes = canvas.encoded() else { throw Self.noMemory }
        return bytes
    }

    private static let noMemory = UserError(
        .failedRun, "a figure could not be drawn: there is not enough memory.",
        remedy: "Close other programs, or set plot_loss to false.")
}

/// The colours of everything but the curves.
private enum Ink {
    static let paper = Color(hex: 0xFFFFFF)
    static let text = Color(hex: 0x24292F)
    static let label = Color(hex: 0x57606A)
    static let axis = Color(hex: 0x8C959F)
    static let grid = Color(hex: 0xE6E9ED)
}

/// Places and draws one panel.
private struct PanelDrawing {
    let panel: Panel
    let canvas: Canvas
    let left: Double
    let width: Double
    let height: Double
    let xRange: ClosedRange<Double>
    let yRange: ClosedRange<Double>
    let xTicks: AxisTicks
    let yTicks: AxisTicks
    /// The plotting area's edges.
    let plotLeft: Double
    let plotRight: Double
    let plotTop: Double
    let plotBottom: Double

    private static let titleSize = 14.0
    private static let labelSize = 12.0
    private static let tickSize = 11.0

    /// - Returns: Nil when no point of the panel can be drawn.
    init?(panel: Panel, canvas: Canvas, left: Double, width: Double, height: Double) {
        let points = panel.series.flatMap(\.points).filter(\.isDrawable)
        guard let xRange = axisRange(of: points.lazy.map(\.x)),
            let yRange = axisRange(of: points.lazy.map(\.y))
        else {
            return nil
        }
        self.panel = panel
        self.canvas = canvas
        self.left = left
        self.width = width
        self.height = height
        self.xRange = xRange
        self.yRange = yRange
        let isWhole = points.allSatisfy { $0.x == $0.x.rounded() }
        xTicks = AxisTicks(range: xRange, maximumCount: Int(width / 80), wholeNumbers: isWhole)
        yTicks = AxisTicks(range: yRange, maximumCount: Int(height / 60))
        let yLabelWidth = yTicks.labels.map { canvas.width(of: $0, size: Self.tickSize) }.max() ?? 0
        plotLeft = left + 34 + yLabelWidth + 10
        plotRight = left + width - 22
        plotTop = 46
        plotBottom = height - 54
    }

    func draw() {
        drawGrid()
        canvas.clipped(
            x: plotLeft, y: plotTop - 3, width: plotRight - plotLeft, height: plotBottom - plotTop + 6
        ) {
            for series in panel.series { draw(series) }
        }
        drawFrame()
        drawLegend()
    }

    private func x(_ value: Double) -> Double {
        plotLeft + (value - xRange.lowerBound) / (xRange.upperBound - xRange.lowerBound)
            * (plotRight - plotLeft)
    }

    private func y(_ value: Double) -> Double {
        plotBottom - (value - yRange.lowerBound) / (yRange.upperBound - yRange.lowerBound)
            * (plotBottom - plotTop)
    }

    private func drawGrid() {
        for position in xTicks.positions {
            canvas.strokeLine(
                [.init(x: x(position), y: plotTop), .init(x: x(position), y: plotBottom)], color: Ink.grid,
                width: 0.8)
        }
        for position in yTicks.positions {
            canvas.strokeLine(
                [.init(x: plotLeft, y: y(position)), .init(x: plotRight, y: y(position))], color: Ink.grid,
                width: 0.8)
        }
    }

    private func drawFrame() {
        canvas.strokeLine(
            [
                .init(x: plotLeft, y: plotTop), .init(x: plotLeft, y: plotBottom),
                .init(x: plotRight, y: plotBottom),
            ],
            color: Ink.axis, width: 1)
        for (position, label) in zip(xTicks.positions, xTicks.labels) {
            canvas.strokeLine(
                [.init(x: x(position), y: plotBottom), .init(x: x(position), y: plotBottom + 4)],
                color: Ink.axis,
                width: 1)
            canvas.draw(
                label, x: x(position), y: plotBottom + 18, size: Self.tickSize, color: Ink.label,
                anchor: .middle)
        }
        for (position, label) in zip(yTicks.positions, yTicks.labels) {
            canvas.strokeLine(
                [.init(x: plotLeft - 4, y: y(position)), .init(x: plotLeft, y: y(position))], color: Ink.axis,
                width: 1)
            canvas.draw(
                label, x: plotLeft - 8, y: y(position) + 4, size: Self.tickSize, color: Ink.label,
                anchor: .end)
        }
        if yTicks.exponent != 0 {
            canvas.draw(
                "×10" + superscript(yTicks.exponent), x: plotLeft, y: plotTop - 6, size: Self.tickSize,
                color: Ink.label)
        }
        if xTicks.exponent != 0 {
            canvas.draw(
                "×10" + superscript(xTicks.exponent), x: plotRight, y: plotBottom + 34, size: Self.tickSize,
                color: Ink.label, anchor: .end)
        }
        let center = (plotLeft + plotRight) / 2
        let title = canvas.fitted(panel.title, size: Self.titleSize, width: width - 24)
        // Centred over the axes unless that would push a long title over the edge.
        let half = canvas.width(of: title, size: Self.titleSize) / 2
        let titleX = min(max(center, left + 12 + half), left + width - 12 - half)
        canvas.draw(title, x: titleX, y: 26, size: Self.titleSize, color: Ink.text, anchor: .middle)
        canvas.draw(
            panel.xLabel, x: center, y: height - 14, size: Self.labelSize, color: Ink.text, anchor: .middle)
        canvas.draw(
            panel.yLabel, x: left + 22, y: (plotTop + plotBottom) / 2, size: Self.labelSize, color: Ink.text,
            anchor: .middle, upwards: true)
    }

    private func superscript(_ exponent: Int) -> String {
        let digits: [Character: String] = [
            "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷",
            "8": "⁸", "9": "⁹",
        ]
        return String(exponent).map { digits[$0] ?? "" }.joined()
    }

    private func draw(_ series: Series) {
        let alpha = series.style == .faint ? 0.4 : 1
        let lineWidth = series.style == .faint ? 1.2 : 1.8
        for run in series.points.split(whereSeparator: { !$0.isDrawable }) {
            let placed = thinned(run.map { Series.Point(x: x($0.x), y: y($0.y)) })
            if placed.count == 1, series.style != .dotted {
                canvas.fillDot(placed[0], radius: 3, color: series.color, alpha: alpha)
            } else {
                canvas.strokeLine(placed, color: series.color, alpha: alpha, width: lineWidth)
            }
            guard series.style == .dotted else { continue }
            for point in placed { canvas.fillDot(point, radius: 3.2, color: series.color) }
        }
    }

    /// Keeps of every half point of width only the first, lowest, highest and last value: it looks the same.
    private func thinned(_ points: [Series.Point]) -> [Series.Point] {
        guard Double(points.count) > (plotRight - plotLeft) * 8 else { return points }
        var kept: [Series.Point] = []
        var start = 0
        while start < points.count {
            let column = (points[start].x * 2).rounded(.down)
            var end = start
            var lowest = start
            var highest = start
            while end < points.count, (points[end].x * 2).rounded(.down) == column {
                if points[end].y < points[highest].y { highest = end }
                if points[end].y > points[lowest].y { lowest = end }
                end += 1
            }
            for index in Set([start, lowest, highest, end - 1]).sorted() { kept.append(points[index]) }
            start = end
        }
        return kept
    }

    /// Draws the legend where it covers the least of the curves, in a corner if that is as good.
    private func drawLegend() {
        let entries = panel.series.filter { !$0.name.isEmpty }
        guard !entries.isEmpty else { return }
        let textWidth = entries.map { canvas.width(of: $0.name, size: Self.tickSize) }.max() ?? 0
        let boxWidth = textWidth + 48
        let boxHeight = Double(entries.count) * 18 + 10
        let inset = 8.0
        let room = (plotRight - plotLeft - boxWidth - 2 * inset, plotBottom - plotTop - boxHeight - 2 * inset)
        let corners = [(1.0, 0.0), (0, 0), (1, 1), (0, 1)]
        let elsewhere = (0...8).flatMap { x in (0...6).map { y in (Double(x) / 8, Double(y) / 6) } }
        let samples = curveSamples
        var best = (x: plotLeft, y: plotTop)
        var leastCovered = Int.max
        for place in corners + elsewhere {
            let corner = (x: plotLeft + inset + place.0 * room.0, y: plotTop + inset + place.1 * room.1)
            let covered = coveredSamples(
                samples, x: corner.x - 5, y: corner.y - 5, width: boxWidth + 10, height: boxHeight + 10)
            if covered < leastCovered { (best, leastCovered) = (corner, covered) }
        }
        canvas.fillRoundedBox(
            x: best.x, y: best.y, width: boxWidth, height: boxHeight, radius: 4, fill: Ink.paper,
            edge: Ink.grid)
        for (index, series) in entries.enumerated() {
            let middle = best.y + 14 + Double(index) * 18
            canvas.strokeLine(
                [.init(x: best.x + 10, y: middle), .init(x: best.x + 30, y: middle)], color: series.color,
                alpha: series.style == .faint ? 0.4 : 1, width: series.style == .faint ? 1.4 : 2)
            if series.style == .dotted {
                canvas.fillDot(.init(x: best.x + 20, y: middle), radius: 3.2, color: series.color)
            }
            canvas.draw(series.name, x: best.x + 38, y: middle + 4, size: Self.tickSize, color: Ink.text)
        }
    }

    /// How many samples along the curves lie in a box.
    private func coveredSamples(
        _ samples: [Series.Point], x: Double, y: Double, width: Double, height: Double
    ) -> Int {
        samples.reduce(into: 0) { count, sample in
            if sample.x >= x, sample.x <= x + width, sample.y >= y, sample.y <= y + height { count += 1 }
        }
    }

    /// Points some three apart along the curves, as they are placed on the canvas.
    private var curveSamples: [Series.Point] {
        var samples: [Series.Point] = []
        for series in panel.series {
            for run in series.points.split(whereSeparator: { !$0.isDrawable }) {
                let placed = thinned(run.map { Series.Point(x: x($0.x), y: y($0.y)) })
                samples += placed
                for (a, b) in zip(placed, placed.dropFirst()) {
                    let count = min(200, Int((abs(b.x - a.x) + abs(b.y - a.y)) / 3))
                    for sample in stride(from: 1, to: count, by: 1) {
                        let fraction = Double(sample) / Double(count)
                        samples.append(
                            .init(x: a.x + (b.x - a.x) * fraction, y: a.y + (b.y - a.y) * fraction))
                    }
                }
            }
        }
        return samples
    }
}
