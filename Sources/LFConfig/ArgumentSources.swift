import LFDiagnostics

/// One argument as given somewhere: later ones replace earlier ones of the same name.
struct ArgumentAssignment {
    var name: String
    var value: ConfigurationNode
    /// `file:line`, or `command line`; nil when code gave it.
    var location: String?
}

/// Everything that a command line names: the file's arguments, then overrides, and what was wrong in reading them.
struct ArgumentSources {
    static let commandLine = "command line"

    var file: String?
    var assignments: [ArgumentAssignment] = []
    var problems: [UserError] = []
    /// Whether nothing of the file could be used, so that checking the rest would only mislead.
    var isUnreadable = false

    /// Reads `[FILE.yaml|FILE.json] [key=value | --key value | --key=value]…`.
    init(arguments: [String]) {
        var rest = arguments[...]
        if let first = rest.first, Self.isFileName(first) {
            rest = rest.dropFirst()
            file = first
            do {
                let configuration = try ConfigurationFile(path: first)
                problems += configuration.problems
                for entry in configuration.entries {
                    let location = entry.value.line.map { "\(first):\($0)" } ?? first
                    assignments.append(
                        ArgumentAssignment(name: entry.name, value: entry.value, location: location))
                }
            } catch {
                problems.append(error)
                isUnreadable = true
                return
            }
        }
        while let word = rest.popFirst() {
            if word.hasPrefix("--") {
                flag(String(word.dropFirst(2)), rest: &rest)
            } else if let border = word.firstIndex(of: "="), border != word.startIndex {
                override(String(word[..<border]), String(word[word.index(after: border)...]))
            } else {
                problems.append(Self.strayWord(word, hasFile: file != nil))
            }
        }
    }

    /// Arguments given by code.
    init(values: [(String, ArgumentValue)], source: String?) {
        file = source
        assignments = values.map {
            ArgumentAssignment(name: $0.0, value: ConfigurationNode($0.1), location: source)
        }
    }

    private static func isFileName(_ word: String) -> Bool {
        [".yaml", ".yml", ".json"].contains { word.hasSuffix($0) } && !word.hasPrefix("-")
            && !word.contains("=")
    }

    private static func strayWord(_ word: String, hasFile: Bool) -> UserError {
        if isFileName(word), hasFile {
            return UserError(
                .configuration, "A second configuration file is given: \(quoted(word)).", at: commandLine,
                remedy: "Put all arguments into one file, or override some of them with `key=value`.")
        }
        return UserError(
            .configuration, "\(quoted(word)) is not an argument.", at: commandLine,
            remedy: hasFile
                ? "Write overrides as `key=value` or `--key value`."
                : "Name a file that ends in .yaml, .yml or .json, or write arguments as `key=value` or `--key value`."
        )
    }

    /// `key=value`, with the value read as YAML and dots reaching into mappings: `lr_scheduler_kwargs.num_cycles=2`.
    private mutating func override(_ key: String, _ text: String) {
        let value: ConfigurationNode
        do {
            value = try parseInlineValue(text)
        } catch {
            problems.append(error)
            return
        }
        let path = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard path.count > 1 else {
            assignments.append(ArgumentAssignment(name: key, value: value, location: Self.commandLine))
            return
        }
        guard path.count == 2, path.allSatisfy({ !$0.isEmpty }) else {
            problems.append(
                UserError(
                    .configuration, "\(quoted(key)) reaches too deep.", at: Self.commandLine,
                    remedy: "Write `argument.key=value` with one dot at most."))
            return
        }
        var pairs: [(key: String, value: ConfigurationNode)] = []
        if let earlier = assignments.last(where: { $0.name == path[0] }),
            case .mapping(let known) = earlier.value.content
        {
            pairs = known.filter { $0.key != path[1] }
        }
        pairs.append((path[1], value))
        assignments.append(
            ArgumentAssignment(
                name: path[0], value: ConfigurationNode(.mapping(pairs)), location: Self.commandLine))
    }

    /// `--key value`, `--key=value`, `--switch`, `--no_switch`; dashes and underscores are the same in names.
    private mutating func flag(_ text: String, rest: inout ArraySlice<String>) {
        var name = text
        var value: String?
        if let border = text.firstIndex(of: "=") {
            name = String(text[..<border])
            value = String(text[text.index(after: border)...])
        }
        name = String(name.map { $0 == "-" ? "_" : $0 })
        if value == nil, name.hasPrefix("no_"),
            let definition = ArgumentCatalogue.byName[String(name.dropFirst(3))],
            definition.kind == .bool
        {
            add(flag: definition.name, "false")
            return
        }
        let kind = ArgumentCatalogue.byName[name]?.kind
        if value == nil, let next = rest.first, !Self.looksLikeOption(next) {
            if kind == .bool {
                let isBool = ["true", "false", "yes", "no", "on", "off", "0", "1", "y", "n", "t", "f"]
                    .contains(
                        next.lowercased())
                if isBool { value = rest.popFirst() }
            } else {
                value = rest.popFirst()
            }
        }
        if kind == .names {
            while value != nil, let next = rest.first, !Self.looksLikeOption(next), !next.contains("=") {
                value = (value ?? "") + "," + next
                rest = rest.dropFirst()
            }
        }
        if value == nil, kind == .bool || kind == .boolOrString { value = "true" }
        guard let value else {
            guard kind != nil else {
                add(flag: name, "")
                return
            }
            problems.append(
                UserError(
                    .configuration, "--\(name) needs a value.", at: Self.commandLine,
                    remedy: "Write `--\(name) VALUE`."))
            return
        }
        add(flag: name, value)
    }

    private mutating func add(flag name: String, _ value: String) {
        assignments.append(
            ArgumentAssignment(
                name: name, value: ConfigurationNode(.scalar(value, isPlain: value.lowercased() == "null")),
                location: Self.commandLine))
    }

    /// A word that starts another option; negative numbers are values.
    private static func looksLikeOption(_ word: String) -> Bool {
        word.hasPrefix("--")
            || (word.hasPrefix("-") && wholeNumber(word) == nil && decimalNumber(word) == nil
                && word.count > 1)
    }
}
