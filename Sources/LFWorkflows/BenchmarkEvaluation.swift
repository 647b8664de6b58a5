import Foundation
public import LFConfig
import LFData
import LFDiagnostics
import LFGeneration
public import LFTemplate
import LFTokenizer
import Logging

/// Asks a model a benchmark's questions, prints its scores and writes its answers (upstream `eval/evaluator.py`).
///
/// The answer to a question is the likeliest of the letters A to D in the place of the next token. All files are read before the model is.
///
/// - Returns: False when Ctrl-C ended it; nothing is written then.
/// - Throws: `UserError` for whatever a person can mend.
public func evaluateBenchmark(_ config: ResolvedConfig, today: PromptDate = .today) throws -> Bool {
    let settings = config.evaluation
    let logger = Logger(label: "llamafactory.eval")
    let questions = try BenchmarkQuestions(config, logger)
    let created = try settings.saveDirectory.map(createNewFolder) ?? []
    do {
        var evaluation = try BenchmarkEvaluation(config, questions, today: today, logger)
        guard let scores = try evaluation.answers() else {
            created.forEach { rmdir($0) }
            return false
        }
        try report(scores, to: settings.saveDirectory, logger)
        return true
    } catch {
        // A folder with something in it stays.
        created.forEach { rmdir($0) }
        throw error
    }
}

/// Makes the folder for the results before the model is asked, so that hours of work have a place to go.
///
/// - Returns: The folders that were made, the innermost first.
private func createNewFolder(_ path: String) throws(UserError) -> [String] {
    guard !FileManager.default.fileExists(atPath: path) else {
        throw UserError(
            .configuration, "`save_dir` already exists: \(path).", remedy: "Use another one, or remove it.")
    }
    var created: [String] = []
    var folder = path
    while !folder.isEmpty, folder != "/", !FileManager.default.fileExists(atPath: folder) {
        created.append(folder)
        folder = parentDirectory(of: folder)
    }
    try createDirectories(at: path)
    return created
}

private func report(_ scores: BenchmarkScores, to directory: String?, _ logger: Logger) throws {
    for line in scores.table { Console.standard.writeLine(line) }
    if scores.hasSolutions {
        Console.standard.writeLine("")
        Console.standard.writeLine(scores.summary)
    } else {
        logger.info("The questions come without solutions: hand results.json in to have it scored.")
    }
    guard let directory else { return }
    try writeFileAtomically(scores.json, to: directory + "/results.json")
    if scores.hasSolutions { try writeFileAtomically(scores.summary, to: directory + "/results.log") }
    logger.info("The answers are saved in \(directory)")
}

/// All questions and examples of a benchmark's split.
private struct BenchmarkQuestions {
    struct Subject {
        var subject: BenchmarkSubject
        var path: String
        var examples: [BenchmarkQuestion]
        var questions: [BenchmarkQuestion]
    }

    var subjects: [Subject] = []
    var count: Int { subjects.reduce(0) { $0 + $1.questions.count } }

    init(_ config: ResolvedConfig, _ logger: Logger) throws {
        let settings = config.evaluation
        let folder = try BenchmarkFolder(settings.benchmark, in: settings.taskDirectory)
        var scarce: [String] = []
        for subject in folder.subjects {
            let examples = settings.exampleCount > 0 ? try folder.questions(of: subject, .train) : []
            if examples.count < settings.exampleCount { scarce.append(subject.key) }
            subjects.append(
                Subject(
                    subject: subject, path: folder.path(of: subject, settings.split), examples: examples,
                    questions: try folder.questions(of: subject, settings.split)))
        }
        guard let first = scarce.first else { return }
        logger.warning(
            "\(scarce.count) subjects have fewer examples than n_shot (\(settings.exampleCount)), \(first) for one: all that there are are shown."
        )
    }
}

/// A model that answers by letters.
private struct BenchmarkEvaluation {
    private let settings: EvaluationArguments
    private let questions: BenchmarkQuestions
    private let loaded: AnsweringModel
    private let engine: GenerationEngine
    private let options: GenerationOptions
    private let logger: Logger
    private var draw: ExampleDraw

