import LFConfig
import LFData
import LFJSON
import Testing

/// Reference values: NumPy 2.4.6.
@Suite struct OrderTests {
    @Test func permutesAsNumPy() {
        let recorded: [(Int, [Int], [Int])] = [
            (0, [9, 2, 7, 4, 5, 11, 0, 3, 6, 10, 8, 1], [3, 2, 0, 1, 4]),
            (42, [0, 7, 6, 9, 11, 3, 5, 2, 4, 10, 1, 8], [1, 4, 2, 3, 0]),
            (4_294_967_301, [6, 9, 5, 8, 2, 4, 7, 0, 11, 10, 3, 1], [3, 2, 1, 4, 0]),
            (123_456_789_012, [4, 7, 6, 8, 1, 11, 3, 0, 10, 5, 2, 9], [3, 0, 2, 1, 4]),
        ]
        for (seed, first, second) in recorded {
            var generator = NumPyGenerator(seed: seed)
            #expect(generator.permutation(12) == first)
            #expect(generator.permutation(5) == second, "the half-used word is kept between calls")
        }
        var generator = NumPyGenerator(seed: 42)
        let long = generator.permutation(100_000)
        #expect(Array(long.prefix(5)) == [45262, 49850, 30394, 90177, 95569])
        #expect(long.enumerated().reduce(0) { $0 + $1.element * $1.offset % 1_000_003 } == 50_067_448_952)
        #expect(generator.permutation(0).isEmpty)
        #expect(generator.permutation(1) == [0])
    }

