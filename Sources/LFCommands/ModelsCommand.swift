import Foundation
import LFDiagnostics
import LFJSON
import LFModels
import LFTemplate

let modelsUsage = """
    Usage: llamafactory-cli models [WORD …] [--json]

    Lists the models that LLaMA-Factory knows by name: repository, template, architecture, and whether it trains here; with
    words, those whose line holds all of them. `--json` writes one object with all repositories per line. A model that is not
    listed works too if its config.json names an architecture that works.
    """

/// Lists the published models.
func runModels(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(modelsUsage)
        return 0
    }
    let words = arguments.filter { $0 != "--json" }
    let architectures = Set(ModelConfig.supportedTypes)
    if let flag = words.first(where: { $0.hasPrefix("-") }) {
        throw UserError(
            .configuration, "`models` has no option \(flag).", remedy: "Give words, or `--json`.")
    }
    let isJSON = words.count < arguments.count
    let lines =
        isJSON
        ? modelObjects(holding: words, architectures: architectures).map { $0.serialized(ensureASCII: false) }
        : modelLines(holding: words, architectures: architectures)
    guard lines.count > (isJSON ? 0 : 1) else {
        return try tellOfTypes(words, architectures, isJSON: isJSON)
    }
    for line in lines { Console.standard.writeLine(line) }
    return 0
}

/// Says of `model_type`s that no listed model has whether their config.json is read.
///
/// - Throws: `UserError` where a word is not such a type, with all that there are.
private func tellOfTypes(_ words: [String], _ architectures: Set<String>, isJSON: Bool) throws -> Int32 {
    let types = words.map { $0.lowercased() }
    guard !types.isEmpty, types.allSatisfy(architectures.contains) else {
        throw UserError(
            .configuration, "No model's line holds \(words.joined(separator: " and ")).",
            remedy:
                "`llamafactory-cli models` without a word lists all of them. A model that is not listed works if `model_type` in its config.json is one of \(architectures.sorted().joined(separator: ", "))."
        )
    }
    for type in types {
        let line: JSONValue = ["architecture": .string(type), "works": true]
        Console.standard.writeLine(
            isJSON
                ? line.serialized()
                : "No listed model is of the type \(type); a model whose config.json says \"model_type\": \"\(type)\" works."
        )
    }
    return 0
}
