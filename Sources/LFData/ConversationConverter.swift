import LFDiagnostics
import LFJSON
import LFTemplate

/// Brings the rows of one dataset to the standard form.
struct ConversationConverter: Sendable {
    let entry: DatasetEntry
    /// The keys of a message that the format reads.
    private let readKeys: Set<String>
    /// The same for a message of a tool.
    private let readToolKeys: Set<String>
    /// Columns that would change what is learned if the entry named them.
    private let watchedColumns: Set<String>

    init(entry: DatasetEntry) {
        self.entry = entry
        var keys: Set = [entry.tags.role, entry.tags.content]
        if entry.formatting == .openai { keys.formUnion(Self.openAIKeys) }
        readKeys = keys
        readToolKeys = entry.formatting == .openai ? keys.union(["name"]) : keys
        watchedColumns = Self.meaningfulColumns.subtracting(entry.columns.names)
    }

    /// Converts a row.
    ///
    /// - Throws: A `UserError` without location when a column holds what it cannot hold.
    func convert(_ row: RawRow) throws(UserError) -> ConvertedRow {
        let converted: ConvertedRow
        switch entry.formatting {
        case .alpaca: converted = try alpaca(row)
        case .sharegpt: converted = try sharegpt(row)
        case .openai: converted = try openai(row)
        }
        guard case .conversation(var conversation) = converted else { return converted }
        conversation.media = try media(of: row)
        conversation.unreadColumns = row.filledColumns(among: watchedColumns)
        return .conversation(conversation)
    }

    /// The columns that the format reads and that the dataset must therefore have.
    var requiredColumns: [String] {
        let columns = entry.columns
        var names: [String?]
        switch entry.formatting {
        case .alpaca:
            names = [
                columns.prompt, columns.namesQuery ? columns.query : nil, columns.history, columns.system,
                columns.tools, columns.ktoTag,
            ]
            if !entry.isRanking { names.append(columns.response) }
        case .sharegpt: names = [columns.messages, columns.system, columns.tools, columns.ktoTag]
        case .openai: names = [columns.messages, columns.ktoTag]
        }
        if entry.isRanking { names += [columns.chosen, columns.rejected] }
        return (names + [columns.images, columns.videos, columns.audios]).compactMap { $0 }
    }

    /// Checks what the entry must name for its format.
    ///
    /// - Throws: A `UserError` that names the column.
    func checkEntry() throws(UserError) {
        if entry.formatting != .alpaca, entry.columns.messages == nil { throw missingName("messages") }
        if entry.formatting == .alpaca, entry.columns.ktoTag != nil, entry.columns.response == nil {
            throw missingName("response")
        }
        if entry.isRanking, entry.columns.chosen == nil { throw missingName("chosen") }
        if entry.isRanking, entry.columns.rejected == nil { throw missingName("rejected") }
    }

    /// Checks that every column that the entry names is in some row.
    ///
    /// - Parameter place: Where the rows are from.
    /// - Throws: A `UserError` that names the column.
    func checkColumns(of rows: some Collection<RawRow>, at place: String) throws(UserError) {
        for column in requiredColumns where !rows.contains(where: { $0.hasColumn(column) }) {
            let names = rows.first?.columnNames ?? []
            throw UserError(
                .failedRun, "The dataset \"\(entry.name)\" has no column \"\(column)\".", at: place,
                remedy: names.isEmpty
                    ? "Write rows as {\"column\": value, …}."
                    : "Its columns are \(names.joined(separator: ", ")): name the right ones under \"columns\" in "
                        + "dataset_info.json.")
        }
    }

    private func missingName(_ column: String) -> UserError {
        UserError(
            .failedRun, "The dataset \"\(entry.name)\" does not say which column holds \(column).",
            remedy: "Add columns.\(column) to its entry in dataset_info.json.")
    }

    // MARK: Alpaca

    private func alpaca(_ row: RawRow) throws(UserError) -> ConvertedRow {
        let columns = entry.columns
        var prompt: [Message] = []
        if let column = columns.history, let history = row[column], !history.isNull, history.string != "" {
            guard let turns = history.array else {
                throw wrongValue(column, history, "a list of pairs of texts")
            }
            for turn in turns {
                guard let pair = turn.array, pair.count == 2, let question = pair[0].string,
                    let answer = pair[1].string
                else { throw wrongValue(column, turn, "pairs of texts") }
                prompt += [Message(.user, question), Message(.assistant, answer)]
            }
        }
        let question = try [text(row, columns.prompt), text(row, columns.query)].filter { !$0.isEmpty }
        prompt.append(Message(.user, question.joined(separator: "\n")))

        let answers: Answers
        if entry.isRanking {
            var pair: [Message] = []
            for column in [columns.chosen ?? "", columns.rejected ?? ""] {
                guard let message = try answer(row, inText: column) else {
                    return .dropped(.missingAnswer(column))
                }
                pair.append(message)
            }
            answers = .pair(chosen: pair[0], rejected: pair[1])
        } else if let column = columns.response, let message = try answer(row, inText: column) {
            answers = try judged(row, message)
        } else {
            answers = .missing
        }
        return .conversation(
            Conversation(
                prompt: prompt, answers: answers, system: try text(row, columns.system),
                tools: try tools(row)))
    }

