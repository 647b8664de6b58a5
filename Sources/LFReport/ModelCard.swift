import Foundation
public import LFConfig
public import LFDiagnostics
import LFJSON

/// The `README.md` that introduces a trained model, in the layout of Hugging Face's generated cards.
public struct ModelCard: Sendable, Equatable {
    public static let fileName = "README.md"

    /// One line of a list: what it is and its value.
    public struct Fact: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What the card calls the model: the output folder's own name.
    public var name: String
    /// A hub name or a path.
    public var baseModel: String
    /// Whether the folder holds an adapter, which needs the base model, or a model of its own.
    public var isAdapter: Bool
    public var tags: [String]
    public var datasets: [String]
    public var hyperparameters: [Fact]
    public var history: [LogEntry]
    public var frameworkVersions: [Fact]

    /// Gathers the card of a run.
    ///
    /// - Parameters:
    ///   - history: The run's log; held-out results and the table of training results come from it.
    ///   - frameworkVersions: What the run was made with, such as libtorch and its version.
    public init(config: ResolvedConfig, history: [LogEntry], frameworkVersions: [Fact]) {
        let path = config.training.outputDir
        let folder = path.split(separator: "/").last.map(String.init) ?? path
        name = folder.split(whereSeparator: \.isNewline).joined(separator: " ")
        baseModel = config.model.modelNameOrPath
        isAdapter = config.finetuning.type == .lora || config.finetuning.type == .oft
        let type = config.finetuning.type.rawValue
        tags =
            isAdapter
            ? ["base_model:adapter:" + baseModel, "llama-factory", type, "transformers"].sorted()
            : ["llama-factory", type, "generated_from_trainer"]
        datasets = config.data.dataset
        hyperparameters = Self.hyperparameters(of: config)
        self.history = history
        self.frameworkVersions = frameworkVersions
    }

    /// Writes `README.md` into `folder`.
    ///
    /// - Throws: `UserError` naming the file.
    public func save(in folder: String) throws(UserError) {
        try writeFileAtomically(markdown, to: folder + "/" + Self.fileName)
    }

    /// The whole card: a YAML head for model hubs, then the text.
    public var markdown: String {
        var sections = [head, "# \(name)\n", introduction]
        sections.append("## Training procedure\n\n### Hyperparameters\n\n" + list(hyperparameters))
        let rows = resultRows
        if !rows.isEmpty { sections.append("### Training results\n\n" + table(rows)) }
        if !frameworkVersions.isEmpty {
            sections.append("### Framework versions\n\n" + list(frameworkVersions))
        }
        return sections.joined(separator: "\n")
    }

    private var head: String {
        var lines = [
            "---", "library_name: \(isAdapter ? "peft" : "transformers")", "license: other",
            "base_model: \(yamlScalar(baseModel))", "tags:",
        ]
        lines += tags.map { "- " + yamlScalar($0) }
        if evaluationResults.contains(where: { $0.name == "Accuracy" }) {
            lines += ["metrics:", "- accuracy"]
        }
        if isAdapter { lines.append("pipeline_tag: text-generation") }
        lines += ["model-index:", "- name: \(yamlScalar(name))", "  results: []", "---", ""]
        return lines.joined(separator: "\n")
    }

    private var introduction: String {
        let kind = isAdapter ? "An adapter for" : "A fine-tuned version of"
        var text = "\(kind) \(baseModelLink)"
        switch datasets.count {
        case 0: text += ".\n"
        case 1: text += ", trained on the dataset \(datasets[0]).\n"
        default:
            let others = datasets.dropLast().joined(separator: ", ")
            text += ", trained on the datasets \(others) and \(datasets[datasets.count - 1]).\n"
        }
        text +=
            "LlamaFactory wrote this card from the run's records; check it and add what readers should know.\n"
        let results = evaluationResults
        if !results.isEmpty { text += "\nOn held-out data it reaches:\n\n" + list(results) }
        return text
    }

    /// A hub name (`owner/model`) becomes a link; a path is shown as it is.
    private var baseModelLink: String {
        let parts = baseModel.split(separator: "/", omittingEmptySubsequences: false)
        let isHubName =
            parts.count == 2 && parts.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") && !$0.hasPrefix("~") }
            && !FileManager.default.fileExists(atPath: baseModel)
        return isHubName ? "[\(baseModel)](https://huggingface.co/\(baseModel))" : "`\(baseModel)`"
    }

    private func list(_ facts: [Fact]) -> String {
        facts.map { "- \($0.name): \($0.value)\n" }.joined()
    }
}

// MARK: - What the run was made with

extension ModelCard {
    private static func hyperparameters(of config: ResolvedConfig) -> [Fact] {
        let training = config.training
        var facts = [
            Fact("learning_rate", JSONValue.literal(training.learningRate)),
            Fact("train_batch_size", "\(training.perDeviceTrainBatchSize)"),
            Fact("eval_batch_size", "\(training.perDeviceEvalBatchSize)"),
            Fact("seed", "\(training.seed)"),
        ]
        if training.gradientAccumulationSteps > 1 {
            let (total, _) = training.perDeviceTrainBatchSize
                .multipliedReportingOverflow(by: training.gradientAccumulationSteps)
            facts.append(Fact("gradient_accumulation_steps", "\(training.gradientAccumulationSteps)"))
            facts.append(Fact("total_train_batch_size", "\(total)"))
        }
        var optimizer = training.optim.rawValue
        if training.optim != .sgd {
            let betas = "\(JSONValue.literal(training.adamBeta1)),\(JSONValue.literal(training.adamBeta2))"
            optimizer += " with betas=(\(betas)) and epsilon=\(JSONValue.literal(training.adamEpsilon))"
        }
        facts.append(Fact("optimizer", optimizer))
        facts.append(Fact("lr_scheduler_type", training.lrSchedulerType.rawValue))
        if training.warmupSteps != 0 {
            facts.append(Fact("lr_scheduler_warmup_steps", shortest(training.warmupSteps)))
        }
        if training.maxSteps > 0 {
            facts.append(Fact("training_steps", "\(training.maxSteps)"))
        } else {
            facts.append(Fact("num_epochs", JSONValue.literal(training.numTrainEpochs)))
        }
        if training.fp16 { facts.append(Fact("mixed_precision_training", "fp16")) }
        if training.bf16 { facts.append(Fact("mixed_precision_training", "bf16")) }
        return facts + methodParameters(of: config.finetuning)
    }

