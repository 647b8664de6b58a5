package import LFStream

/// Deals things of different costs to processes, as many to each, so that no process has much more to do than another.
///
/// The largest goes first, each to the process that has least so far; after that the process that has most swaps with another one as
/// long as both together become more even.
///
/// - Parameters:
///   - costs: Of each thing, above 0; as many things for each process.
///   - processes: How many.
/// - Returns: By process the places of its things, in ascending order; the same in all processes.
package func levelDeal(_ costs: [Double], among processes: Int) -> [[Int]] {
    precondition(costs.count % processes == 0, "each process gets as many")
    let room = costs.count / processes
    var deal = Array(repeating: [Int](), count: processes)
    var loads = Array(repeating: 0.0, count: processes)
    for place in costs.indices.sorted(by: { (costs[$1], $0) < (costs[$0], $1) }) {
        let open = deal.indices.filter { deal[$0].count < room }
        guard let process = open.min(by: { (loads[$0], $0) < (loads[$1], $1) }) else { break }
        deal[process].append(place)
        loads[process] += costs[place]
    }
    let mean = loads.reduce(0, +) / Double(processes)
    // Every swap lowers the highest of two loads; the bound is for ties among many.
    for _ in 0..<(4 * processes) {
        guard let most = loads.indices.max(by: { (loads[$0], $1) < (loads[$1], $0) }),
            loads[most] > mean * DataShare.levelEnough, let swap = bestSwap(of: most, deal, loads, costs)
        else { break }
        let given = costs[deal[most][swap.own]] - costs[deal[swap.process][swap.other]]
        loads[most] -= given
        loads[swap.process] += given
        (deal[most][swap.own], deal[swap.process][swap.other]) = (
            deal[swap.process][swap.other], deal[most][swap.own]
        )
    }
    return deal.map { $0.sorted() }
}

/// The swap that makes the higher load of two processes, one of which is `most`, as low as it can be; nil where none lowers it.
private func bestSwap(
    of most: Int, _ deal: [[Int]], _ loads: [Double], _ costs: [Double]
) -> (own: Int, process: Int, other: Int)? {
    var best: (own: Int, process: Int, other: Int)?
    var least = loads[most]
    for process in deal.indices where process != most {
        for (own, place) in deal[most].enumerated() {
            for (other, otherPlace) in deal[process].enumerated() {
                let given = costs[place] - costs[otherPlace]
                let higher = max(loads[most] - given, loads[process] + given)
                if higher < least { (least, best) = (higher, (own, process, other)) }
            }
        }
    }
    return best
}

extension DataShare {
    /// Loads up to so many times their mean count as even.
    package static let levelEnough = 1.01

    /// This process's batches of a step (`shares`).
    package func batches<Items: RandomAccessCollection>(
        ofStep items: Items, batchSize: Int, shared: ((Items.Element, Items.Element) -> Double)? = nil,
        cost: ((Items.Element) -> Double?)?
    ) -> [[Items.Element]] {
        shares(ofStep: items, batchSize: batchSize, shared: shared, cost: cost)[rank]
    }

    /// Every process's batches of a step, by rank.
    ///
    /// accelerate deals batches in the order of the data. A step then takes as long as its slowest process. A step's loss and gradients are
    /// sums over its examples, so where no loss looks at a batch as a whole, examples change places until all processes have about as
    /// much to compute. They keep the order of the data within a process. Neighbours in a batch that begin alike cost less than alone:
    /// where parting them would cost more than it evens out, they stay.
    ///
    /// - Parameters:
    ///   - items: Of all processes, in the order of the data: `batchSize` of process 0, as many of process 1, and so on, round after round.
    ///   - shared: How much less the second costs behind the first in a batch.
    ///   - cost: What one costs to compute; nil where the order of the data must stay, be it as a whole or because of one of them.
    package func shares<Items: RandomAccessCollection>(
        ofStep items: Items, batchSize: Int, shared: ((Items.Element, Items.Element) -> Double)? = nil,
        cost: ((Items.Element) -> Double?)?
    ) -> [[[Items.Element]]] {
        let items = Array(items)
        let round = batchSize * size
        let starts = Array(stride(from: 0, to: items.count, by: round))
        let dealt = (0..<size).map { process in
            starts.map { start -> [Items.Element] in
                let own = start + process * batchSize
                return Array(items[min(own, items.count)..<min(own + batchSize, items.count)])
            }
        }
        guard size > 1, let cost, items.count % round == 0 else { return dealt }
        var costs: [Double] = []
        for item in items {
            guard let value = cost(item) else { return dealt }
            costs.append(value)
        }
        let byProcess = (0..<size).map { process in
            items.indices.filter { $0 % round / batchSize == process }
        }
        func load(_ places: [Int]) -> Double {
            let alone = places.reduce(0) { $0 + costs[$1] }
            guard let shared else { return alone }
            return zip(places, places.dropFirst()).enumerated().reduce(alone) { load, pair in
                let (first, second) = pair.element
                return (pair.offset + 1) % batchSize == 0 ? load : load - shared(items[first], items[second])
            }
        }
        func highest(_ deal: [[Int]]) -> Double { deal.map(load).max() ?? 0 }
        let level = levelDeal(costs, among: size)
        guard highest(byProcess) > Self.levelEnough * highest(level) else { return dealt }
        return level.map { places in
            starts.indices.map { index in
                places[(index * batchSize)..<((index + 1) * batchSize)].map { items[$0] }
            }
        }
    }
}

/// What examples cost to compute, in tokens.
package struct ExampleCosts {
    /// Of one by itself; nil where it must stay with its batch.
    let alone: (Example) -> Double?
    /// How much less the second costs behind the first in a batch; nil where nothing is shared.
    let shared: ((Example, Example) -> Double)?

    /// Where any of several processes may learn from an example; nil where a batch's make-up counts. One without anything to learn stays where
    /// the data have it, for a batch's mean is over the others.
    package init?(_ objective: any Objective, hiddenSize: Int, processes: Int) {
        guard processes > 1, !objective.dependsOnBatches else { return nil }
        let learnable = objective.learnable
        alone = { learnable.contains($0) ? $0.computingCost(hiddenSize: hiddenSize) : nil }
        shared = objective.collator.sharesPrefixes ? { Double($0.sharedBeginning(with: $1)) } : nil
    }
}

extension Example {
    /// About what it costs to compute, in tokens: attention, whose share grows with the length, counts as much more.
    ///
    /// A block of width `h` multiplies about `12 h²` numbers for a token, and `n h` more where the token sees `n / 2` others.
    package func computingCost(hiddenSize: Int) -> Double {
        Double(computedTokenCount) * (1 + Double(longestSequence) / Double(12 * hiddenSize))
    }

    /// Tokens that this example's first sequence and another's begin with in common, where a batch computes them once.
    package func sharedBeginning(with other: Example) -> Int {
        guard let own = sequences.first?.inputIDs, let others = other.sequences.first?.inputIDs else {
            return 0
        }
        let count = zip(own, others).prefix { $0 == $1 }.count
        return count < Collator.tileRows ? 0 : count
    }
}