    /// The answer that a column holds as text; nil where it is null or missing.
    private func answer(_ row: RawRow, inText column: String) throws(UserError) -> Message? {
        guard let value = row[column], !value.isNull else { return nil }
        guard let text = value.string else { throw wrongValue(column, value, "text") }
        return Message(.assistant, text)
    }

    // MARK: ShareGPT

    private func sharegpt(_ row: RawRow) throws(UserError) -> ConvertedRow {
        var parts = try messageParts(row)
        if let reason = try addTurns(to: &parts) { return .dropped(reason) }
        return try conversation(row, parts, tools: tools(row))
    }

    // MARK: Parts

    /// The messages of a row as they stand there, and what is known of them so far.
    struct MessageParts {
        /// Without a leading system message.
        var messages: [(place: MessagePlace, value: JSONValue)]
        var system: String?
        var systemIsLearned: Bool?
        var turns: [Message] = []
        var unreadKeys: [String] = []

        mutating func add(_ turn: Message, _ keys: MessageKeys) {
            var turn = turn
            turn.isLearned = keys.isLearned
            turns.append(turn)
            unreadKeys += keys.unread
        }
    }

    /// Checks the order of the turns, and splits them into question and answer.
    func conversation(
        _ row: RawRow, _ parts: MessageParts, tools: String
    ) throws(UserError) -> ConvertedRow {
        let turns = parts.turns
        if let misplaced = turns.indices.first(where: { !turns[$0].role.fits(turn: $0) }) {
            return .dropped(misplacedRole(turns[misplaced].role, turn: misplaced))
        }
        guard let last = turns.last else { return .dropped(.noMessages) }
        let system = if let system = parts.system { system } else { try text(row, entry.columns.system) }
        var conversation = Conversation(
            prompt: turns, answers: .missing, system: system, systemIsLearned: parts.systemIsLearned,
            tools: tools, unreadKeys: parts.unreadKeys)
        if entry.isRanking {
            let chosen = entry.columns.chosen ?? ""
            let rejected = entry.columns.rejected ?? ""
            guard last.role.isAsking else { return .dropped(.answeredAlready(chosen, rejected)) }
            var answers: [Message] = []
            for column in [chosen, rejected] {
                switch try answer(row, column) {
                case .message(let message, let unread):
                    answers.append(message)
                    conversation.unreadKeys += unread
                case .bad(let reason): return .dropped(reason)
                }
            }
            conversation.answers = .pair(chosen: answers[0], rejected: answers[1])
        } else {
            guard !last.role.isAsking else { return .dropped(.unanswered) }
            conversation.prompt.removeLast()
            conversation.answers = try judged(row, last)
        }
        return .conversation(conversation)
    }

    private enum FoundAnswer {
        case message(Message, unread: [String])
        case bad(DropReason)
    }

    /// The message in the column of a chosen or rejected answer.
    private func answer(_ row: RawRow, _ column: String) throws(UserError) -> FoundAnswer {
        guard let value = row[column], !value.isNull else { return .bad(.missingAnswer(column)) }
        let place = MessagePlace.column(column)
        guard value.object != nil else { throw wrongValue(column, value, "a message") }
        let role: Role
        switch try self.role(of: value, at: place) {
        case .role(let found): role = found
        case .bad(let reason): return .bad(reason)
        }
        guard role.fits(turn: 1) else { return .bad(misplacedRole(role, turn: 1)) }
        let keys = try keys(of: value, role, at: place)
        var message = try turn(role, value, at: place)
        message.isLearned = keys.isLearned
        return .message(message, unread: keys.unread)
    }

    /// An answer with the verdict of the row, where it has one.
    private func judged(_ row: RawRow, _ answer: Message) throws(UserError) -> Answers {
        guard let column = entry.columns.ktoTag, let value = row[column], !value.isNull else {
            return .one(answer)
        }
        guard let isDesirable = value.bool else { throw wrongValue(column, value, "true or false") }
        return .judged(answer, isDesirable: isDesirable)
    }

    /// The messages, a leading system message apart.
    func messageParts(_ row: RawRow) throws(UserError) -> MessageParts {
        let column = entry.columns.messages ?? ""
        let given = row[column] ?? .null
        guard let messages = given.array else { throw wrongValue(column, given, "a list of messages") }
        var parts = MessageParts(
            messages: messages.enumerated().map { (MessagePlace.number($0.offset + 1), $0.element) })
        guard let (place, first) = parts.messages.first,
            case .role(.system) = try role(of: first, at: place)
        else { return parts }
        parts.messages.removeFirst()
        parts.system = try content(of: first, at: place)
        let keys = try keys(of: first, .system, at: place)
        parts.systemIsLearned = keys.isLearned
        parts.unreadKeys = keys.unread
        return parts
    }

