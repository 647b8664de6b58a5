/// What the command `eval` asks a model (upstream `hparams/evaluation_args.py`).
public struct EvaluationArguments: Sendable, Equatable {
    /// A benchmark of questions with four answers each.
    public enum Benchmark: String, Sendable, CaseIterable {
        case mmlu, ceval, cmmlu

        /// The parts that it has; `train` is the one that examples come from.
        package var splits: [Split] { self == .cmmlu ? [.test, .train] : [.test, .validation, .train] }
    }

    public enum Split: String, Sendable {
        case train, validation, test
    }

    /// The language of what stands around the questions.
    public enum Language: String, Sendable {
        case english = "en"
        case chinese = "zh"
    }

    public var benchmark = Benchmark.mmlu
    public var split = Split.test
    /// The folder that holds a folder for each benchmark.
    public var taskDirectory = "evaluation"
    /// Questions that are answered side by side.
    public var batchSize = 4
    public var language = Language.english
    /// Examples before each question.
    public var exampleCount = 5
    /// The folder that the answers are written to, which must not exist.
    public var saveDirectory: String?

    public init() {}

    /// All values that `task` may have.
    package static var taskNames: [String] {
        Benchmark.allCases.flatMap { benchmark in
            benchmark.splits.map { "\(benchmark.rawValue)_\($0.rawValue)" }
        }
    }

    init(_ arguments: ArgumentValues) {
        self.init()
        let parts = arguments.string("task").split(separator: "_").map(String.init)
        if parts.count == 2 {
            benchmark = Benchmark(rawValue: parts[0]) ?? .mmlu
            split = Split(rawValue: parts[1]) ?? .test
        }
        taskDirectory = expandingHome(arguments.string("task_dir"))
        batchSize = arguments.int("batch_size")
        language = arguments.choice("lang", default: .english)
        exampleCount = arguments.int("n_shot")
        saveDirectory = arguments.optionalString("save_dir").map(expandingHome)
    }
}

/// What `eval` cannot be asked for.
let benchmarkRules: [CombinationRule] = [
    CombinationRule(
        "task", message: "Please provide `task`.",
        remedy: "Name a benchmark and its split, such as `task: mmlu_test`."
    ) { $0.isNull("task") },
    CombinationRule(
        "task", naming: { "`task: \($0.string("task"))` is not a benchmark that is known." },
        remedy: "Use \(spokenList(EvaluationArguments.taskNames))."
    ) { !$0.isNull("task") && !EvaluationArguments.taskNames.contains($0.string("task")) },
    CombinationRule(
        "stage", naming: { "A model of `stage: \($0.string("stage"))` does not support `eval`." },
        remedy: "Remove `stage`, or set `stage: sft`."
    ) { $0.string("stage") != "sft" },
    CombinationRule(
        "infer_backend",
        message: "vLLM/SGLang backend is only available for API, CLI and Web.",
        remedy: "Remove `infer_backend`."
    ) { $0.string("infer_backend") != "huggingface" },
]
