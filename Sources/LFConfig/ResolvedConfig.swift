/// A validated configuration with every default filled in; nothing reads YAML or rewrites it afterwards.
public struct ResolvedConfig: Sendable, Equatable {
    public var model: ModelArguments
    public var data: DataArguments
    public var training: TrainingArguments
    public var finetuning: FinetuningArguments
    public var generating: GeneratingArguments
    public var export: ExportArguments
    public var evaluation: EvaluationArguments
    /// The command that it is for.
    public var use: ConfigurationUse
    /// The file the values came from, for messages; nil when given on the command line or by code.
    public var source: String?
    /// Every argument by its YAML name in table order, completed so that reading them again gives the same configuration.
    public var values: [(name: String, value: ArgumentValue)]
    /// Warnings of the validation rules, to be logged once.
    public var warnings: [String]
    /// Whether nobody has named `cutoff_len`, so that it may follow what a model can read.
    public var isCutoffDefault = false

    public static func == (a: Self, b: Self) -> Bool {
        a.model == b.model && a.data == b.data && a.training == b.training && a.finetuning == b.finetuning
            && a.generating == b.generating && a.export == b.export
            && a.evaluation == b.evaluation
    }
}

/// The value of one argument as written in YAML.
public enum ArgumentValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list([ArgumentValue])
    case mapping([(String, ArgumentValue)])

    public static func == (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let x), .bool(let y)): x == y
        case (.int(let x), .int(let y)): x == y
        case (.double(let x), .double(let y)): x == y
        case (.string(let x), .string(let y)): x == y
        case (.list(let x), .list(let y)): x == y
        case (.mapping(let x), .mapping(let y)): x.count == y.count && zip(x, y).allSatisfy { $0 == $1 }
        default: false
        }
    }
}
