import Foundation
import LFDiagnostics
import Yams

/// The top-level keys of a configuration file, in order, each with its value and line.
struct ConfigurationFile {
    struct Entry {
        var name: String
        var value: ConfigurationNode
    }

    var path: String
    var entries: [Entry] = []
    /// Problems that do not keep the rest of the file from being read.
    var problems: [UserError] = []

    /// What the keys of a file are, for messages.
    struct Content {
        /// What the file is called at the start of a sentence.
        var subject: String
        var advice: String
        var emptyFileAdvice: String
        /// What the file holds, after "the file with the".
        var entries: String

        static let arguments = Content(
            subject: "The configuration",
            advice: "Write one argument per line, such as `stage: dpo`.",
            emptyFileAdvice: "Write one argument per line, such as `model_name_or_path: models/my-model`.",
            entries: "arguments")
    }

    private static let largestSize = 1 << 20
    private let content: Content

    /// Reads a YAML (`.yaml`, `.yml`) or JSON (`.json`) file.
    ///
    /// - Throws: `UserError` when nothing of the file can be used.
    init(path: String, content: Content = .arguments) throws(UserError) {
        self.path = path
        self.content = content
        let text = try text(of: path)
        let root: ConfigurationNode
        if path.hasSuffix(".json") {
            do {
                root = try parseJSONConfiguration(text)
            } catch {
                throw UserError(
                    .configuration, "This is not valid JSON: \(error.problem).", at: "\(path):\(error.line)",
                    remedy: "Correct it near this line.")
            }
        } else {
            root = try yaml(text)
        }
        guard case .mapping(let pairs) = root.content else {
            let what = if case .list = root.content { "a list" } else { "a single value" }
            throw UserError(
                .configuration, "\(content.subject) is \(what), not a list of `key: value` lines.", at: path,
                remedy: content.advice)
        }
        guard !pairs.isEmpty else { throw emptyFile }
        entries = Self.merged(pairs)
    }

    /// Replaces YAML's merge key `<<` by the entries of its mapping, or mappings, that are not given otherwise.
    private static func merged(_ pairs: [(key: String, value: ConfigurationNode)]) -> [Entry] {
        var seen = Set(pairs.map(\.key))
        var entries: [Entry] = []
        for (key, value) in pairs {
            let mappings: [ConfigurationNode]
            switch value.content {
            case .mapping where key == "<<": mappings = [value]
            case .list(let items) where key == "<<": mappings = items
            default:
                entries.append(Entry(name: key, value: value))
                continue
            }
            for case .mapping(let inner) in mappings.map(\.content) {
                entries += inner.filter { seen.insert($0.key).inserted }.map {
                    Entry(name: $0.key, value: $0.value)
                }
            }
        }
        return entries
    }

    private var emptyFile: UserError {
        UserError(
            .configuration, "\(content.subject) file is empty.", at: path, remedy: content.emptyFileAdvice)
    }