    enum FoundRole {
        case role(Role)
        case bad(DropReason)
    }

    func role(of message: JSONValue, at place: MessagePlace) throws(UserError) -> FoundRole {
        guard let members = message.object else {
            throw UserError(
                .failedRun, "The row has \(message.kind) as \(place) instead of an object.",
                remedy: "Write {\"\(entry.tags.role)\": …, \"\(entry.tags.content)\": …}.")
        }
        let given = members[entry.tags.role] ?? .null
        if given.isNull { return .bad(.missingRole(keys: members.keys, entry.tags)) }
        guard let name = given.string else {
            throw wrongValue(entry.tags.role, given, "the name of a role", at: place)
        }
        switch name {
        case entry.tags.system: return .role(.system)
        case entry.tags.user: return .role(.user)
        case entry.tags.assistant: return .role(.assistant)
        case entry.tags.observation: return .role(.observation)
        case entry.tags.function: return .role(.function)
        default: return .bad(.unknownRole(name, entry.tags))
        }
    }

    private func misplacedRole(_ role: Role, turn: Int) -> DropReason {
        let tags = entry.tags
        let name =
            switch role {
            case .system: tags.system
            case .user: tags.user
            case .assistant: tags.assistant
            case .observation: tags.observation
            case .function: tags.function
            }
        return .misplacedRole(name ?? role.rawValue, asks: turn % 2 == 0, tags)
    }

    func content(of message: JSONValue, at place: MessagePlace) throws(UserError) -> String {
        guard let content = message[entry.tags.content] else {
            let keys = (message.object?.keys ?? []).map { "\"\($0)\"" }.joined(separator: ", ")
            throw UserError(
                .failedRun, "\"\(entry.tags.content)\" is missing in \(place), which has only \(keys).",
                remedy: "Correct the row, or name the key of the text under tags.content_tag.")
        }
        if let parts = content.array, !parts.isEmpty { return try text(ofParts: parts, at: place) }
        guard let text = content.string else {
            throw wrongValue(entry.tags.content, content, "text", at: place)
        }
        return text
    }

    func keys(of message: JSONValue, _ role: Role, at place: MessagePlace) throws(UserError) -> MessageKeys {
        var keys = try MessageKeys(
            of: message, at: place, read: role == .observation ? readToolKeys : readKeys)
        keys.unread += unreadKeys(ofParts: message[entry.tags.content]?.array ?? [])
        return keys
    }

    /// The text of a column; nothing where it is null or missing.
    func text(_ row: RawRow, _ column: String?) throws(UserError) -> String {
        guard let column, let value = row[column], !value.isNull else { return "" }
        guard let text = value.string else { throw wrongValue(column, value, "text") }
        return text
    }

    /// The tools as JSON text; a list is written out, and an empty one is none.
    func tools(_ row: RawRow) throws(UserError) -> String {
        guard let column = entry.columns.tools, let value = row[column], !value.isNull else { return "" }
        switch value {
        case .string(let text): return text.utf8.count < 16 && Self.isEmptyList(text) ? "" : text
        case .array(let tools) where tools.isEmpty: return ""
        case .array, .object: return value.serialized(ensureASCII: false)
        default: throw wrongValue(column, value, "a JSON list of tools")
        }
    }

    /// `[]`, with or without white space.
    private static func isEmptyList(_ text: String) -> Bool {
        text.utf8.filter { !" \t\r\n".utf8.contains($0) } == Array("[]".utf8)
    }

    /// The images, videos and sounds of a row; one that stands alone is a list of one.
    private func media(of row: RawRow) throws(UserError) -> [Media] {
        let columns = entry.columns
        let named: [(kind: Media.Kind, column: String?)] = [
            (.image, columns.images), (.video, columns.videos), (.audio, columns.audios),
        ]
        var found: [Media] = []
        for (kind, column) in named {
            guard let column, let given = row[column], !given.isNull else { continue }
            let items = given.array ?? [given]
            for item in items {
                switch item {
                case .bool, .int, .bigInteger, .double: throw wrongValue(column, item, "\(kind.rawValue)s")
                // A null in a list is a medium that is missing, not one less.
                case .null, .string, .array, .object: break
                }
            }
            if !items.isEmpty { found.append(Media(kind: kind, column: column, items: items)) }
        }
        return found
    }

    func wrongValue(
        _ column: String, _ value: JSONValue, _ expected: String, at place: MessagePlace? = nil
    ) -> UserError {
        let owner = place.map { " of \($0)" } ?? ""
        return UserError(
            .failedRun, "\"\(column)\"\(owner) holds \(value.kind) instead of \(expected).",
            remedy: "Correct the row.")
    }
}

extension Role {
    /// Whether the speaker's turns come before the model's.
    var isAsking: Bool { self == .user || self == .observation }

    /// Whether the speaker may have turn `i`: people and tools the even ones, the model the odd ones.
    func fits(turn i: Int) -> Bool { self != .system && isAsking == (i % 2 == 0) }
}
