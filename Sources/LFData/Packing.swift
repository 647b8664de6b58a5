/// Fills knapsacks greedily: each takes, again and again, the longest item that still fits (upstream `greedy_knapsack`).
///
/// - Parameter lengths: In any order.
/// - Returns: For each knapsack the positions of its items in `lengths`; of items of equal length the last one is taken
///   first. Items longer than `capacity` are left out.
package func greedyKnapsacks(_ lengths: [Int], capacity: Int) -> [[Int]] {
    // `remaining[length]` holds the positions of the items of that length; `sizes` the lengths that are left, rising.
    var remaining: [Int: [Int]] = [:]
    for (position, length) in lengths.enumerated() where length <= capacity {
        remaining[length, default: []].append(position)
    }
    var sizes = remaining.keys.sorted()
    var knapsacks: [[Int]] = []
    while !sizes.isEmpty {
        var knapsack: [Int] = []
        var room = capacity
        while let size = sizes.lastPosition(atMost: room) {
            let length = sizes[size]
            room -= length
            if let position = remaining[length]?.popLast() { knapsack.append(position) }
            if remaining[length]?.isEmpty ?? true { sizes.remove(at: size) }
        }
        knapsacks.append(knapsack)
    }
    return knapsacks
}

extension [Int] {
    /// The position of the last element that is at most `limit`, in a rising array.
    fileprivate func lastPosition(atMost limit: Int) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= limit { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }
}
