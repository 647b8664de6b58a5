import LFConfig
import LFDiagnostics
import LFJSON
import LFOptimizers
import Testing

/// The recorded runs; the folder lies beside `Tests`.
private let runs =
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    + "/Fixtures/golden/train/runs"

private func expectEqual(
    _ actual: [Double], _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(actual.count == expected.count, sourceLocation: sourceLocation)
    for (step, (a, e)) in zip(actual, expected).enumerated() where !(abs(a - e) <= 1e-12 * abs(e)) {
        Issue.record("step \(step): \(a), expected \(e)", sourceLocation: sourceLocation)
    }
}

@Suite struct LRScheduleTests {
    typealias Option = TrainingArguments.SchedulerOption

    private func schedule(
        _ type: TrainingArguments.LRScheduler, _ options: [String: Option] = [:], rate: Double = 5e-4,
        warmup: Double = 3, steps: Int = 12
    ) throws -> LRSchedule {
        var arguments = TrainingArguments()
        arguments.lrSchedulerType = type
        arguments.lrSchedulerKwargs = options
        arguments.learningRate = rate
        arguments.warmupSteps = warmup
        return try LRSchedule(arguments, totalSteps: steps)
    }

    struct Run: CustomTestStringConvertible {
        let name: String
        let type: TrainingArguments.LRScheduler
        var warmup = 2.0
        var rate = 5e-4
        var options: [String: Option] = [:]
        var testDescription: String { name }
    }

    static let recorded = [
        Run(name: "sched_constant_with_warmup", type: .constantWithWarmup, warmup: 5),
        Run(name: "sched_cosine_with_min_lr", type: .cosineWithMinLR, options: ["min_lr_rate": .number(0.1)]),
        Run(
            name: "sched_cosine_with_restarts", type: .cosineWithRestarts, options: ["num_cycles": .number(2)]
        ),
        Run(name: "sched_inverse_sqrt", type: .inverseSqrt, warmup: 4),
        Run(name: "sched_linear", type: .linear),
        Run(name: "sched_polynomial", type: .polynomial),
        Run(name: "sched_warmup_stable_decay", type: .warmupStableDecay),
        Run(name: "sft_lora", type: .cosine),
        Run(name: "seed_sft_epochs", type: .cosine),
        Run(name: "sft_sgd", type: .cosine, rate: 0.05),
    ]

    /// `learning_rate` of a log line is the rate of that step, which came after `step - 1` others.
    @Test(arguments: recorded) func agreesWithARecordedRun(_ run: Run) throws {
        let state = try JSONValue.read(path: "\(runs)/\(run.name)/trainer_state.json")
        let steps = try #require(state["max_steps"]?.int)
        let lines = try #require(state["log_history"]?.array).filter { $0["learning_rate"] != nil }
        #expect(lines.count == steps)
        let schedule = try schedule(
            run.type, run.options, rate: run.rate, warmup: run.warmup, steps: steps)
        expectEqual(
            lines.compactMap { $0["step"]?.int }.map { schedule.learningRate(at: $0 - 1) },
            lines.compactMap { $0["learning_rate"]?.double })
    }

    struct Sample: CustomTestStringConvertible {
        let type: TrainingArguments.LRScheduler
        var options: [String: Option] = [:]
        let rates: [Double]
        var testDescription: String { "\(type) \(options)" }
    }

    /// transformers 5.5.4, `get_scheduler(type, SGD(lr=5e-4), 3, 12, options)`: `get_last_lr()` before each of 12 steps.
    static let samples = [
        Sample(
            type: .cosineWithMinLR, options: ["min_lr": .number(5e-5)],
            rates: [
                0.0, 0.00016666666666666666, 0.0003333333333333333, 0.0005, 0.00048643083967682936,
                0.00044735999970177, 0.00038750000000000004, 0.00031407083997505935, 0.00023592916002494068,
                0.00016250000000000007, 0.00010264000029822998, 6.356916032317063e-05,
            ]),
        Sample(
            type: .cosineWarmupWithMinLR, options: ["min_lr_rate": .number(0.1)],
            rates: [
                0.00016666666666666666, 0.0003333333333333333, 0.0005, 0.00048643083967682936,
                0.00044735999970177, 0.00038750000000000004, 0.00031407083997505935, 0.00023592916002494068,
                0.00016250000000000007, 0.00010264000029822998, 6.356916032317063e-05, 5e-05,
            ]),
        Sample(
            type: .cosineWarmupWithMinLR, options: ["min_lr": .number(1e-5), "warmup_lr_rate": .number(0.2)],
            rates: [
                0.0001, 0.00030000000000000003, 0.0005, 0.0004852246920925475, 0.0004426808885641496,
                0.0003775, 0.000297543803528398, 0.0002124561964716021, 0.00013250000000000008,
                6.731911143585041e-05, 2.4775307907452464e-05, 1e-05,
            ]),
        Sample(
            type: .cosine, options: ["num_cycles": .number(1.5)],
            rates: [
                0.0, 0.00016666666666666666, 0.0003333333333333333, 0.0005, 0.000375, 0.00012500000000000006,
                0.0, 0.0001249999999999999, 0.000375, 0.0005, 0.0003750000000000001, 0.0001250000000000002,
            ]),
        Sample(
            type: .polynomial, options: ["lr_end": .number(1e-5), "power": .number(2)],
            rates: [
                0.0, 0.00016666666666666666, 0.0003333333333333333, 0.0005, 0.0003971604938271605,
                0.00030641975308641977, 0.0002277777777777778, 0.0001612345679012346, 0.00010679012345679012,
                6.444444444444446e-05, 3.419753086419753e-05, 1.604938271604939e-05,
            ]),
        Sample(
            type: .inverseSqrt, options: ["timescale": .number(7)],
            rates: [
                0.0, 0.00016666666666666666, 0.0003333333333333333, 0.0005, 0.00046770717334674265,
                0.00044095855184409844, 0.00041833001326703777, 0.0003988620176087329, 0.0003818813079129867,
                0.00036689969285267146, 0.00035355339059327376, 0.00034156502553198657,
            ]),
        Sample(type: .constant, rates: [Double](repeating: 5e-4, count: 12)),
        Sample(
            type: .warmupStableDecay,
            options: [
                "num_stable_steps": .number(2), "num_decay_steps": .number(4), "warmup_type": .text("cosine"),
                "decay_type": .text("linear"), "min_lr_ratio": .number(0.1),
            ],
            rates: [
                5e-05, 0.0001625, 0.0003875, 0.0005, 0.0005, 0.0005, 0.00038750000000000004, 0.000275,
                0.00016250000000000002, 5e-05, 5e-05, 5e-05,
            ]),
        Sample(
            type: .warmupStableDecay,
            options: [
                "num_stable_steps": .number(2), "num_decay_steps": .number(7), "warmup_type": .text("1-sqrt"),
                "decay_type": .text("1-sqrt"),
            ],
            rates: [
                0.0, 9.175170953613698e-05, 0.00021132486540518708, 0.0005, 0.0005, 0.0005,
                0.0003110177634953864, 0.00023273875808757562, 0.00017267316464601146, 0.0001220355269907728,
                7.742287263574172e-05, 3.708995011372429e-05,
            ]),
    ]

