import LFDiagnostics

/// Why a value does not fit an argument, worded to follow the argument's name: "must be true or false, got 3".
struct CoercionFailure: Error, Equatable {
    var problem: String
    var remedy: String?
}

/// Gives a value the argument's type, as upstream's parsers do: numbers may be quoted or written with an exponent, comma
/// lists may be YAML lists, booleans may be `yes` or `1`.
func coerce(
    _ node: ConfigurationNode, to definition: ArgumentDefinition
) -> Result<ArgumentValue, CoercionFailure> {
    if case .scalar(let text, let isPlain) = node.content, isNull(text, isPlain: isPlain, for: definition) {
        if definition.isOptional { return .success(.null) }
        return .failure(
            CoercionFailure(
                problem: "has no value",
                remedy:
                    "Give it one, or remove the line: the default is \(rendered(definition.defaultValue))."))
    }
    switch definition.kind {
    case .bool: return scalar(node, "true or false").flatMap { bool($0) }
    case .int: return scalar(node, "a whole number").flatMap { int($0, definition) }
    case .float: return scalar(node, "a number").flatMap { float($0, definition) }
    case .string:
        return scalar(node, "a name or path, in one piece").flatMap { name($0) }.map { .string($0) }
    case .text: return scalar(node, "text").map { .string($0) }
    case .names:
        return list(node, definition).map { items in items.map { .list($0.map { .string($0) }) } ?? .null }
    case .numbers:
        return list(node, definition).flatMap { items in
            guard let items else { return .success(.null) }
            var numbers: [ArgumentValue] = []
            for item in items {
                switch float(item, definition) {
                case .success(let number): numbers.append(number)
                case .failure(let failure): return .failure(failure)
                }
            }
            return .success(.list(numbers))
        }
    case .choice:
        if definition.acceptedChoices.isEmpty { return unsupportedChoice(node, definition) }
        return scalar(node, "one of \(spokenList(definition.acceptedChoices))").flatMap {
            choice($0, definition)
        }
    case .mapping: return mapping(node)
    case .mappingOrString:
        if case .scalar(let text, _) = node.content, !text.hasPrefix("{") {
            return name(text).map { .string($0) }
        }
        return mapping(node)
    case .boolOrString:
        return scalar(node, "true, false or a path").flatMap { text in
            if case .success(let flag) = bool(text) { return .success(flag) }
            return name(text).map { .string($0) }
        }
    }
}

/// Whether a scalar means "no value": YAML's null, and the word `none` wherever it cannot be a choice or prose.
private func isNull(_ text: String, isPlain: Bool, for definition: ArgumentDefinition) -> Bool {
    if isPlain, resolvePlainScalar(text) == .null { return true }
    guard definition.isOptional, definition.kind != .text, !definition.defaultValue.isNamesList else {
        return false
    }
    let word = text.lowercased()
    return word == "none" || word == "null"
}

private func scalar(_ node: ConfigurationNode, _ expected: String) -> Result<String, CoercionFailure> {
    guard case .scalar(let text, _) = node.content else {
        return .failure(CoercionFailure(problem: "must be \(expected), got \(node.spelling)"))
    }
    return .success(text)
}

private func bool(_ text: String) -> Result<ArgumentValue, CoercionFailure> {
    switch text.lowercased() {
    case "true", "yes", "on", "y", "t", "1": return .success(.bool(true))
    case "false", "no", "off", "n", "f", "0": return .success(.bool(false))
    default: return .failure(CoercionFailure(problem: "must be true or false, got \(quoted(text))"))
    }
}

private func int(_ text: String, _ definition: ArgumentDefinition) -> Result<ArgumentValue, CoercionFailure> {
    guard let number = decimalNumber(text) ?? wholeNumber(text).map(Double.init) else {
        return .failure(CoercionFailure(problem: "must be a whole number, got \(spelledScalar(text))"))
    }
    guard number == number.rounded(),
        wholeNumber(text) != nil || text.contains(where: { ".eE".contains($0) }) || abs(number) >= 1e18
    else { return .failure(CoercionFailure(problem: "must be a whole number, got \(spelledScalar(text))")) }
    if let failure = boundsFailure(number, text, definition) { return .failure(failure) }
    guard let exact = Int(exactly: number) else {
        return .failure(CoercionFailure(problem: "must be a whole number, got \(spelledScalar(text))"))
    }
    return .success(.int(exact))
}

private func float(_ text: String, _ definition: ArgumentDefinition) -> Result<ArgumentValue, CoercionFailure>
{
    guard let number = decimalNumber(text) ?? wholeNumber(text).map(Double.init) else {
        if case .double = resolvePlainScalar(text) {
            return .failure(CoercionFailure(problem: "must be a finite number, got \(text)"))
        }
        return .failure(CoercionFailure(problem: "must be a number, got \(spelledScalar(text))"))
    }
    guard number.isFinite else {
        return .failure(CoercionFailure(problem: "must be a finite number, got \(text)"))
    }
    if let failure = boundsFailure(number, text, definition) { return .failure(failure) }
    return .success(.double(number))
}

