import Glibc
public import LFConfig
public import LFDiagnostics

/// The learning rate as a function of the steps taken, as transformers 5.5 computes it (`get_scheduler`).
public struct LRSchedule: Sendable, Equatable {
    public let baseLearningRate: Double
    /// Steps of rising learning rate.
    public let warmupSteps: Int
    public let totalSteps: Int
    private let course: Course

    /// What happens after the warm-up, with its settings.
    private enum Course: Equatable {
        case constant
        case constantWithWarmup
        case linear
        case cosine(cycles: Double, floor: Double)
        /// The form of `cosine_warmup_with_min_lr`, which counts from the end of a step and may start above 0.
        case cosineFromFirstStep(cycles: Double, floor: Double, start: Double?)
        case cosineWithRestarts(cycles: Double)
        case polynomial(end: Double, power: Double)
        case inverseSqrt(timescale: Double)
        case stableThenDecay(StableDecay)
    }

    /// The settings of `warmup_stable_decay`.
    private struct StableDecay: Equatable {
        enum Curve: String { case linear, cosine, oneMinusSqrt = "1-sqrt" }
        var stableSteps: Int
        var decaySteps: Int
        var warmup: Curve
        var decay: Curve
        var floor: Double
        var cycles: Double
    }

    /// The schedule that `lr_scheduler_type`, `lr_scheduler_kwargs` and `warmup_steps` ask for.
    ///
    /// - Parameter totalSteps: Optimizer steps of the whole run.
    /// - Throws: `UserError` when a setting cannot be used; a resolved configuration has none of that kind.
    public init(_ arguments: TrainingArguments, totalSteps: Int) throws(UserError) {
        let options = Options(arguments.lrSchedulerKwargs)
        let rate = arguments.learningRate
        let warmup =
            if let ratio = arguments.warmupRatio {
                Int((Double(totalSteps) * ratio).rounded(.up))
            } else {
                Self.warmupSteps(arguments.warmupSteps, of: totalSteps)
            }
        baseLearningRate = rate
        warmupSteps = warmup
        self.totalSteps = totalSteps
        func floor() throws(UserError) -> Double {
            if let rate = try options.number("min_lr_rate") { return rate }
            guard let minimum = try options.number("min_lr") else {
                throw UserError(
                    .configuration,
                    "lr_scheduler_type \(arguments.lrSchedulerType.rawValue) needs a lowest learning rate.",
                    remedy: "Set min_lr_rate or min_lr in lr_scheduler_kwargs.")
            }
            return rate > 0 ? minimum / rate : 0
        }
        switch arguments.lrSchedulerType {
        case .constant: course = .constant
        case .constantWithWarmup: course = .constantWithWarmup
        case .linear: course = .linear
        case .cosine: course = .cosine(cycles: try options.number("num_cycles") ?? 0.5, floor: 0)
        case .cosineWithMinLR:
            course = .cosine(cycles: try options.number("num_cycles") ?? 0.5, floor: try floor())
        case .cosineWarmupWithMinLR:
            course = .cosineFromFirstStep(
                cycles: try options.number("num_cycles") ?? 0.5, floor: try floor(),
                start: try options.number("warmup_lr_rate"))
        case .cosineWithRestarts:
            course = .cosineWithRestarts(cycles: try options.number("num_cycles") ?? 1)
        case .polynomial:
            course = .polynomial(
                end: try options.number("lr_end") ?? 1e-7, power: try options.number("power") ?? 1)
        case .inverseSqrt:
            let timescale = try options.number("timescale")
            course = .inverseSqrt(timescale: timescale ?? (warmup > 0 ? Double(warmup) : 10_000))
        case .warmupStableDecay:
            // The split is upstream's own: a third of what the warm-up leaves is stable.
            let rest = totalSteps - warmup
            let stable = Int((Double(rest) / 3).rounded(.down))
            course = .stableThenDecay(
                StableDecay(
                    stableSteps: try options.count("num_stable_steps") ?? stable,
                    decaySteps: try options.count("num_decay_steps") ?? (rest - stable),
                    warmup: try options.curve("warmup_type") ?? .linear,
                    decay: try options.curve("decay_type") ?? .cosine,
                    floor: try options.number("min_lr_ratio") ?? 0,
                    cycles: try options.number("num_cycles") ?? 0.5))
        case .reduceLROnPlateau:
            throw UserError(
                .configuration, "lr_scheduler_type reduce_lr_on_plateau is not supported.",
                remedy: "Choose another schedule, such as cosine.")
        }
    }

    /// Steps of warm-up: `setting` itself, or below 1 that share of all steps, rounded up.
    public static func warmupSteps(_ setting: Double, of totalSteps: Int) -> Int {
        Int(min(setting >= 1 ? setting : (Double(totalSteps) * setting).rounded(.up), 1e15))
    }

