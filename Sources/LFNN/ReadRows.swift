package import LFTorch

/// The rows of a stream that somebody reads behind the last block. All others need only keys and values there.
public final class ReadRows {
    /// Ascending runs of rows, each within one segment.
    package let runs: [Range<Int>]
    /// int64 `[R]`: the runs' rows, one after the other.
    package let indices: Tensor
    /// The stream's segments with queries from these rows alone.
    package let segments: SegmentMap

    /// Rows between two that are read are read too where they are so few: a run of its own costs more.
    private static let smallGap = 8

    /// The segments, which follow one another, and which of them continue which.
    private let layout: (ranges: [Range<Int>], prefixes: [Int?])

    private init(
        _ runs: [Range<Int>], _ layout: (ranges: [Range<Int>], prefixes: [Int?]), on device: Device
    ) throws(TorchError) {
        self.runs = runs
        self.layout = layout
        indices = try Tensor(runs.flatMap { $0.map { Int64($0) } }).to(device)
        segments = try SegmentMap(ranges: layout.ranges, prefixes: layout.prefixes, queries: runs)
    }

    /// - Returns: nil where nearly all rows are wanted, or none: a pass over all is simpler then, and as fast.
    static func holding(
        _ wanted: [Int32], of layout: (ranges: [Range<Int>], prefixes: [Int?]), rounded: (Int) -> Int,
        on device: Device
    ) throws(TorchError) -> ReadRows? {
        let rows = layout.ranges.last?.upperBound ?? 0
        let runs = runs(wanted, in: layout.ranges, rounded: rounded)
        let count = runs.reduce(0) { $0 + $1.count }
        guard count > 0, 8 * count < 7 * rows else { return nil }
        return try ReadRows(runs, layout, on: device)
    }

    /// Runs that hold all wanted rows, and as few more as make their number a round one.
    ///
    /// - Parameters:
    ///   - wanted: In any order; a row may come several times.
    ///   - segments: Consecutive ranges.
    ///   - rounded: The next round number; that of `segments`' rows is itself.
    package static func runs(
        _ wanted: [Int32], in segments: [Range<Int>], rounded: (Int) -> Int
    ) -> [Range<Int>] {
        var isRead = Array(repeating: false, count: segments.last?.upperBound ?? 0)
        for row in wanted { isRead[Int(row)] = true }
        for segment in segments {
            var last: Int?
            for row in segment where isRead[row] {
                if let last, row - last - 1 <= smallGap { for gap in last..<row { isRead[gap] = true } }
                last = row
            }
        }
        let count = isRead.count { $0 }
        var missing = count > 0 ? rounded(count) - count : 0
        for row in isRead.indices.reversed() where missing > 0 && !isRead[row] {
            isRead[row] = true
            missing -= 1
        }
        return joined(isRead.indices.filter { isRead[$0] }.map { Int32($0) }, in: segments)
    }

    /// Ascending rows as runs, which end with their segment.
    private static func joined(_ rows: [Int32], in segments: [Range<Int>]) -> [Range<Int>] {
        let starts = Set(segments.map(\.lowerBound))
        var runs: [Range<Int>] = []
        for row in rows.lazy.map({ Int($0) }) {
            if let last = runs.last, last.upperBound == row, !starts.contains(row) {
                runs[runs.count - 1] = last.lowerBound..<row + 1
            } else {
                runs.append(row..<row + 1)
            }
        }
        return runs
    }

    /// The rows of the stream that are not among these.
    package func others() throws(TorchError) -> ReadRows {
        var isRead = Array(repeating: false, count: layout.ranges.last?.upperBound ?? 0)
        for row in runs.joined() { isRead[row] = true }
        let unread = isRead.indices.filter { !isRead[$0] }.map { Int32($0) }
        return try ReadRows(Self.joined(unread, in: layout.ranges), layout, on: indices.device)
    }

    /// Where each row of the stream stands in these rows followed by all others, int64 `[T]`.
    package func placesOfAll() throws(TorchError) -> Tensor {
        var places = Array(repeating: Int64(-1), count: layout.ranges.last?.upperBound ?? 0)
        var next: Int64 = 0
        for row in runs.joined() { (places[row], next) = (next, next + 1) }
        for row in places.indices where places[row] < 0 { (places[row], next) = (next, next + 1) }
        return try Tensor(places).to(indices.device)
    }

    /// How many rows are read, R.
    package var count: Int { indices.dim(0) }

    /// These rows of `x [T, …]`.
    package func callAsFunction(_ x: Tensor) throws(TorchError) -> Tensor {
        runs.count == 1 ? try x.slice(runs[0]) : try x.selecting(indices)
    }

    /// Where rows of the stream stand among these; -1, which no look-up takes, where one is not read.
    func places(of rows: [Int32]) -> [Int64] {
        var places: [Int: Int64] = [:]
        for row in runs.joined() { places[row] = Int64(places.count) }
        return rows.map { places[Int($0)] ?? -1 }
    }
}
