import Foundation
import LFDiagnostics
import LFJSON
import LFTemplate

let renderUsage = """
    Usage: llamafactory-cli render TEMPLATE conversations.json
           llamafactory-cli render FILE.jinja talks.json

    Prints what a template makes of conversations, slot by slot and in every mode, and what it asks of the tokenizer, as
    one JSON object. The file holds {"conversations": [{"id", "system", "tools", "messages": [{"role", "content"}]}]};
    "frozen_date": "2025-07-01" beside them sets the day that prompts name as today.

    With a file in Jinja, prints what it makes of talks: a list of {"text", "generation": [[start, end]]} or {"error"}. The
    talks are a list of the variables that transformers' apply_chat_template passes: {"messages", "tools",
    "add_generation_prompt", "bos_token", …}.
    """

/// Prints a template's rendering of conversations.
func runRender(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(renderUsage)
        return 0
    }
    guard arguments.count == 2 else {
        throw UserError(
            .configuration, "render needs a template's name and a file of conversations.",
            remedy: "Write: llamafactory-cli render llama3 conversations.json")
    }
    if arguments[0].hasSuffix(".jinja") {
        let source = try String(contentsOfFile: arguments[0], encoding: .utf8)
        let talks = try JSONValue.read(path: arguments[1])
        let rendered = try renderedTalks(source, name: arguments[0], talks)
        Console.standard.writeLine(rendered.serialized(ensureASCII: false))
        return 0
    }
    let template = try Template.named(arguments[0])
    let file = try ConversationFile(JSONValue.read(path: arguments[1]), path: arguments[1])
    Console.standard.writeLine(template.report(file).serialized(ensureASCII: false))
    return 0
}