    @Test func choosesAsNumPy() {
        var generator = NumPyGenerator(seed: 42)
        #expect(
            generator.choices(12, probabilities: [0.2, 0.5, 0.3]) == [2, 1, 2, 1, 0, 2, 2, 2, 0, 1, 1, 2])
        #expect(generator.nextDouble() == 0.6438651200806645)
    }

    @Test func legacyGeneratorIsNumPys() {
        var generator = NumPyLegacyGenerator(seed: 42)
        #expect(generator.permutation(10) == [8, 1, 5, 0, 7, 2, 9, 4, 3, 6])
        #expect(generator.choices(of: 10, 8) == [2, 6, 7, 4, 3, 7, 7, 2])
        #expect(Array(generator.permutation(1000).prefix(6)) == [523, 602, 526, 31, 616, 585])
    }

    /// Drawn with `interleave_datasets`' rules from NumPy's generator, seed 42.
    @Test(arguments: [
        (DataArguments.MixStrategy.interleaveUnder, [8, 3, 9, 4, 0, 10, 11]),
        (.interleaveOver, [8, 3, 9, 4, 0, 10, 11, 8, 1, 5, 6, 9, 7, 10, 3, 4, 5, 2]),
        (.interleaveOnce, [8, 3, 9, 4, 0, 10, 11, 1, 5, 6, 7, 2]),
    ])
    func mixesByProbability(strategy: DataArguments.MixStrategy, expected: [Int]) {
        #expect(
            mixedOrder(lengths: [3, 5, 4], strategy: strategy, probabilities: [0.2, 0.5, 0.3], seed: 42)
                == expected)
    }

    /// The examples in the documentation of Hugging Face's datasets.
    @Test func mixesInTurns() {
        func order(_ strategy: DataArguments.MixStrategy) -> [Int] {
            mixedOrder(lengths: [3, 4, 5], strategy: strategy, probabilities: [], seed: 0)
        }
        #expect(order(.concat) == Array(0..<12))
        #expect(order(.interleaveUnder) == [0, 3, 7, 1, 4, 8, 2, 5, 9])
        #expect(order(.interleaveOver) == [0, 3, 7, 1, 4, 8, 2, 5, 9, 0, 6, 10, 1, 3, 11])
        #expect(order(.interleaveOnce) == [0, 3, 7, 1, 4, 8, 2, 5, 9, 6, 10, 11])
    }

    /// `mixing.json` holds what `interleave_datasets` and `train_test_split` of datasets 5.2 chose
    /// (`Tools/golden/record_mixing.py`).
    @Test func mixesAndSplitsAsRecorded() throws {
        let recorded = try JSONValue.read(path: TrainingGolden.folder + "/../mixing.json")
        func integers(_ value: JSONValue?) throws -> [Int] {
            try #require(value?.array).map { try #require($0.int) }
        }
        let orders = try #require(recorded["orders"]?.array), splits = try #require(recorded["splits"]?.array)
        #expect(orders.count == 45 && splits.count == 12)
        for order in orders {
            let strategy = try #require(
                DataArguments.MixStrategy(rawValue: order["strategy"]?.string ?? ""))
            let found = mixedOrder(
                lengths: try integers(order["lengths"]), strategy: strategy,
                probabilities: try #require(order["probabilities"]?.array).compactMap(\.double),
                seed: try #require(order["seed"]?.int))
            #expect(try found == integers(order["order"]), "\(order["lengths"] ?? .null) \(strategy)")
        }
        for split in splits {
            let count = try #require(split["rows"]?.int), size = try #require(split["size"]?.double)
            let kept = size > 1 ? Int(size) : Int((size * Double(count)).rounded(.up))
            let found = splitOrder(
                rowCount: count, validationCount: kept, seed: try #require(split["seed"]?.int))
            #expect(try found.train == integers(split["train"]))
            #expect(try found.validation == integers(split["test"]))
        }
    }

    @Test func anEpochVisitsEveryRow() {
        let order = EpochOrder(count: 5)
        #expect(order.batches(of: 2).map(Array.init) == [[0, 1], [2, 3], [4]])
        #expect(order.batches(of: 2, dropsLast: true).map(Array.init) == [[0, 1], [2, 3]])
        #expect(EpochOrder(count: 3, permutation: [2, 0, 1]).batches(of: 3).map(Array.init) == [[2, 0, 1]])
        #expect(EpochOrder(count: 0).batches(of: 4).isEmpty)
    }

    /// By hand, and `infer_seqlen` of LLaMA-Factory's own tests.
    @Test(arguments: [
        ((3000, 2000, 1000), (600, 400)), ((2000, 3000, 1000), (400, 600)), ((1000, 100, 1000), (900, 100)),
        ((100, 1000, 1000), (100, 900)), ((100, 500, 1000), (100, 500)), ((500, 100, 1000), (500, 100)),
        ((5, 5, 100), (5, 5)), ((0, 7, 4), (0, 4)), ((7, 0, 4), (4, 0)), ((3, 3, 1), (1, 0)),
    ])
    func lengthsAreShared(given: (Int, Int, Int), expected: (Int, Int)) {
        let lengths = sharedLengths(source: given.0, target: given.1, cutoff: given.2)
        #expect(lengths == expected)
    }

    /// By hand: 8 alone; 5 and 4; 3, 3 and 2 (the later 3 first).
    @Test func knapsacksTakeTheLongestThatFits() {
        #expect(greedyKnapsacks([3, 8, 5, 3, 4, 2], capacity: 9) == [[1], [2, 4], [3, 0, 5]])
        #expect(greedyKnapsacks([], capacity: 9).isEmpty)
        #expect(greedyKnapsacks([10, 3], capacity: 9) == [[1]])
    }

    @Test func threadsKeepTheOrder() throws {
        #expect(try parallelMap(1000, threads: 4) { $0 * 2 } == (0..<1000).map { $0 * 2 })
        let error = #expect(throws: Failed.self) {
            try parallelMap(1000, threads: 4) { i in if i % 300 == 299 { throw Failed(at: i) } }
        }
        #expect(error?.at == 299, "the first failure is reported whichever thread is faster")
    }

    struct Failed: Error { var at: Int }
}
