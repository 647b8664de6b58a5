import Foundation
public import LFConfig
import LFData
import LFDiagnostics
public import LFJSON
import LFStream
import LFTemplate
import LFTokenizer
import LFTrainer

/// What a configuration will learn from: its first examples with the learned tokens marked, and the sums of its data.
public struct DatasetPreview {
    private let config: ResolvedConfig
    private let setup: TemplateSetup
    private let additionWarnings: [String]
    /// Where `cutoff_len` follows the model.
    private let positionNote: String?
    private let data: DatasetModule
    /// Of a stream, what its first batch of rows becomes.
    private let streamed: [Example]

    /// Reads the datasets as a training run would; loads no model.
    ///
    /// - Throws: `UserError` as `runTraining` does for models' folders, templates and data.
    public init(_ config: ResolvedConfig) throws {
        var config = config
        let folder = try localFolder(config.model.modelNameOrPath, key: "model_name_or_path", config.model)
        try makeAll(
            { if let name = config.data.template { try Template.check(name: name) } },
            { if !hasTokenizedData(config.data) { try checkDatasetNames(config) } })
        // Data can be looked at before all models are there.
        let limit = try? ModelLoader(config: config).positionLimit()
        positionNote = try limit.flatMap { try config.fit(positions: $0) }
        self.config = config
        let additions = try TokenAdditions(config.model, folder: folder)
        additionWarnings = additions.warnings
        setup = try TemplateSetup(
            config.data, tokenizer: additions.tokenizer, model: config.model.modelNameOrPath,
            rendersConversations: config.finetuning.stage != .pt)
        data = try loadDatasets(
            config: config, tokenizer: setup.tokenizer, template: setup.template, tokenizerFolder: folder,
            cache: DatasetCache.standard(environment: ProcessInfo.processInfo.environment))
        streamed = try data.stream?.firstExamples() ?? []
    }

    /// The sets by name, training first.
    private var sets: [(name: String, examples: [Example])] {
        (data.train.map { [("training", $0)] } ?? [])
            + (streamed.isEmpty ? [] : [("the stream's first \(streamed.count) training", streamed)])
            + data.eval.map { ($0.name.map { "evaluation of \($0)" } ?? "evaluation", $0.examples) }
    }

    /// What a user should look at: dropped rows with their reasons, and what speaks against the template.
    public var warnings: [String] {
        config.warnings + [positionNote].compactMap { $0 } + additionWarnings + setup.warnings + data.warnings
    }

    /// The first examples of the training set, or else of the evaluation set, with upstream's column names.
    public func examples(_ count: Int) -> [JSONValue] {
        let packs = config.data.packing && config.finetuning.stage == .sft
        let filling = packs ? setup.tokenizer.padID.map { (config.data.cutoffLen + 1, $0) } : nil
        return (sets.first?.examples ?? []).prefix(count).map {
            $0.json(showsLabels: config.finetuning.stage != .pt, fillsUpTo: filling)
        }
    }

    // MARK: Pieces

    /// A named sequence of an example as texts that are learned or not.
    struct MarkedSequence {
        var title: String
        var tokenCount: Int
        var learnedCount: Int
        var runs: [(isLearned: Bool, text: String)]
    }

    func markedSequences(of example: Example) -> [MarkedSequence] {
        let titles: [String] =
            switch example {
            case .supervised(let sequences):
                sequences.count == 1
                    ? [""] : sequences.indices.map { "sequence \($0 + 1) of \(sequences.count)" }
            case .pairwise: ["chosen", "rejected"]
            case .feedback(_, _, let isDesirable):
                [isDesirable ? "desirable answer" : "undesirable answer", "unrelated answer"]
            case .prompted: ["prompt, and the answer to compare with"]
            }
        return zip(titles, example.sequences).map { title, sequence in
            MarkedSequence(
                title: title, tokenCount: sequence.inputIDs.count,
                learnedCount: sequence.labels.count { $0 != ignoreIndex },
                runs: sequence.learnedRuns.map {
                    ($0.isLearned, setup.tokenizer.decode($0.ids, skipSpecialTokens: false))
                })
        }
    }

    /// Sentences about one set, and its histogram's lines.
    struct Summary {
        var title: String
        var facts: [String]
        var histogram: [(label: String, count: Int)]
    }

    func summaries() -> [Summary] {
        sets.map { name, examples in
            let statistics = DatasetStatistics(examples)
            let share = 100 * Double(statistics.learnedCount) / Double(max(1, statistics.tokenCount))
            let facts = [
                "\(statistics.exampleCount) examples, \(statistics.tokenCount) tokens, \(statistics.learnedCount) of them learned (\(rounded(share)) %)",
                "lengths: shortest \(statistics.lengths.first ?? 0), median \(statistics.quantile(0.5)), 95 % below \(statistics.quantile(0.95)), longest \(statistics.lengths.last ?? 0)",
            ]
            let bins = statistics.histogram(bins: 16)
            return Summary(
                title: name, facts: facts,
                histogram: bins.map { ("\($0.range.lowerBound)–\($0.range.upperBound)", $0.count) })
        }
    }