private func boundsFailure(
    _ number: Double, _ text: String, _ definition: ArgumentDefinition
) -> CoercionFailure? {
    guard !definition.bounds.contains(number), let phrase = definition.bounds.phrase else { return nil }
    var problem = "must be \(phrase), got \(text)"
    if definition.bounds.maximum == NumericBounds.largestCount {
        var lowerOnly = definition.bounds
        lowerOnly.maximum = nil
        problem =
            number > NumericBounds.largestCount
            ? "is too large: \(text) exceeds 2147483647"
            : "must be \(lowerOnly.phrase ?? phrase), got \(text)"
    }
    let remedy: String? =
        definition.defaultValue == .null
        ? nil : "Use \(rendered(definition.defaultValue)) unless you have a reason."
    return CoercionFailure(problem: problem, remedy: remedy)
}

private func spelledScalar(_ text: String) -> String {
    if case .string = resolvePlainScalar(text) { return quoted(text) }
    return text
}

private func name(_ text: String) -> Result<String, CoercionFailure> {
    guard !text.isEmpty else { return .failure(CoercionFailure(problem: "must not be empty")) }
    guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
        return .failure(
            CoercionFailure(problem: "must not hold line ends or control characters, got \(quoted(text))"))
    }
    return .success(text)
}

/// The items of a list; nil for an empty one where there may be no value.
private func list(
    _ node: ConfigurationNode, _ definition: ArgumentDefinition
) -> Result<[String]?, CoercionFailure> {
    var items: [String] = []
    switch node.content {
    case .scalar(let text, _):
        items = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmingSpaces() }
    case .list(let nodes):
        for item in nodes {
            guard case .scalar(let text, let isPlain) = item.content,
                !(isPlain && resolvePlainScalar(text) == .null)
            else {
                return .failure(
                    CoercionFailure(problem: "must be a list of names, but an item is \(item.spelling)"))
            }
            items.append(text.trimmingSpaces())
        }
    case .mapping:
        return .failure(
            CoercionFailure(problem: "must be a list or names with commas between, got a mapping"))
    }
    if items.isEmpty {
        return definition.isOptional
            ? .success(nil) : .failure(CoercionFailure(problem: "must not be an empty list"))
    }
    for item in items {
        guard !item.isEmpty else {
            return .failure(
                CoercionFailure(
                    problem: "has an empty item", remedy: "Write names with one comma between each two."))
        }
        if case .failure(let failure) = name(item) { return .failure(failure) }
        if definition.namesModules, item.contains(" ") {
            return .failure(
                CoercionFailure(
                    problem: "holds a name with a space, \(quoted(item))",
                    remedy: "Separate names with commas."))
        }
    }
    return .success(items)
}

private func choice(
    _ text: String, _ definition: ArgumentDefinition
) -> Result<ArgumentValue, CoercionFailure> {
    if definition.choices.contains(text) { return .success(.string(text)) }
    if case .success(.bool(let flag)) = bool(text), text.count > 1 {
        let word = flag ? "all" : "no"
        if definition.choices.contains(word) { return .success(.string(word)) }
    }
    if let same = definition.choices.first(where: { $0 == text.lowercased() }) {
        return .success(.string(same))
    }
    let suggestion =
        ArgumentCatalogue.otherWords[definition.name]?[text.lowercased()]
        ?? (text.count > 3 ? nearestName(to: text, among: definition.acceptedChoices) : nil).map {
            "Did you mean \"\($0)\"?"
        }
    return .failure(
        CoercionFailure(
            problem: "must be one of \(spokenList(definition.acceptedChoices)), got \(spelledScalar(text))",
            remedy: suggestion))
}

/// A value of a set of which nothing is supported: each word of upstream's is refused by name, every other value here.
private func unsupportedChoice(
    _ node: ConfigurationNode, _ definition: ArgumentDefinition
) -> Result<ArgumentValue, CoercionFailure> {
    if case .scalar(let text, _) = node.content,
        let word = definition.choices.first(where: { $0 == text.lowercased() })
    {
        return .success(.string(word))
    }
    return .failure(CoercionFailure(problem: "is not supported yet, with any value", remedy: "Remove it."))
}

private func mapping(_ node: ConfigurationNode) -> Result<ArgumentValue, CoercionFailure> {
    switch node.content {
    case .mapping: return .success(node.plainValue)
    case .scalar(let text, _) where text.hasPrefix("{"):
        guard let parsed = try? parseJSONConfiguration(text), case .mapping = parsed.content else {
            return .failure(
                CoercionFailure(problem: "must be a mapping, but \(quoted(text)) is not valid JSON"))
        }
        return .success(parsed.plainValue)
    default:
        return .failure(
            CoercionFailure(problem: "must be a mapping such as {name: value}, got \(node.spelling)"))
    }
}

/// "a, b or c".
func spokenList(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " or " + last
}

/// A value on one line as YAML would write it, for messages, help and documentation.
package func rendered(_ value: ArgumentValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let flag): flag ? "true" : "false"
    case .int(let number): String(number)
    case .double(let number): number.isFinite ? spelled(number) : spelledPrecisely(number)
    case .string(let text): text
    case .list(let items): items.map(rendered).joined(separator: ",")
    case .mapping(let pairs): "{" + pairs.map { "\($0.0): \(rendered($0.1))" }.joined(separator: ", ") + "}"
    }
}

extension ArgumentValue {
    /// Whether this is a list, as the default of `report_to`, where the word `none` is an item.
    fileprivate var isNamesList: Bool {
        if case .list = self { return true }
        return false
    }
}
