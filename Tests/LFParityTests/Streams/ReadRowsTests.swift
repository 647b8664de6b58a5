import LFNN
import LFStream
import LFTorch
import Testing

/// Which rows leave the last block.
@Suite struct ReadRowsTests {
    @Test func smallGapsAndRoundNumbersAreFilled() {
        let segments = [0..<40, 40..<70]
        func runs(_ wanted: [Int32], rounded: (Int) -> Int = { $0 }) -> [Range<Int>] {
            ReadRows.runs(wanted, in: segments, rounded: rounded)
        }
        #expect(runs([]) == [])
        #expect(runs([5]) == [5..<6])
        #expect(runs([7, 5, 5]) == [5..<8])
        #expect(runs([5, 14]) == [5..<15])
        #expect(runs([5, 15]) == [5..<6, 15..<16])
        // Runs end with their segment.
        #expect(runs([38, 39, 40, 41]) == [38..<40, 40..<42])
        #expect(runs([38, 42]) == [38..<39, 42..<43])
        // What is missing comes from the end.
        #expect(runs([5, 69]) { _ in 4 } == [5..<6, 67..<70])
        #expect(runs((0..<60).map { $0 }) { _ in 70 } == [0..<40, 40..<70])
    }

    /// Look-ups by the new places find the rows that were meant; those of rows that are not read find none.
    @Test func placesNameTheSameRows() throws {
        let examples = [
            pair(prompt: 50, chosen: 9, rejected: 4, seed: 1),
            pair(prompt: 60, chosen: 1, rejected: 7, seed: 2),
        ]
        let stream = try DeviceStream(Collator().stream(of: examples), on: .cpu)
        let rows = try #require(stream.inputIDs.count == 144 ? stream.inputIDs : nil)
        let targets = try stream.readingTargets()
        let read = try #require(targets.readRows)
        #expect(read.runs == [49..<50, 50..<58, 59..<62, 122..<123, 124..<130])
        #expect(
            try read(rows).selecting(targets.targetRows).int64s()
                == rows.selecting(stream.targetRows).int64s())
        #expect(throws: TorchError.self) { try read(rows).selecting(targets.lastRows) }
        let last = try stream.readingLastRows()
        #expect(last.readRows?.count == 4)
        #expect(try last.lastRows.int64s() == [0, 2, 1, 3])
        // Nearly all: nothing is gained.
        let whole = try DeviceStream(
            Collator().stream(of: [.supervised([sequence(90, prompt: 5, seed: 1)])]), on: .cpu)
        #expect(try whole.readingTargets() === whole)
        let none = try DeviceStream(
            Collator().stream(of: [.supervised([sequence(9, prompt: 9, seed: 1)])]), on: .cpu)
        #expect(try none.readingTargets() === none)
    }
}