    /// Steps and tokens of the run; nil when nothing is trained.
    var planSentence: String? {
        guard config.training.doTrain else { return nil }
        if let stream = data.stream {
            let plan = TrainingPlan(
                config.training, exampleCount: nil, processes: config.training.processCount)
            let batch = plan.examplesPerStep
            return
                "the run: \(plan.totalSteps) steps of \(batch) examples, streamed from \(stream.byteCount) bytes of data"
        }
        guard let train = data.train else { return nil }
        let plan = TrainingPlan(
            config.training, exampleCount: train.count, processes: config.training.processCount)
        let batch = plan.examplesPerStep
        let perEpoch = Double(train.reduce(0) { $0 + $1.tokenCount })
        let tokens = perEpoch * Double(plan.totalSteps) / Double(plan.stepsPerEpoch)
        return
            "the run: \(plan.totalSteps) steps of \(batch) examples (\(plan.stepsPerEpoch) an epoch), about \(Int(tokens)) tokens in all"
    }

    private func rounded(_ value: Double) -> String { String((value * 10).rounded() / 10) }
}

// MARK: - Text

extension DatasetPreview {
    /// The preview for a terminal, or for a file.
    ///
    /// - Parameter usesColor: Learned text is green; else it stands between `⟦` and `⟧`.
    public func text(examples count: Int, usesColor: Bool) -> [String] {
        func learned(_ text: String) -> String {
            guard usesColor else { return "⟦\(text)⟧" }
            // Each line by itself, so that a pager keeps the colour.
            return text.split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.isEmpty ? "" : "\u{1B}[32m\($0)\u{1B}[0m" }.joined(separator: "\n")
        }
        func heading(_ text: String) -> String { usesColor ? "\u{1B}[1m\(text)\u{1B}[0m" : "== \(text) ==" }
        var lines = [
            usesColor ? "Green text is learned." : "Text between ⟦ and ⟧ is learned.", "",
        ]
        for (index, example) in (sets.first?.examples ?? []).prefix(count).enumerated() {
            for sequence in markedSequences(of: example) {
                let title = sequence.title.isEmpty ? "" : ", \(sequence.title)"
                lines.append(
                    heading(
                        "\(sets[0].name) example \(index + 1)\(title): \(sequence.tokenCount) tokens, \(sequence.learnedCount) learned"
                    ))
                lines.append(
                    sequence.runs.map { $0.isLearned ? learned($0.text) : $0.text }.joined())
                lines.append("")
            }
        }
        for summary in summaries() {
            lines.append(heading(summary.title))
            lines += summary.facts
            let most = summary.histogram.map(\.count).max() ?? 1
            let width = summary.histogram.map(\.label.count).max() ?? 0
            for bin in summary.histogram {
                let bar = String(repeating: "█", count: (bin.count * 40 + most - 1) / max(1, most))
                let label = String(repeating: " ", count: width - bin.label.count) + bin.label
                lines.append("  \(label) \(bar)\(bar.isEmpty ? "" : " ")\(bin.count)")
            }
            lines.append("")
        }
        if let plan = planSentence { lines.append(plan) }
        return lines
    }

    /// The preview as one page that needs no other file.
    public func html(examples count: Int) -> String {
        func escaped(_ text: String) -> String {
            var result = ""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "&": result += "&amp;"
                case "<": result += "&lt;"
                case ">": result += "&gt;"
                case "\"": result += "&quot;"
                // Characters that no page may hold.
                case "\u{0}"..."\u{8}", "\u{B}", "\u{C}", "\u{E}"..."\u{1F}", "\u{7F}": result += "\u{FFFD}"
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result
        }
        var body = "<h1>What is learned</h1><p>Marked text is learned.</p>"
        for warning in warnings { body += "<p class=\"warning\">\(escaped(warning))</p>" }
        for (index, example) in (sets.first?.examples ?? []).prefix(count).enumerated() {
            for sequence in markedSequences(of: example) {
                let title = sequence.title.isEmpty ? "" : ", \(sequence.title)"
                body +=
                    "<h2>\(escaped(sets[0].name)) example \(index + 1)\(escaped(title))</h2><p>\(sequence.tokenCount) tokens, \(sequence.learnedCount) learned</p><pre>"
                for run in sequence.runs {
                    body += run.isLearned ? "<mark>\(escaped(run.text))</mark>" : escaped(run.text)
                }
                body += "</pre>"
            }
        }
        for summary in summaries() {
            body += "<h2>\(escaped(summary.title))</h2>"
            for fact in summary.facts { body += "<p>\(escaped(fact))</p>" }
            let most = max(1, summary.histogram.map(\.count).max() ?? 1)
            body += "<table>"
            for bin in summary.histogram {
                body +=
                    "<tr><td>\(bin.label)</td><td><span style=\"width:\(bin.count * 100 / most)%\"></span></td><td>\(bin.count)</td></tr>"
            }
            body += "</table>"
        }
        if let plan = planSentence { body += "<p>\(escaped(plan))</p>" }
        let style = """
            body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
            pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.8rem;border-radius:.4rem}\
            mark{background:#bfe8c5}.warning{color:#8a4b00}td{padding:0 .5rem}td:nth-child(2){width:24rem}\
            td span{display:block;height:.9rem;background:#4b8bbe}
            """
        return
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>What is learned</title><style>\(style)</style><body>\(body)</body></html>\n"
    }
}
