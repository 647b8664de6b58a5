import LFDiagnostics
import Yams

/// Says in words of the configuration what the YAML parser stumbled over, and on which line.
func yamlSyntaxError(_ error: any Error, path: String, lines: [String]) -> UserError {
    var problem = "unreadable text"
    var line: Int?
    var contextLine: Int?
    switch error {
    case YamlError.scanner(let context, let text, let mark, _),
        YamlError.parser(let context, let text, let mark, _),
        YamlError.composer(let context, let text, let mark, _):
        (problem, line, contextLine) = (text, mark.line, context?.mark.line)
    case YamlError.reader(let text, _, _, _): problem = text
    default: break
    }
    var remedy = "Check indentation, quotes and colons on this line and the one before."
    switch problem {
    case "could not find expected ':'":
        line = contextLine ?? line
        problem = "\(quoted(text(of: line, in: lines).trimmingSpaces())) is no `key: value`"
        remedy = "Write a colon and a space between key and value."
    case "mapping values are not allowed in this context":
        problem = "a second colon, or a line that is indented too far"
        remedy = "Quote a value that holds a colon and a space, and start keys in the first column."
    case "found unexpected end of stream":
        line = contextLine ?? line
        problem = "a quote is not closed"
        remedy = "Add the closing quote."
    case "found character that cannot start any token":
        problem = "a value or key starts with a character that YAML keeps for itself"
        remedy = "Put it into quotes."
    default: break
    }
    if text(of: line, in: lines).contains("\t") { remedy = "Indent with spaces, not tabs." }
    return UserError(
        .configuration, "This is not valid YAML: \(problem).", at: line.map { "\(path):\($0)" } ?? path,
        remedy: remedy)
}

private func text(of line: Int?, in lines: [String]) -> String {
    guard let line, line >= 1, line <= lines.count else { return "" }
    return lines[line - 1]
}
