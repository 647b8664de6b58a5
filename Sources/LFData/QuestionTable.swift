import LFDiagnostics

/// The questions of a file of comma-separated text: question, A, B, C, D and answer, in this order or named by the first line.
///
/// Fields are the texts that the file holds. Upstream reads them with pandas, which takes `None` and `NA` for missing values, and
/// columns of numbers for numbers, which it then spells anew.
struct QuestionTable {
    private(set) var questions: [BenchmarkQuestion] = []

    private static let columnNames = ["question"] + BenchmarkQuestion.letters + ["answer"]

    /// - Parameters:
    ///   - hasHeader: Whether the first line names the columns; others than the six are passed over.
    ///   - mayLackAnswers: Whether the answers may be missing, all of them.
    /// - Throws: `UserError` naming file, row and line.
    init(_ bytes: [UInt8], path: String, hasHeader: Bool, mayLackAnswers: Bool) throws(UserError) {
        var scanner = CSVScanner(bytes, path: path)
        var places = Array(Self.columnNames.indices)
        var width = places.count
        if hasHeader {
            guard let header = try scanner.row() else { throw Self.noQuestions(path) }
            width = header.fields.count
            places = try Self.places(
                in: header.fields, at: "\(path): line \(header.line)", mayLackAnswers: mayLackAnswers)
        }
        while let row = try scanner.row() {
            let place = "\(path): row \(questions.count + 1), line \(row.line)"
            guard row.fields.count == width else {
                throw UserError(
                    .failedRun,
                    "The row has \(row.fields.count) fields; \(hasHeader ? "the first line names \(width) columns" : "a question has six: question, A, B, C, D and answer").",
                    at: place,
                    remedy: "Put fields that hold commas, quotes or line breaks between double quotes.")
            }
            let fields = places.map { $0 < row.fields.count ? row.fields[$0] : nil }
            guard let text = fields[0] else {
                throw UserError(.failedRun, "The question is empty.", at: place, remedy: "Remove the row.")
            }
            let answer = fields[5].map { String($0) }
            guard answer.map(BenchmarkQuestion.letters.contains) ?? mayLackAnswers else {
                throw UserError(
                    .failedRun, "The answer is \(answer.map { "\"\($0)\"" } ?? "empty").", at: place,
                    remedy: "Write A, B, C or D.")
            }
            guard (answer == nil) == (questions.last.map { $0.answer == nil } ?? (answer == nil)) else {
                throw UserError(
                    .failedRun,
                    "Some questions have answers, and this one \(answer == nil ? "has none" : "does").",
                    at: place, remedy: "Give all of them an answer, or none.")
            }
            questions.append(
                BenchmarkQuestion(text: text, choices: fields[1...4].map { $0 ?? "" }, answer: answer))
        }
        if questions.isEmpty { throw Self.noQuestions(path) }
    }

    private static func noQuestions(_ path: String) -> UserError {
        UserError(.failedRun, "The file holds no question.", at: path, remedy: "Check that it is whole.")
    }

    /// The places of the six columns in a row. In a file without answers the last one lies beyond the row. CMMLU's files write
    /// `Question` and `Answer`.
    private static func places(
        in header: [String?], at place: String, mayLackAnswers: Bool
    ) throws(UserError) -> [Int] {
        var places: [Int] = []
        for name in columnNames {
            let spellings = [name, name.prefix(1).uppercased() + name.dropFirst()]
            if let index = header.firstIndex(where: { $0.map(spellings.contains) ?? false }) {
                places.append(index)
            } else if name == "answer", mayLackAnswers {
                places.append(header.count)
            } else {
                throw UserError(
                    .failedRun, "There is no column \"\(name)\".", at: place,
                    remedy: "The first line names the columns question, A, B, C, D and answer.")
            }
        }
        return places
    }
}