    private func text(of path: String) throws(UserError) -> String {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw UserError(
                .configuration, "\(content.subject) file does not exist.", at: path,
                remedy:
                    "Check the path; it is taken from the folder \(FileManager.default.currentDirectoryPath)."
            )
        }
        guard !isDirectory.boolValue else {
            throw UserError(
                .configuration, "This is a folder.", at: path, remedy: "Name a YAML or JSON file in it.")
        }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw UserError(
                .configuration, "\(content.subject) file cannot be read.", at: path,
                remedy: "Check its permissions.")
        }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: Self.largestSize + 1) ?? Data() else {
            throw UserError(
                .configuration, "\(content.subject) file cannot be read.", at: path, remedy: "Check the disk."
            )
        }
        guard data.count <= Self.largestSize else {
            throw UserError(
                .configuration, "The file is larger than 1 MB, too large for a configuration.", at: path,
                remedy: "Name the YAML or JSON file with the \(content.entries).")
        }
        var bytes = Array(data)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw UserError(
                .configuration, "The file is not UTF-8 text.", at: path,
                remedy: "Name the YAML or JSON file with the \(content.entries), saved as UTF-8.")
        }
        guard !text.trimmingSpaces().isEmpty else { throw emptyFile }
        if let control = bytes.firstIndex(where: {
            ($0 < 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D) || $0 == 0x7F
        }) {
            let line = 1 + bytes[..<control].count { $0 == 0x0A }
            throw UserError(
                .configuration, "The file holds a control character (code \(bytes[control])).",
                at: "\(path):\(line)", remedy: "Delete it, and save the file as plain text.")
        }
        return text
    }

    /// Composes the YAML text; a key given twice is reported, its second value left out, and the rest still read.
    private mutating func yaml(_ text: String) throws(UserError) -> ConfigurationNode {
        guard !isAliasBomb(text) else {
            throw UserError(
                .configuration, "The file uses too many YAML anchors and aliases.", at: path,
                remedy: "Write the values out.")
        }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for _ in 0..<32 {
            do {
                guard let root = try Parser(yaml: lines.joined(separator: "\n")).singleRoot() else {
                    throw emptyFile
                }
                var budget = 20_000
                return try node(root, depth: 0, budget: &budget)
            } catch let error as UserError {
                throw error
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                let found = names.flatMap { removeRepeats(of: $0, from: &lines) }
                problems += found
                if found.isEmpty {
                    throw UserError(
                        .configuration, "Key \"\(names.first ?? "")\" is given twice.",
                        at: "\(path):\(context.mark.line)", remedy: "Remove one of them.")
                }
            } catch {
                throw yamlSyntaxError(error, path: path, lines: lines)
            }
        }
        throw UserError(
            .configuration, "Too many keys are given twice.", at: path, remedy: "Give each argument once.")
    }

    /// Blanks the second and later top-level entries of a key, so that what follows keeps its line numbers.
    private func removeRepeats(of name: String, from lines: inout [String]) -> [UserError] {
        let heads = lines.indices.filter { index in
            [name, "\"\(name)\"", "'\(name)'"].contains { key in
                lines[index].hasPrefix(key)
                    && lines[index].dropFirst(key.count).drop(while: { $0 == " " }).hasPrefix(":")
            }
        }
        guard let first = heads.first else { return [] }
        return heads.dropFirst().map { head in
            var index = head
            repeat {
                lines[index] = ""
                index += 1
            } while index < lines.count && (lines[index].first.map { " -#".contains($0) } ?? true)
            return UserError(
                .configuration, "Key \"\(name)\" is given twice, first on line \(first + 1).",
                at: "\(path):\(head + 1)", remedy: "Remove one of them.")
        }
    }

    fileprivate func node(
        _ yaml: Node, depth: Int, budget: inout Int
    ) throws(UserError) -> ConfigurationNode {
        let line = yaml.mark?.line
        let location = line.map { "\(path):\($0)" } ?? path
        budget -= 1
        guard depth < 32, budget > 0 else {
            throw UserError(
                .configuration, "The values are nested too deeply or too many.", at: location,
                remedy: "Write plain values, lists or one level of mapping.")
        }
        switch yaml {
        case .scalar(let scalar):
            let tag = scalar.tag.description
            let isTagged = !tag.isEmpty && tag != "!" && !tag.hasPrefix("tag:yaml.org,2002:")
            guard !isTagged, !tag.hasPrefix("tag:yaml.org,2002:python") else { throw tagError(tag, location) }
            let isPlain = (scalar.style == .plain || scalar.style == .any) && !tag.hasSuffix(":str")
            return ConfigurationNode(.scalar(scalar.string, isPlain: isPlain), line: line)
        case .sequence(let sequence):
            var items: [ConfigurationNode] = []
            for item in sequence { items.append(try node(item, depth: depth + 1, budget: &budget)) }
            return ConfigurationNode(.list(items), line: line)
        case .mapping(let mapping):
            var pairs: [(key: String, value: ConfigurationNode)] = []
            for (key, value) in mapping {
                guard case .scalar(let name) = key else {
                    throw UserError(
                        .configuration, "A key is a list or mapping.", at: location,
                        remedy: "Write keys as plain words.")
                }
                var element = try node(value, depth: depth + 1, budget: &budget)
                element.line = key.mark?.line
                pairs.append((name.string, element))
            }
            return ConfigurationNode(.mapping(pairs), line: line)
        case .alias:
            throw UserError(
                .configuration, "An alias points nowhere.", at: location, remedy: "Write the value out.")
        }
    }

    private func tagError(_ tag: String, _ location: String) -> UserError {
        UserError(
            .configuration, "The YAML tag \(quoted(tag)) is not understood.", at: location,
            remedy: "Write a plain value.")
    }

}

/// Whether a text holds so many anchors and aliases that expanding them could take exponential time.
private func isAliasBomb(_ text: String) -> Bool {
    var anchors = 0
    var aliases = 0
    var previous: UInt8 = 0x20
    for byte in text.utf8 {
        let startsToken = byte > 0x20 && [0x20, 0x0A, 0x2C, 0x5B, 0x7B, 0x3A].contains(previous)
        if startsToken, byte == UInt8(ascii: "&") { anchors += 1 }
        if startsToken, byte == UInt8(ascii: "*") { aliases += 1 }
        previous = byte
    }
    return anchors > 4 && aliases > 16
}

/// Reads the value of a `key=value` override as YAML: a scalar, `[a, b]` or `{k: v}`.
func parseInlineValue(_ text: String) throws(UserError) -> ConfigurationNode {
    let isStructured = text.contains { "[{\"'&*!|>#".contains($0) } || text.contains(": ")
    guard isStructured else { return ConfigurationNode(.scalar(text.trimmingSpaces(), isPlain: true)) }
    do {
        return try ConfigurationFile.inlineNode(text)
    } catch {
        throw UserError(
            .configuration, "The value \(quoted(text)) is not valid YAML.", at: ArgumentSources.commandLine,
            remedy: "Quote it, or write lists as [a,b] and mappings as {a: 1}.")
    }
}

extension ConfigurationFile {
    fileprivate static func inlineNode(_ text: String) throws -> ConfigurationNode {
        guard text.utf8.count < 65_536, !isAliasBomb(text), let root = try Parser(yaml: text).singleRoot()
        else {
            return ConfigurationNode(.scalar(text, isPlain: true))
        }
        var budget = 1000
        var node = try ConfigurationFile(inline: ()).node(root, depth: 0, budget: &budget)
        node.line = nil
        return node
    }

    private init(inline: Void) { (path, content) = (ArgumentSources.commandLine, .arguments) }
}