    /// The learning rate of the step that follows `step` completed ones.
    public func learningRate(at step: Int) -> Double {
        baseLearningRate == 0 ? 0 : baseLearningRate * factor(at: step)
    }

    /// What the base learning rate is multiplied by, after `step` completed steps.
    public func factor(at step: Int) -> Double {
        if case .constant = course { return 1 }
        if step < warmupSteps { return warmupFactor(at: step) }
        let rest = Double(max(1, totalSteps - warmupSteps))
        let progress = Double(step - warmupSteps) / rest
        switch course {
        case .constant, .constantWithWarmup:
            return 1
        case .linear:
            return max(0, Double(totalSteps - step) / rest)
        case .cosine(let cycles, let floor):
            return max(0, cosine(cycles, progress) * (1 - floor) + floor)
        case .cosineFromFirstStep(let cycles, let floor, _):
            let progress = (Double(step) - Double(warmupSteps) + 1) / rest
            return max(0, cosine(cycles, progress) * (1 - floor) + floor)
        case .cosineWithRestarts(let cycles):
            if progress >= 1 { return 0 }
            return max(
                0, 0.5 * (1 + cos(Double.pi * (cycles * progress).truncatingRemainder(dividingBy: 1))))
        case .polynomial(let end, let power):
            guard step < totalSteps else { return end / baseLearningRate }
            let remaining = 1 - Double(step - warmupSteps) / Double(totalSteps - warmupSteps)
            return ((baseLearningRate - end) * pow(remaining, power) + end) / baseLearningRate
        case .inverseSqrt(let timescale):
            return 1 / ((Double(step) + (timescale - Double(warmupSteps))) / timescale).squareRoot()
        case .stableThenDecay(let phases):
            let decayed = step - warmupSteps - phases.stableSteps
            if decayed < 0 { return 1 }
            guard decayed < phases.decaySteps else { return phases.floor }
            let progress = Double(decayed) / Double(max(1, phases.decaySteps))
            let factor =
                switch phases.decay {
                case .linear: 1 - progress
                case .cosine: cosine(phases.cycles, progress)
                case .oneMinusSqrt: 1 - progress.squareRoot()
                }
            return max(0, factor * (1 - phases.floor) + phases.floor)
        }
    }

    private func warmupFactor(at step: Int) -> Double {
        let progress = Double(step) / Double(max(1, warmupSteps))
        switch course {
        case .cosineFromFirstStep(_, _, let start):
            guard let start else { return (Double(step) + 1) / Double(warmupSteps) }
            return start + (1 - start) * Double(step) / Double(max(1, warmupSteps - 1))
        case .stableThenDecay(let phases):
            let factor =
                switch phases.warmup {
                case .linear: progress
                case .cosine: 0.5 * (1 - cos(Double.pi * progress))
                case .oneMinusSqrt: 1 - (1 - progress).squareRoot()
                }
            return max(0, factor * (1 - phases.floor) + phases.floor)
        default:
            return progress
        }
    }

    /// `cycles` waves of a cosine from 1, brought into 0 … 1.
    private func cosine(_ cycles: Double, _ progress: Double) -> Double {
        0.5 * (1 + cos(Double.pi * cycles * 2 * progress))
    }

    /// `lr_scheduler_kwargs` by type.
    private struct Options {
        let values: [String: TrainingArguments.SchedulerOption]

        init(_ values: [String: TrainingArguments.SchedulerOption]) { self.values = values }

        func number(_ name: String) throws(UserError) -> Double? {
            switch values[name] {
            case nil: return nil
            case .number(let value) where value.isFinite: return value
            case .number(let value): throw wrong(name, "a finite number", "\(value)")
            case .text(let text): throw wrong(name, "a number", "\"\(text)\"")
            }
        }

        func count(_ name: String) throws(UserError) -> Int? {
            guard let value = try number(name) else { return nil }
            guard value >= 0, value <= 1e15 else { throw wrong(name, "a number of steps", "\(value)") }
            return Int(value)
        }

        func curve(_ name: String) throws(UserError) -> StableDecay.Curve? {
            switch values[name] {
            case nil: return nil
            case .text(let text):
                guard let curve = StableDecay.Curve(rawValue: text) else {
                    throw wrong(name, "linear, cosine or 1-sqrt", "\"\(text)\"")
                }
                return curve
            case .number(let value): throw wrong(name, "linear, cosine or 1-sqrt", "\(value)")
            }
        }

        private func wrong(_ name: String, _ expected: String, _ found: String) -> UserError {
            UserError(
                .configuration, "\(name) in lr_scheduler_kwargs must be \(expected), got \(found).",
                remedy: "Correct it, or remove it to use the schedule's default.")
        }
    }
}
