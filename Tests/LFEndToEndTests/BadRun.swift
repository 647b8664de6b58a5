import Foundation
import Testing

/// A run that cannot work, and what must be said about it.
struct BadRun: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var settings: [String: String?]
    var status: Int32
    /// What each error's sentence must hold: what is wrong and where.
    var words: [String]
    /// Largest file that may be written, in KiB.
    var filesUpTo: Int?
    /// Whether the trouble only shows when training has begun.
    var showsInTraining: Bool
    var prepare: @Sendable (Workplace) throws -> Void

    /// - Parameter words: One entry per error, in order.
    init(
        _ description: String, _ changes: [String: String?] = [:], status: Int32 = 1, filesUpTo: Int? = nil,
        showsInTraining: Bool = false, says words: String...,
        prepare: @escaping @Sendable (Workplace) throws -> Void = { _ in }
    ) {
        testDescription = description
        settings = shortRun.with(changes)
        self.status = status
        self.filesUpTo = filesUpTo
        self.showsInTraining = showsInTraining
        self.words = words
        self.prepare = prepare
    }

    /// Checks status, sentences and that nothing is left behind.
    func check() throws {
        let workplace = try Workplace()
        try prepare(workplace)
        try workplace.write("", to: "config.yaml")
        let before = workplace.tree()
        let outcome = try workplace.train(settings, filesUpTo: filesUpTo)
        #expect(outcome.status == status, "\(outcome.errors)")
        try #require(outcome.problems.count == words.count, "\(outcome.errors)")
        for (problem, expected) in zip(outcome.problems, words) {
            #expect(problem.contains(expected))
            // A sentence for people: what is wrong, and a second one that says what to do.
            #expect(problem.hasSuffix(".") || problem.hasSuffix("?"), "\(problem)")
            #expect(problem.contains(". ") || problem.contains("? "), "\(problem)")
            #expect(!problem.contains(".tmp-") && !problem.contains("defect of the program"), "\(problem)")
        }
        let left = Set(workplace.tree()).subtracting(before)
        #expect(left.isSubset(of: showsInTraining ? ["out", "out/trainer_log.jsonl"] : []), "\(left)")
    }
}
