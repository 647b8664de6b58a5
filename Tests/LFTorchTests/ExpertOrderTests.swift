import LFTorch
import Testing

/// The order in which experts multiply their rows.
@Suite struct ExpertOrderTests {
    /// Sorting here and on the device give the same rows: stable, with experts that nobody has chosen and experts of all.
    @Test(arguments: [
        ([[2, 0], [1, 2], [0, 1]], 3), ([[3, 1], [3, 1], [3, 0]], 5), ([[0], [0], [0]], 1),
        ([[4, 2, 0, 1], [1, 0, 2, 4]], 6), ([], 2),
    ])
    func choicesAreSortedByExpert(_ choices: [[Int64]], _ experts: Int) throws {
        let width = choices.first?.count ?? 1
        let flat = choices.flatMap { $0 }
        let chosen = try Tensor(flat).reshaped([choices.count, width])
        let sorted = flat.indices.sorted { (flat[$0], $0) < (flat[$1], $1) }
        for onDevice in [false, true] {
            let order = try ExpertOrder(chosen, experts: experts, onDevice: onDevice)
            #expect(order.counts == (0..<experts).map { expert in flat.count { $0 == expert } })
            #expect(try order.tokens.int64s() == sorted.map { Int64($0 / width) })
            let places = try order.places.int64s()
            #expect(places.count == flat.count)
            for (row, choice) in sorted.enumerated() { #expect(places[choice] == Int64(row)) }
        }
        #expect(try ExpertOrder(chosen, experts: experts).counts.reduce(0, +) == flat.count)
    }

    @Test func expertsThatAreNotThereAreRefused() throws {
        let chosen = try Tensor([0, 3] as [Int64]).reshaped([1, 2])
        #expect(throws: TorchError.self) { try ExpertOrder(chosen, experts: 3) }
        #expect(throws: TorchError.self) { try ExpertOrder(Tensor([1] as [Int64]), experts: 3) }
    }
}
