import LFTrainer
import Testing

/// How batches are dealt, as `accelerate` 1.11 deals them (`BatchSamplerShard`; `Tools/golden/record_dealing.py` prints these).
@Suite struct DataShareTests {
    @Test(
        arguments: [
            (5, 2, 2, false, [[[0, 1], [4, 0]], [[2, 3], [1, 2]]]),
            (8, 2, 2, false, [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]),
            (3, 2, 4, false, [[[0, 1]], [[2, 0]], [[1, 2]], [[0, 1]]]),
            (7, 2, 2, true, [[[0, 1]], [[2, 3]]]),
            (7, 1, 3, false, [[[0], [3], [6]], [[1], [4], [0]], [[2], [5], [1]]]),
        ] as [(Int, Int, Int, Bool, [[[Int]]])])
    func batchesAreDealtAsAccelerateDealsThem(
        _ count: Int, _ batchSize: Int, _ processes: Int, _ dropsLast: Bool, _ expected: [[[Int]]]
    ) {
        for rank in 0..<processes {
            let share = DataShare(rank: rank, size: processes)
            let rows = share.filled(Array(0..<count), batchSize: batchSize, dropsLast: dropsLast)
            let rounds = rows.count / (batchSize * processes)
            let dealt = share.rows(ofRounds: 0..<rounds, rows, batchSize: batchSize)
            #expect(share.batches(ofStep: dealt, batchSize: batchSize, cost: nil) == expected[rank])
            let even = share.batches(ofStep: dealt, batchSize: batchSize) { _ in 1 }
            #expect(share.shares(ofStep: dealt, batchSize: batchSize, cost: nil) == expected)
            #expect(even == expected[rank], "where all cost the same, nothing changes places")
        }
    }

    @Test func oneProcessLeavesTheLastBatchAsItIs() {
        let share = DataShare()
        #expect(share.filled([3, 1, 2], batchSize: 2, dropsLast: false) == [3, 1, 2])
        #expect(share.batches(ofStep: [3, 1, 2], batchSize: 2) { Double($0) } == [[3, 1], [2]])
        #expect(share.rows(ofRounds: 1..<2, [3, 1, 2], batchSize: 2) == [2])
    }

    @Test func examplesChangePlacesUntilProcessesAreEven() {
        let costs = [9.0, 8, 2, 1]
        for (rank, expected) in [[[9, 1]], [[8, 2]]].enumerated() {
            let share = DataShare(rank: rank, size: 2)
            #expect(
                share.batches(ofStep: costs, batchSize: 2) { $0 } == expected.map { $0.map { Double($0) } })
            // One that must stay keeps all where they are.
            let kept = share.batches(ofStep: costs, batchSize: 2) { $0 == 2 ? nil : $0 }
            #expect(kept == [rank == 0 ? [9, 8] : [2, 1]])
        }
        // The largest first gives 8 + 5 + 4 and 7 + 7 + 1; then 8 and a 7 change places.
        #expect(levelDeal([7, 7, 1, 8, 5, 4], among: 2) == [[0, 4, 5], [1, 2, 3]])
    }

    /// Those that a batch computes in part together are not parted for less than that.
    @Test func examplesThatBeginAlikeStayTogether() {
        // Behind the 10 the 9 costs 2: 12 against 11, where parting them would give 15 and 15.
        let costs = [10.0, 9, 6, 5]
        for (rank, expected) in [[10.0, 9], [6, 5]].enumerated() {
            let together = DataShare(rank: rank, size: 2)
                .batches(
                    ofStep: costs, batchSize: 2, shared: { $0 == 10 && $1 == 9 ? 7 : 0 }, cost: { $0 })
            #expect(together == [expected])
            let apart = DataShare(rank: rank, size: 2).batches(ofStep: costs, batchSize: 2) { $0 }
            #expect(apart == [rank == 0 ? [10, 5] : [9, 6]])
        }
    }

    /// Whatever the costs: every example has one process, each process as many, and none has more than before.
    @Test func everyExampleIsDealtOnce() {
        var state: UInt64 = 7
        func draw(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        var gains: [Double] = []
        for _ in 0..<300 {
            let (size, batchSize, rounds) = (2 + draw(4), 1 + draw(4), 1 + draw(3))
            let costs = (0..<(size * batchSize * rounds)).map { _ in Double(1 + draw(900)) }
            let places = Array(costs.indices)
            func loads(_ cost: ((Int) -> Double?)?) -> [Double] {
                var seen: [Int] = []
                let loads = (0..<size).map { rank in
                    let batches = DataShare(rank: rank, size: size)
                        .batches(ofStep: places, batchSize: batchSize, cost: cost)
                    #expect(batches.map(\.count) == Array(repeating: batchSize, count: rounds))
                    seen += batches.joined()
                    return batches.joined().reduce(0) { $0 + costs[$1] }
                }
                #expect(seen.sorted() == places)
                return loads
            }
            let (before, after) = (loads(nil).max() ?? 0, loads { costs[$0] }.max() ?? 0)
            #expect(after <= before)
            gains.append(before / after)
        }
        #expect(gains.reduce(0, +) / Double(gains.count) > 1.1)
    }
}