    init(
        _ config: ResolvedConfig, _ questions: BenchmarkQuestions, today: PromptDate, _ logger: Logger
    ) throws {
        settings = config.evaluation
        self.questions = questions
        self.logger = logger
        loaded = try AnsweringModel(config, today: today, label: "llamafactory.eval")
        var limits = EngineLimits()
        limits.concurrentSequences = settings.batchSize
        engine = try GenerationEngine(loaded.model, limits: limits)
        var options = GenerationOptions()
        options.maxNewTokens = 1
        options.allowedTokens = try Self.letterTokens(loaded.format.tokenizer)
        self.options = options
        // Checked with the configuration.
        draw = ExampleDraw(seed: UInt32(truncatingIfNeeded: config.training.seed))
    }

    /// The tokens that stand for the letters, which the last token of each letter does (upstream `choice_inputs`).
    private static func letterTokens(_ tokenizer: Tokenizer) throws -> [Int32] {
        let ids = try BenchmarkQuestion.letters.compactMap { try tokenizer.encode($0).last }
        guard Set(ids).count == BenchmarkQuestion.letters.count else {
            throw UserError(
                .failedRun, "The tokenizer does not tell A, B, C and D apart.",
                remedy: "Evaluate a model whose tokenizer has a token for each of them.")
        }
        return ids
    }

    /// Answers all questions; nil when Ctrl-C ended it.
    mutating func answers() throws -> BenchmarkScores? {
        var scores = BenchmarkScores()
        var answered = 0, long = 0
        let bar = ProgressBar(label: "eval", total: questions.count)
        Interruption.watch(during: .evaluation)
        defer { Interruption.unwatch() }
        for subject in questions.subjects {
            let prompts = try prompts(of: subject)
            long += prompts.count { $0.count > loaded.format.contextLength }
            let letters = try letters(prompts, of: subject) { done in
                bar.advance(to: answered + done, detail: subject.subject.name)
            }
            guard let letters else {
                bar.finish(leavesLine: false)
                return nil
            }
            answered += letters.count
            scores.append(
                .init(
                    subject: subject.subject, answers: letters, solutions: subject.questions.map(\.answer)))
        }
        bar.finish()
        let counters = engine.counters
        logger.info(
            "\(answered) questions: \(counters.computedPromptTokens) tokens computed, \(counters.reusedPromptTokens) taken over from prompts that begin alike."
        )
        if long > 0 {
            logger.warning(
                "\(long) questions are longer than the \(loaded.format.contextLength) tokens that the model was made for. Lower n_shot."
            )
        }
        return scores
    }

    private mutating func prompts(of subject: BenchmarkQuestions.Subject) throws -> [[Int32]] {
        let wording = QuestionPrompt(settings.language)
        return try subject.questions.enumerated().map { index, question in
            let examples = draw.next(settings.exampleCount, of: subject.examples.count)
                .map { subject.examples[$0] }
            let messages = wording.messages(question, after: examples, about: subject.subject.name)
            do {
                return try loaded.format.promptIDs(messages)
            } catch var error as UserError {
                error.location = "\(subject.path): row \(index + 1)"
                throw error
            }
        }
    }

    /// The letter for each prompt; nil when Ctrl-C ended it.
    ///
    /// Prompts go to the model in the order of their tokens, so that those that begin alike follow one another, and what they have in
    /// common is computed once.
    private func letters(
        _ prompts: [[Int32]], of subject: BenchmarkQuestions.Subject, progress: (Int) -> Void
    ) throws -> [String]? {
        let order = prompts.indices.sorted { prompts[$0].lexicographicallyPrecedes(prompts[$1]) }
        var places: [RequestID: Int] = [:]
        for index in order {
            let request = GenerationRequest(prompts[index], options: options, random: .seed(0))
            let id = try engine.submit(request, name: "\(subject.path): the prompt of row \(index + 1)")
            places[id] = index
        }
        var letters = Array(repeating: "", count: prompts.count)
        var done = 0
        while engine.isBusy {
            if Interruption.isRequested { return nil }
            for event in try engine.step() {
                switch event {
                case .finished(let id, _, let answer):
                    guard let index = places[id], let token = answer.ids.first,
                        let letter = options.allowedTokens.firstIndex(of: token)
                    else { preconditionFailure("only letters are allowed") }
                    letters[index] = BenchmarkQuestion.letters[letter]
                    done += 1
                case .failed(_, let error): throw error
                case .began, .token: break
                }
            }
            progress(done)
        }
        return letters
    }
}
