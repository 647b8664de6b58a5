import Foundation
import LFDiagnostics
import LFTemplate

let templatesUsage = """
    Usage: llamafactory-cli templates [WORD …]

    Lists the chat templates by name, with how each writes tools and thoughts; with words, those whose line holds all of
    them. `template: own` is none of these: it is the model's own chat template.
    """

/// Lists the chat templates.
func runTemplates(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(templatesUsage)
        return 0
    }
    let lines = templateLines(holding: arguments)
    guard lines.count > 1 else {
        throw UserError(
            .configuration, "No template's line holds \(arguments.joined(separator: " and ")).",
            remedy: "`llamafactory-cli templates` without a word lists all of them.")
    }
    for line in lines { Console.standard.writeLine(line) }
    return 0
}
