import LFDiagnostics
import LFJSON
import LFTemplate

/// Brings the rows of one dataset to the standard form.
struct ConversationConverter: Sendable {
    let entry: DatasetEntry

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

        var response: [Message] = []
        if let isDesirable = value(row, columns.ktoTag)?.bool {
            response = tagged(Message(.assistant, try text(row, columns.response)), isDesirable)
        } else if entry.isRanking, let chosen = value(row, columns.chosen)?.string,
            let rejected = value(row, columns.rejected)?.string
        {
            response = [Message(.assistant, chosen), Message(.assistant, rejected)]
        } else if let answer = value(row, columns.response)?.string {
            response = [Message(.assistant, answer)]
        }
        return .conversation(
            Conversation(
                prompt: prompt, response: response, system: try text(row, columns.system),
                tools: try tools(row)))
    }

    // MARK: ShareGPT

    private func sharegpt(_ row: RawRow) throws(UserError) -> ConvertedRow {
        var (messages, system) = try messagesAndSystem(row)
        var turns: [Message] = []
        for (i, message) in messages.enumerated() {
            guard let role = role(of: message), role.fits(turn: i) else { return .dropped(.wrongRole) }
            turns.append(Message(role, try content(of: message)))
        }
        messages = []
        if system == nil { system = try text(row, entry.columns.system) }
        return try conversation(row, turns, system: system ?? "", tools: tools(row))
    }

    // MARK: Parts

    /// Splits checked turns into question and answer.
    func conversation(
        _ row: RawRow, _ turns: [Message], system: String, tools: String
    ) throws(UserError) -> ConvertedRow {
        guard (turns.count % 2 == 0) != entry.isRanking else { return .dropped(.wrongMessageCount) }
        var conversation = Conversation(
            prompt: Array(turns.dropLast()), response: Array(turns.suffix(1)), system: system, tools: tools)
        let columns = entry.columns
        if let isDesirable = value(row, columns.ktoTag)?.bool, let answer = turns.last {
            conversation.response = tagged(answer, isDesirable)
        } else if entry.isRanking, let chosen = value(row, columns.chosen), chosen.object != nil,
            let rejected = value(row, columns.rejected), rejected.object != nil
        {
            guard let chosenRole = role(of: chosen), let rejectedRole = role(of: rejected),
                chosenRole.fits(turn: 1), rejectedRole.fits(turn: 1)
            else { return .dropped(.wrongRole) }
            conversation.prompt = turns
            conversation.response = [try turn(chosenRole, chosen), try turn(rejectedRole, rejected)]
        }
        return .conversation(conversation)
    }

    /// The messages without a leading system message, and its text.
    func messagesAndSystem(_ row: RawRow) throws(UserError) -> ([JSONValue], String?) {
        let column = entry.columns.messages ?? ""
        let given = row[column] ?? .null
        guard let messages = given.array else { throw wrongValue(column, given, "a list of messages") }
        guard let first = messages.first, role(of: first) == .system else { return (messages, nil) }
        return (Array(messages.dropFirst()), try content(of: first))
    }

    func role(of message: JSONValue) -> Role? {
        guard let name = message[entry.tags.role]?.string else { return nil }
        switch name {
        case entry.tags.system: return .system
        case entry.tags.user: return .user
        case entry.tags.assistant: return .assistant
        case entry.tags.observation: return .observation
        case entry.tags.function: return .function
        default: return nil
        }
    }

    func content(of message: JSONValue) throws(UserError) -> String {
        let content = message[entry.tags.content] ?? .null
        guard let text = content.string else { throw wrongValue(entry.tags.content, content, "text") }
        return text
    }

    /// KTO's form of one answer: itself and an empty one, the desirable of the two first.
    private func tagged(_ answer: Message, _ isDesirable: Bool) -> [Message] {
        let empty = Message(.assistant, "")
        return isDesirable ? [answer, empty] : [empty, answer]
    }

    private func value(_ row: RawRow, _ column: String?) -> JSONValue? { column.flatMap { row[$0] } }

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

    func wrongValue(_ column: String, _ value: JSONValue, _ expected: String) -> UserError {
        UserError(
            .failedRun, "\"\(column)\" holds \(value.kind) instead of \(expected).",
            remedy: "Correct the row.")
    }
}

extension Role {
    /// Whether the speaker's turns come before the model's.
    var isAsking: Bool { self == .user || self == .observation }

    /// Whether the speaker may have turn `i`: people and tools the even ones, the model the odd ones.
    func fits(turn i: Int) -> Bool { self != .system && isAsking == (i % 2 == 0) }
}
