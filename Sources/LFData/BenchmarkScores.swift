import Foundation
import LFJSON

/// How many questions of each subject were answered rightly, and what was answered.
package struct BenchmarkScores: Sendable {
    package struct Subject: Sendable {
        package var subject: BenchmarkSubject
        /// A letter for each question.
        package var answers: [String]
        /// The right ones; nil where they are not known.
        package var solutions: [String?]

        package init(subject: BenchmarkSubject, answers: [String], solutions: [String?]) {
            (self.subject, self.answers, self.solutions) = (subject, answers, solutions)
        }

        var knownCount: Int { solutions.count { $0 != nil } }
        var rightCount: Int { zip(answers, solutions).count { $0 == $1 } }
    }

    package private(set) var subjects: [Subject] = []

    package init() {}

    package mutating func append(_ subject: Subject) { subjects.append(subject) }

    /// Whether there is something to count.
    package var hasSolutions: Bool { subjects.contains { $0.knownCount > 0 } }

    /// Questions and percentage of right answers, a line a subject.
    package var table: [String] {
        let width = max(7, subjects.map(\.subject.key.count).max() ?? 0)
        let rows =
            [("subject", "questions", "correct")]
            + subjects.map { entry in
                (
                    entry.subject.key, String(entry.answers.count),
                    Self.percentage(entry.rightCount, entry.knownCount)
                )
            }
        return rows.map { key, count, share in
            key + String(repeating: " ", count: width - key.count)
                + Self.right(count, 11) + Self.right(share, 9)
        }
    }

    /// The percentages of all and of each category that has questions, as upstream's `results.log` has them.
    package var summary: String {
        var lines: [String] = []
        for category in [nil] + BenchmarkFolder.categories.map(Optional.some) {
            let members = subjects.filter { category == nil || $0.subject.category == category }
            let known = members.reduce(0) { $0 + $1.knownCount }
            guard known > 0 else { continue }
            let share = Self.percentage(members.reduce(0) { $0 + $1.rightCount }, known)
            lines.append(Self.right(category ?? "Average", 15) + ": " + share)
        }
        return lines.joined(separator: "\n")
    }

    /// Upstream's `results.json`: of each subject the letters by the numbers of their questions.
    package var json: String {
        var object = JSONObject()
        for entry in subjects {
            var letters = JSONObject()
            for (index, letter) in entry.answers.enumerated() { letters[String(index)] = .string(letter) }
            object[entry.subject.key] = .object(letters)
        }
        return JSONValue.object(object).serialized(indent: 2)
    }

    /// `100 * right / count` with two digits, rounded as Python's `.2f` does.
    private static func percentage(_ right: Int, _ count: Int) -> String {
        guard count > 0 else { return "-" }
        return String(format: "%.2f", 100 * (Double(right) / Double(count)))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
