import Foundation
import LFConfig
import Testing

@Suite("Argument catalogue")
struct ArgumentCatalogueTests {
    @Test("Every name occurs once")
    func uniqueNames() {
        let names = ArgumentCatalogue.all.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(ArgumentCatalogue.byName.count == names.count)
    }

    @Test("Upstream's arguments are all there, with upstream's defaults")
    func upstreamArguments() {
        let rows = upstreamDefaults.split { $0 == " " || $0 == "\n" }
        #expect(rows.count == 343)
        for row in rows {
            let parts = row.split(separator: "=", maxSplits: 1).map(String.init)
            guard let definition = ArgumentCatalogue.byName[parts[0]] else {
                Issue.record("\(parts[0]) is missing")
                continue
            }
            let expected = parts[1] == "-" ? "null" : parts[1]
            #expect(rendered(definition.defaultValue) == expected, "\(parts[0])")
        }
    }

    @Test("Every default is accepted, and every argument is explained")
    func defaultsAreAccepted() {
        for definition in ArgumentCatalogue.all {
            #expect(definition.help.hasSuffix(".") || definition.help.hasSuffix(".)"), "\(definition.name)")
            #expect(!definition.section.isEmpty)
            if case .string(let value) = definition.defaultValue, definition.kind == .choice {
                #expect(definition.acceptedChoices.contains(value), "\(definition.name)")
            }
            if definition.defaultValue == .null { #expect(definition.isOptional, "\(definition.name)") }
        }
    }

    @Test("Writing out every default changes nothing")
    func explicitDefaults() throws {
        let base: [(String, ArgumentValue)] = [
            ("model_name_or_path", .string("m")), ("template", .string("llama3")), ("dataset", .string("d")),
            ("do_train", .bool(true)),
        ]
        let defaults = ArgumentCatalogue.all.filter { definition in !base.contains { $0.0 == definition.name }
        }
        .map { ($0.name, $0.defaultValue) }
        let plain = try resolveConfig(values: base)
        let explicit = try resolveConfig(values: base + defaults)
        #expect(plain == explicit)
        #expect(plain.warnings == explicit.warnings)
        #expect(plain.values.map(\.name) == ArgumentCatalogue.all.map(\.name))
    }

    @Test("Every refused argument is refused by name")
    func refusals() {
        for definition in ArgumentCatalogue.all {
            guard case .refused = definition.support else { continue }
            let found = problems(minimal("\(definition.name)=\(otherValue(of: definition))"))
            #expect(
                found.contains {
                    $0.contains(" `\(definition.name)") && $0.contains("is not supported yet.")
                },
                "\(definition.name)")
        }
    }

    @Test("Every refused choice is refused by name")
    func refusedChoices() {
        for definition in ArgumentCatalogue.all {
            for choice in definition.refusedChoices {
                let found = problems(minimal("\(definition.name)=\(choice)"))
                #expect(
                    found.contains { $0.contains("`\(definition.name): \(choice)` is not supported yet.") },
                    "\(definition.name) \(choice)")
            }
        }
    }

    @Test("docs/arguments.md is what the table renders to")
    func documentation() throws {
        let committed = try String(contentsOfFile: projectFolder + "/docs/arguments.md", encoding: .utf8)
        #expect(committed == argumentReference(), "run `make docs`")
    }

    @Test("Help names every argument once and keeps to the width")
    func help() {
        let lines = argumentHelp(width: 80).split(separator: "\n")
        for definition in ArgumentCatalogue.all {
            #expect(lines.count { $0.hasPrefix("  --\(definition.name) ") } == 1)
        }
        #expect(lines.allSatisfy { $0.hasPrefix("  --") || $0.count <= 100 })
    }

    /// A well-typed value that is not among an argument's harmless ones.
    private func otherValue(of definition: ArgumentDefinition) -> String {
        switch definition.kind {
        case .bool: definition.defaultValue == .bool(true) ? "false" : "true"
        case .int, .float: definition.bounds.maximum == 1 ? "0.5" : definition.bounds.maximum == 2 ? "1" : "3"
        case .numbers: "0.25,0.75"
        case .mapping: "{a: 1}"
        case .string, .text, .names, .choice, .mappingOrString, .boolOrString: "something"
        }
    }
}