    @Test(arguments: samples) func agreesWithTransformers(_ sample: Sample) throws {
        let schedule = try schedule(sample.type, sample.options)
        expectEqual((0..<12).map { schedule.learningRate(at: $0) }, sample.rates)
    }

    /// `warmup_ratio: 1.0` is all steps, `warmup_steps: 1` one.
    @Test func aRatioOfOneWarmsAllSteps() throws {
        for type in TrainingArguments.LRScheduler.allCases where type != .reduceLROnPlateau {
            var arguments = TrainingArguments()
            arguments.lrSchedulerType = type
            arguments.learningRate = 1e-3
            if [.cosineWithMinLR, .cosineWarmupWithMinLR].contains(type) {
                arguments.lrSchedulerKwargs = ["min_lr": .number(1e-6)]
            }
            arguments.warmupRatio = 1
            let schedule = try LRSchedule(arguments, totalSteps: 7)
            #expect(schedule.warmupSteps == 7)
            guard ![.constant, .cosineWarmupWithMinLR].contains(type) else { continue }
            for step in 0..<7 {
                #expect(abs(schedule.factor(at: step) - Double(step) / 7) < 1e-12, "\(type), step \(step)")
            }
        }
    }

    @Test func warmupBelowOneIsAShareRoundedUp() {
        #expect(LRSchedule.warmupSteps(0.1, of: 15) == 2)
        #expect(LRSchedule.warmupSteps(0, of: 15) == 0)
        #expect(LRSchedule.warmupSteps(1, of: 15) == 1)
        #expect(LRSchedule.warmupSteps(2.9, of: 15) == 2)
        #expect(LRSchedule.warmupSteps(1e300, of: 15) == 1_000_000_000_000_000)
    }

    @Test(arguments: TrainingArguments.LRScheduler.allCases.filter { $0 != .reduceLROnPlateau })
    func staysFiniteInShortRuns(_ type: TrainingArguments.LRScheduler) throws {
        let options: [String: Option] =
            [.cosineWithMinLR, .cosineWarmupWithMinLR].contains(type) ? ["min_lr": .number(1e-6)] : [:]
        for rate in [0, 1e-3] {
            for (warmup, steps) in [(0.0, 0), (0, 1), (5, 2), (1, 1), (3, 3)] {
                let schedule = try schedule(type, options, rate: rate, warmup: warmup, steps: steps)
                for step in 0...steps + 1 {
                    let value = schedule.learningRate(at: step)
                    #expect(value >= 0 && value <= 1e-3 * (1 + 1e-12), "\(warmup) of \(steps), step \(step)")
                }
            }
        }
    }

    @Test func aSettingOfAnotherTypeIsNamed() throws {
        let error = try #require(throws: UserError.self) {
            try schedule(.cosine, ["num_cycles": .text("two")])
        }
        #expect(error.problem == #"num_cycles in lr_scheduler_kwargs must be a number, got "two"."#)
        #expect(error.code == .configuration)
        #expect(throws: UserError.self) { try schedule(.warmupStableDecay, ["decay_type": .text("square")]) }
        #expect(throws: UserError.self) { try schedule(.warmupStableDecay, ["num_decay_steps": .number(-1)]) }
        #expect(throws: UserError.self) { try schedule(.cosineWithMinLR) }
        #expect(throws: UserError.self) { try schedule(.reduceLROnPlateau) }
    }
}
