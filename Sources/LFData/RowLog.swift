import LFStream
import LFTemplate

/// Where a row is from.
struct RowPlace: Sendable, Hashable {
    /// The number of its file among those of the run.
    var file: Int
    /// Its number in the file, as messages name it.
    var number: Int
}

/// What messages say about a data file.
struct RowSource: Sendable {
    var path: String
    /// What a row's number counts: "row" or "line".
    var unit: String

    func location(of row: RowPlace) -> String { "\(path): \(unit) \(row.number)" }
}

/// Counts what a user should know about rows: those left out, what `cutoff_len` cut, and keys that nothing reads.
struct RowLog {
    /// Reasons that a file's rows get sentences for; the others are counted together.
    private static let mostReasons = 10
    /// Rows that a sentence names.
    private static let mostNumbers = 10

    private struct Drops {
        var count = 0
        var first: [Int] = []

        mutating func add(_ number: Int) {
            count += 1
            if first.count < RowLog.mostNumbers { first.append(number) }
        }
    }

    /// Names with counts, in the order in which they came.
    private struct Names {
        private var counts: [(name: String, count: Int)] = []

        mutating func add(_ names: [String]) {
            for name in names {
                if let index = counts.firstIndex(where: { $0.name == name }) {
                    counts[index].count += 1
                } else {
                    counts.append((name, 1))
                }
            }
        }

        /// "a" (in 2), "b" (in 1); nil without names.
        var list: String? {
            guard !counts.isEmpty else { return nil }
            let named = counts.prefix(RowLog.mostReasons)
            let others = counts.count > named.count ? " and \(counts.count - named.count) more" : ""
            return named.map { "\"\($0.name)\" (in \($0.count))" }.joined(separator: ", ") + others
        }

        var isSingle: Bool { counts.count == 1 }
    }

    private struct FileLog {
        var source: RowSource
        var rowCount = 0
        /// By reason, in the order of their first rows.
        var drops: [(reason: DropReason, rows: Drops)] = []
        var otherDrops = Drops()
        var unreadKeys = Names()
        var unreadColumns = Names()
    }

    private var files: [Int: FileLog] = [:]
    private var cutRows = 0
    private var cut = ExampleProcessor.Cut()
    private var equalPairs = 0
    private var exampleRows = 0

    mutating func countRow(_ place: RowPlace, of source: RowSource) {
        files[place.file, default: FileLog(source: source)].rowCount += 1
    }

    mutating func addDrop(_ place: RowPlace, _ reason: DropReason) {
        guard var file = files.removeValue(forKey: place.file) else { return }
        if let index = file.drops.firstIndex(where: { $0.reason == reason }) {
            file.drops[index].rows.add(place.number)
        } else if file.drops.count < Self.mostReasons {
            file.drops.append((reason, Drops()))
            file.drops[file.drops.count - 1].rows.add(place.number)
        } else {
            file.otherDrops.add(place.number)
        }
        files[place.file] = file
    }

    mutating func addExample(_ example: Example, _ cut: ExampleProcessor.Cut) {
        exampleRows += 1
        if !cut.isEmpty {
            cutRows += 1
            self.cut.prompt += cut.prompt
            self.cut.answer += cut.answer
        }
        if case .pairwise(let chosen, let rejected) = example, chosen == rejected { equalPairs += 1 }
    }

    /// Notes what of a row nothing reads.
    mutating func addUnread(_ conversation: Conversation?, _ place: RowPlace) {
        guard let conversation else { return }
        files[place.file]?.unreadKeys.add(conversation.unreadKeys)
        files[place.file]?.unreadColumns.add(conversation.unreadColumns)
    }

    // MARK: Sentences

    /// - Parameters:
    ///   - name: The set that the rows belong to.
    ///   - cutoff: `cutoff_len`.
    func warnings(name: String, cutoff: Int) -> [String] {
        var sentences: [String] = []
        for (_, file) in files.sorted(by: { $0.key < $1.key }) {
            sentences += file.drops.map { sentence(file, $0.rows, because: $0.reason.text) }
            if file.otherDrops.count > 0 {
                sentences.append(sentence(file, file.otherDrops, because: "of other reasons"))
            }
            sentences += unreadSentences(file)
        }
        if let sentence = cutSentence(name, cutoff) { sentences.append(sentence) }
        if equalPairs > 0 {
            sentences.append(
                "\(name): in \(equalPairs) of \(exampleRows) pairs the chosen and the rejected answer are the same."
            )
        }
        return sentences
    }

    private func sentence(_ file: FileLog, _ drops: Drops, because reason: String) -> String {
        let more = drops.count > drops.first.count ? " and \(drops.count - drops.first.count) more" : ""
        let numbers = drops.first.sorted().map(String.init).joined(separator: ", ")
        return "\(file.source.path): dropped \(drops.count) of \(file.rowCount) rows because \(reason): "
            + "\(file.source.unit)\(drops.count == 1 ? "" : "s") \(numbers)\(more)."
    }

    private func unreadSentences(_ file: FileLog) -> [String] {
        var sentences: [String] = []
        if let list = file.unreadKeys.list {
            let word = file.unreadKeys.isSingle ? "a key that is" : "keys that are"
            sentences.append("\(file.source.path): messages have \(word) not read: \(list).")
        }
        if let list = file.unreadColumns.list {
            let word = file.unreadColumns.isSingle ? "a column that is" : "columns that are"
            sentences.append(
                "\(file.source.path): rows have \(word) not read: \(list). Name a column under \"columns\" in dataset_info.json; weights belong to messages."
            )
        }
        return sentences
    }

    private func cutSentence(_ name: String, _ cutoff: Int) -> String? {
        guard cutRows > 0 else { return nil }
        let parts = [(cut.prompt, "of prompts"), (cut.answer, "of answers")].filter { $0.0 > 0 }
            .map { "\($0.0) tokens \($0.1)" }
        return
            "\(name): cutoff_len \(cutoff) cut \(cutRows) of \(exampleRows) rows; left out are \(parts.joined(separator: " and "))."
    }
}
