/// A set of Unicode code points as ranges in order that neither touch nor overlap; surrogates never belong to it.
struct CodePoints: Equatable {
    private(set) var ranges: [ClosedRange<UInt32>]

    static let all = CodePoints([0...0xD7FF, 0xE000...0x10FFFF])

    init(_ ranges: [ClosedRange<UInt32>] = []) {
        self.ranges = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) { add(range) }
    }

    init(scalars: [Unicode.Scalar]) { self.init(scalars.map { $0.value...$0.value }) }

    /// Adds a range that does not begin before the last one.
    private mutating func add(_ range: ClosedRange<UInt32>) {
        guard let last = ranges.last, range.lowerBound <= last.upperBound &+ 1 else {
            ranges.append(range)
            return
        }
        ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
    }

    func union(_ other: CodePoints) -> CodePoints { CodePoints(ranges + other.ranges) }

    func intersection(_ other: CodePoints) -> CodePoints {
        var common: [ClosedRange<UInt32>] = []
        var (own, others) = (ranges[...], other.ranges[...])
        while let a = own.first, let b = others.first {
            if a.overlaps(b) { common.append(a.clamped(to: b)) }
            if a.upperBound < b.upperBound { own.removeFirst() } else { others.removeFirst() }
        }
        return CodePoints(common)
    }

    var complement: CodePoints {
        var gaps: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { gaps.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= 0x10FFFF { gaps.append(next...0x10FFFF) }
        return CodePoints(gaps).intersection(CodePoints.all)
    }

    func subtracting(_ other: CodePoints) -> CodePoints { intersection(other.complement) }
}

extension GrammarBuilder {
    /// Reads one of the code points in UTF-8.
    mutating func codePoints(_ set: CodePoints, from: Int32, to: Int32) {
        let lengths: [ClosedRange<UInt32>] = [0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF]
        for range in set.intersection(.all).ranges {
            for length in lengths where range.overlaps(length) {
                let part = range.clamped(to: length)
                utf8(Self.encoded(part.lowerBound)[...], Self.encoded(part.upperBound)[...], from, to)
            }
        }
    }

    static func encoded(_ value: UInt32) -> [UInt8] { Unicode.Scalar(value).map { Array($0.utf8) } ?? [] }

    /// Reads the byte strings between two of equal length, whose bytes behind the first are continuations.
    private mutating func utf8(
        _ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>, _ from: Int32, _ to: Int32
    ) {
        guard var first = low.first, var last = high.first else { return }
        guard low.count > 1 else { return edge(first...last, from: from, to: to) }
        let lowRest = low.dropFirst(), highRest = high.dropFirst()
        if first == last {
            let middle = state()
            edge(first...first, from: from, to: middle)
            return utf8(lowRest, highRest, middle, to)
        }
        let least = ArraySlice(repeating: UInt8(0x80), count: lowRest.count)
        let most = ArraySlice(repeating: UInt8(0xBF), count: lowRest.count)
        if !lowRest.elementsEqual(least) {
            let middle = state()
            edge(first...first, from: from, to: middle)
            utf8(lowRest, most, middle, to)
            first += 1
        }
        let endsWhole = highRest.elementsEqual(most)
        if !endsWhole {
            let middle = state()
            edge(last...last, from: from, to: middle)
            utf8(least, highRest, middle, to)
            last -= 1
        }
        guard first <= last else { return }
        let middle = state()
        edge(first...last, from: from, to: middle)
        utf8(least, most, middle, to)
    }
}