    private static func methodParameters(of finetuning: FinetuningArguments) -> [Fact] {
        var facts = [Fact("stage", finetuning.stage.rawValue)]
        if finetuning.type == .lora {
            facts.append(Fact("lora_rank", "\(finetuning.lora.rank)"))
            facts.append(Fact("lora_alpha", "\(finetuning.lora.alpha)"))
            facts.append(Fact("lora_dropout", JSONValue.literal(finetuning.lora.dropout)))
            facts.append(Fact("lora_target", finetuning.lora.target.joined(separator: ", ")))
        }
        if finetuning.stage == .dpo {
            facts.append(Fact("pref_loss", finetuning.preference.loss.rawValue))
            facts.append(Fact("pref_beta", JSONValue.literal(finetuning.preference.beta)))
        }
        return facts
    }

    private static func shortest(_ value: Double) -> String {
        Int(exactly: value).map(String.init) ?? JSONValue.literal(value)
    }
}

// MARK: - What it reached

extension ModelCard {
    /// Numbers of an evaluation that say how long it took or when it was, not how good the model is.
    private static let bookkeeping: Set = [
        "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch", "step", "total_flos",
    ]

    /// The last evaluation's numbers.
    private var evaluationResults: [Fact] {
        guard let last = history.last(where: { $0["eval_loss"] != nil }) else { return [] }
        return last.members.filter { !Self.bookkeeping.contains($0.key) }
            .map { Fact(capitalizedWords(of: $0.key), readable($0.value)) }
    }

    /// One row per evaluation while the model was trained.
    private var resultRows: [[Fact]] {
        let end = history.firstIndex { $0["train_loss"] != nil } ?? history.count
        var trainingLoss = "No log"
        var rows: [[Fact]] = []
        for entry in history[..<end] {
            if let loss = entry.members["loss"] { trainingLoss = readable(loss) }
            guard entry["eval_loss"] != nil else { continue }
            var row = [Fact("Training Loss", trainingLoss)]
            row.append(Fact("Epoch", entry.members["epoch"].map(readable) ?? ""))
            row.append(Fact("Step", entry.members["step"].map(readable) ?? ""))
            for (key, value) in entry.members where !Self.bookkeeping.contains(key) {
                let title = key == "eval_loss" ? "Validation Loss" : capitalizedWords(of: key)
                row.append(Fact(title, readable(value)))
            }
            rows.append(row)
        }
        return rows
    }

    /// `eval_rewards/chosen` is shown as `Rewards/chosen`.
    private func capitalizedWords(of key: String) -> String {
        let bare = key.hasPrefix("eval_") ? String(key.dropFirst(5)) : key
        return bare.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }
            .joined(separator: " ")
    }

    /// Four decimals where there are more.
    private func readable(_ value: JSONValue) -> String {
        let text = pythonText(value)
        guard case .double(let number) = value, number.isFinite, let point = text.firstIndex(of: "."),
            text[point...].count > 5
        else { return text }
        return String(format: "%.4f", number)
    }

    private func table(_ rows: [[Fact]]) -> String {
        var titles: [String] = []
        for row in rows { for fact in row where !titles.contains(fact.name) { titles.append(fact.name) } }
        let cells = rows.map { row in titles.map { title in row.first { $0.name == title }?.value ?? "" } }
        let widths = titles.indices.map { column in
            max(titles[column].count, cells.map { $0[column].count }.max() ?? 0)
        }
        func line(_ values: [String]) -> String {
            zip(values, widths).map { "| " + $0 + String(repeating: " ", count: $1 - $0.count) + " " }
                .joined() + "|\n"
        }
        let rule = widths.map { "|:" + String(repeating: "-", count: $0) + ":" }.joined() + "|\n"
        return line(titles) + rule + cells.map(line).joined()
    }
}

/// A string as a YAML scalar: bare where that cannot be read as anything else, quoted otherwise.
func yamlScalar(_ text: String) -> String {
    let words: Set = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"]
    let isPlain = text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "/"), UInt8(ascii: ":"):
            true
        default: false
        }
    }
    // Numbers, dates and times start with a digit, a sign or a point; "-" and ":" mean something at the ends.
    let startsSafely = text.utf8.first.map { first in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first | 0x20) || first == UInt8(ascii: "/")
            || first == UInt8(ascii: "_")
    }
    if isPlain, startsSafely == true, !text.hasSuffix(":"), !words.contains(text.lowercased()) { return text }
    if text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) {
        return JSONValue.literal(text, ensureASCII: false)
    }
    return "'" + text.replacingOccurrences(of: "'", with: "''") + "'"
}
