import Foundation
import LFJSON
import LFTokenizer
import Testing

/// Names of chat templates are data: whatever they are, they come back, and no file lies outside the folder.
@Suite struct ChatTemplateFileTests {
    static let names = [
        "tool_use", "rag", "../../evil", "/tmp/evil", "a/b", "..", ".", "", "a\\b", "NUL\u{0}x", "x\ny", "名前",
        "a b", ".hidden",
        String(repeating: "n", count: 300), "CON.", "default.jinja", "%2e%2e%2f", "~", "$HOME", "a.b",
    ]

    private func save(_ names: [String], to folder: String) throws -> Tokenizer {
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                atPath: "\(golden)/tokenizers/llama3/\(file)", toPath: "\(folder)/\(file)")
        }
        var fields = try JSONValue.read(path: folder + "/tokenizer_config.json").object ?? [:]
        let templates = (["default"] + names).map {
            ["name": .string($0), "template": .string("{{ '" + "of \($0.count)" + "' }}")] as JSONValue
        }
        fields["chat_template"] = .array(templates)
        try write(JSONValue.object(fields).serialized(), folder + "/tokenizer_config.json")
        return try Tokenizer.load(directory: folder)
    }

    @Test(arguments: names.map { [$0] } + [names, ["rag", "tool_use"]])
    func namesComeBack(_ names: [String]) throws {
        try withTemporaryFolder { folder in
            let (source, first, second) = (folder + "/source", folder + "/a/first", folder + "/a/second")
            try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
            let tokenizer = try save(names, to: source)
            #expect(Set(tokenizer.chatTemplates.map(\.name)) == Set(names + ["default"]))
            try tokenizer.save(to: first, chatTemplate: nil)
            let saved = try Tokenizer.load(directory: first)
            try saved.save(to: second, chatTemplate: "{{ new }}")
            for (read, text) in [
                (saved, tokenizer.chatTemplate), (try Tokenizer.load(directory: second), "{{ new }}"),
            ] {
                #expect(read.chatTemplate == text)
                let named = read.chatTemplates.filter { $0.name != "default" }
                #expect(Set(named.map(\.name)) == Set(names))
                for template in named { #expect(template.template == "{{ 'of \(template.name.count)' }}") }
            }
            let all = (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? [])
            for file in all where file.hasSuffix(".jinja") {
                let parts = file.split(separator: "/")
                #expect(parts.count <= 4 && parts[0] == "a", "\(file)")
                #expect(
                    ["chat_template.jinja", "rag.jinja", "tool_use.jinja"].contains(parts.last ?? "")
                        || (parts.last?.count ?? 0) <= 106)
            }
            #expect(!FileManager.default.fileExists(atPath: "/tmp/evil.jinja"))
        }
    }
}
