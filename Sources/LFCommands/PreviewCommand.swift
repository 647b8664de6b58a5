import Foundation
import LFConfig
import LFDiagnostics
import LFJSON
import LFWorkflows

let previewUsage = """
    Usage: llamafactory-cli preview CONFIG.yaml [key=value …] [options]

    Shows what a training configuration learns from, without training: the first examples with the learned tokens marked,
    lengths, the share of learned tokens, dropped rows and why, and the steps and tokens of the run.

      --examples N   how many examples to show; 3 by default
      --json         instead, one processed example per line, with upstream's column names
      --html FILE    also write the preview as a page
    """

/// Shows what a configuration learns from.
func runPreview(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(previewUsage)
        return 0
    }
    var count = 3
    var writesJSON = false
    var page: String?
    var configuration: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
        switch argument {
        case "--json": writesJSON = true
        case "--examples":
            guard let number = rest.popFirst().flatMap({ Int($0) }), number >= 0 else {
                throw UserError(
                    .configuration, "--examples needs a number.", remedy: "Write --examples 8, for example.")
            }
            count = number
        case "--html":
            guard let path = rest.popFirst() else {
                throw UserError(
                    .configuration, "--html needs a file.", remedy: "Write --html preview.html, for example.")
            }
            page = path
        default:
            try refuseUnknownOption(argument, of: "preview", ["--examples", "--json", "--html", "--help"])
            configuration.append(argument)
        }
    }
    guard !configuration.isEmpty else {
        throw UserError(
            .configuration, "preview needs a configuration.",
            remedy: "Write: llamafactory-cli preview config.yaml")
    }
    let preview = try DatasetPreview(resolveConfig(arguments: configuration))
    let console = Console.standard
    if writesJSON {
        for example in preview.examples(count) { console.writeLine(example.serialized()) }
    } else {
        for line in preview.text(examples: count, usesColor: console.showsColor) { console.writeLine(line) }
    }
    if let page {
        try writeFileAtomically(preview.html(examples: count), to: page)
        if !writesJSON { console.writeLine("The page is \(page).") }
    }
    // Not among the examples, so that a program can read those.
    for warning in preview.warnings { console.writeError("warning: \(warning)") }
    return 0
}

/// Refuses a word that is neither one of a command's options nor looks like an argument of the configuration.
func refuseUnknownOption(_ word: String, of command: String, _ options: [String]) throws(UserError) {
    guard word.hasPrefix("--") else { return }
    let name = String(word.drop { $0 == "-" }.prefix { $0 != "=" }.map { $0 == "-" ? "_" : $0 })
    let arguments = ArgumentCatalogue.all.map(\.name)
    let positive = name.hasPrefix("no_") ? String(name.dropFirst(3)) : name
    guard !arguments.contains(positive), nearestName(to: name, among: arguments) == nil else { return }
    let nearest = nearestName(to: word, among: options)
    throw UserError(
        .configuration, "\(command) has no option \"\(word)\".",
        remedy: nearest.map { "Did you mean \"\($0)\"?" }
            ?? "`llamafactory-cli \(command) --help` lists its options, `llamafactory-cli train --help` a configuration's arguments."
    )
}
