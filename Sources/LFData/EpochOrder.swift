/// The order in which one epoch visits the rows of a dataset.
public struct EpochOrder: Sendable, Equatable {
    /// Row numbers in the order of visits.
    public let rows: [Int]

    /// - Parameters:
    ///   - count: Rows of the dataset.
    ///   - permutation: The shuffled row numbers; nil for the order of the file. Upstream draws `randperm(count)` from
    ///     a generator seeded with the seed plus the epoch's number.
    public init(count: Int, permutation: [Int]? = nil) {
        precondition(
            permutation.map { $0.count == count } ?? true, "the permutation must have one entry per row")
        rows = permutation ?? Array(0..<count)
    }

    /// How many batches of `size` rows an epoch has.
    public func batchCount(of size: Int, dropsLast: Bool = false) -> Int {
        dropsLast ? rows.count / size : (rows.count + size - 1) / size
    }

    /// The rows of batch `index`; the last batch may be smaller unless it is dropped.
    public func batch(_ index: Int, of size: Int) -> ArraySlice<Int> {
        rows[index * size..<min((index + 1) * size, rows.count)]
    }

    /// All batches of an epoch.
    public func batches(of size: Int, dropsLast: Bool = false) -> [ArraySlice<Int>] {
        (0..<batchCount(of: size, dropsLast: dropsLast)).map { batch($0, of: size) }
    }
}
