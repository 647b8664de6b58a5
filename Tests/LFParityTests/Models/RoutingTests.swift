import Foundation
import LFModels
import LFTorch
import Testing

/// Which experts a token goes to and with what weight, by hand.
@Suite struct RoutingTests {
    /// Logits whose softmax is 0.1, 0.2, 0.3, 0.4.
    private let logits = [1, 2, 3, 4].map { (Double($0) / 10).logarithm }

    private func route(
        _ routing: Routing, _ logits: [Double], correction: [Double]? = nil
    ) throws -> [(Int, Double)] {
        let (experts, weights) = try routing(
            Tensor(logits, [1, logits.count]), correction: correction.map { try Tensor($0) })
        return zip(try experts.int64s(), try weights.doubles()).map { (Int($0), $1) }
    }

    private func expect(_ found: [(Int, Double)], _ wanted: [Int: Double]) {
        #expect(Set(found.map(\.0)) == Set(wanted.keys))
        for (expert, weight) in found { #expect(isClose(weight, wanted[expert] ?? .nan, absolute: 1e-12)) }
    }

    @Test func softmax() throws {
        expect(try route(Routing(.softmax, chosen: 2, normalizes: false), logits), [3: 0.4, 2: 0.3])
        expect(
            try route(Routing(.softmax, chosen: 2, normalizes: true, scale: 7), logits), [3: 4, 2: 3])
        expect(
            try route(Routing(.softmaxOfChosen, chosen: 2, normalizes: false), logits), [3: 4 / 7, 2: 3 / 7])
    }

    /// A correction decides who is chosen, not the weights.
    @Test func correctedSigmoid() throws {
        // Sigmoids 0.5, 0.8, 0.2, 0.75.
        let logits = [1.0, 4, 0.25, 3].map(\.logarithm)
        let routing = Routing(.sigmoid, chosen: 2, normalizes: true, scale: 2.5)
        expect(try route(routing, logits), [1: 2.5 * 0.8 / 1.55, 3: 2.5 * 0.75 / 1.55])
        expect(
            try route(routing, logits, correction: [0, -1, 1, 0]),
            [2: 2.5 * 0.2 / 0.95, 3: 2.5 * 0.75 / 0.95])
    }

    /// The best group by its best, or its two best, scores; the best experts of the others do not count.
    @Test func groupsLimitTheChoice() throws {
        // Softmax 0.4, 0.01 | 0.29, 0.3.
        let logits = [0.4, 0.01, 0.29, 0.3].map(\.logarithm)
        func routing(best: Int, groups: Int = 1) -> Routing {
            Routing(
                .softmax, chosen: 2, normalizes: false, groups: .init(count: 2, chosen: groups, best: best))
        }
        expect(try route(routing(best: 1), logits), [0: 0.4, 1: 0.01])
        expect(try route(routing(best: 2), logits), [2: 0.29, 3: 0.3])
        expect(try route(routing(best: 2, groups: 2), logits), [0: 0.4, 3: 0.3])
    }
}

extension Double {
    fileprivate var logarithm: Double { log(self) }
}
