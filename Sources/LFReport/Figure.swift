/// A drawing of one or more panels side by side, for PNG and SVG.
public struct Figure: Sendable, Equatable {
    /// Panels from left to right.
    public var panels: [Panel]
    /// Width and height of one panel in points.
    public var panelSize: (width: Double, height: Double) = (640, 480)

    public init(panels: [Panel], panelSize: (width: Double, height: Double) = (640, 480)) {
        self.panels = panels
        self.panelSize = panelSize
    }

    public static func == (a: Self, b: Self) -> Bool { a.panels == b.panels && a.panelSize == b.panelSize }
}

/// One pair of axes with its curves.
public struct Panel: Sendable, Equatable {
    public var title: String
    public var xLabel: String
    public var yLabel: String
    public var series: [Series]

    public init(title: String, xLabel: String = "step", yLabel: String, series: [Series]) {
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.series = series
    }
}

/// One curve: points joined by lines; points that are not drawable, such as NaN, leave a gap.
public struct Series: Sendable, Equatable {
    public enum Style: Sendable, Equatable {
        /// A full line.
        case line
        /// A faint line, for values before smoothing.
        case faint
        /// A full line with a dot at each point, for few values.
        case dotted
    }

    public struct Point: Sendable, Equatable {
        public var x: Double
        public var y: Double

        public init(x: Double, y: Double) {
            self.x = x
            self.y = y
        }

        /// Whether the point can be placed; beyond 1e150 differences of coordinates overflow.
        public var isDrawable: Bool { abs(x) < 1e150 && abs(y) < 1e150 }
    }

    public var name: String
    public var points: [Point]
    public var color: Color
    public var style: Style

    public init(name: String, points: [Point], color: Color = .blue, style: Style = .line) {
        self.name = name
        self.points = points
        self.color = color
        self.style = style
    }
}

/// A colour of the sRGB space.
public struct Color: Sendable, Equatable {
    public var red: Double
    public var green: Double
    public var blue: Double

    /// - Parameter hex: `0xRRGGBB`.
    public init(hex: UInt32) {
        red = Double(hex >> 16 & 0xFF) / 255
        green = Double(hex >> 8 & 0xFF) / 255
        blue = Double(hex & 0xFF) / 255
    }

    public static let blue = Color(hex: 0x1F77B4)
    public static let orange = Color(hex: 0xE8710A)
    public static let green = Color(hex: 0x2A9D5C)
    public static let red = Color(hex: 0xD1383D)
    public static let purple = Color(hex: 0x8A5FB8)
}
