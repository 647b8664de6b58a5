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
            let batches = (0..<rounds).map { Array(share.batch(ofRound: $0, rows, batchSize: batchSize)) }
            #expect(batches == expected[rank])
        }
    }

    @Test func oneProcessLeavesTheLastBatchAsItIs() {
        let share = DataShare()
        #expect(share.filled([3, 1, 2], batchSize: 2, dropsLast: false) == [3, 1, 2])
        #expect(Array(share.batch(ofRound: 1, [3, 1, 2], batchSize: 2)) == [2])
    }
}
