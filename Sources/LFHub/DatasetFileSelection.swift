import Foundation
import LFDiagnostics
import Yams

/// Which files of a dataset repository make up a split, by the rules of Hugging Face's `datasets`: what `configs` in the
/// front matter of README.md says, else names of files and folders.
struct DatasetFileSelection {
    /// For messages.
    let repository: String
    /// Paths in the repository.
    let files: [String]
    /// The content of README.md; nil without one.
    let readme: String?

    /// One of the `configs` of a front matter.
    private struct Subset {
        var name: String
        var isDefault: Bool
        var folder: String?
        /// Patterns of files by split; nil where the names of files decide.
        var patterns: [(split: String, patterns: [String])]?
    }

    /// The paths of a split's files in the folder that they are fetched to, in the order in which they are read.
    ///
    /// - Parameter fetch: Brings a file of the repository into the folder.
    /// - Throws: `UserError` naming the subsets or splits that there are; what `fetch` throws.
    static func files(
        among names: [String], of repository: String, in snapshot: String,
        subset: String?, split: String, folder: String?, type: (String) -> String?,
        fetch: (String) throws -> Void
    ) throws -> [String] {
        var readme: String?
        if names.contains("README.md") {
            try fetch("README.md")
            readme = try String(
                decoding: Data(contentsOf: URL(fileURLWithPath: snapshot + "/README.md")), as: UTF8.self)
        }
        let chosen = try DatasetFileSelection(repository: repository, files: names, readme: readme)
            .files(subset: subset, split: split, folder: folder, type: type)
        for name in chosen { try fetch(name) }
        return chosen.map { snapshot + "/" + $0 }
    }

    /// The data files of a split, in the order in which they are read.
    ///
    /// - Parameters:
    ///   - folder: Only what lies in this folder counts.
    ///   - type: The type of a file that can be read, by its name; of several types the one of the most frequent ending is taken.
    /// - Throws: `UserError` naming the subsets or splits that there are.
    func files(
        subset: String?, split: String, folder: String?, type: (String) -> String?
    ) throws -> [String] {
        let chosen = try chosenSubset(named: subset)
        var base = (folder ?? chosen?.folder ?? "").split(separator: "/").filter { $0 != "." }
            .joined(separator: "/")
        if !base.isEmpty { base += "/" }
        let candidates = files.filter { name in
            name.hasPrefix(base) && !isIgnored(name.dropFirst(base.count))
        }.sorted()
        let patterns =
            chosen?.patterns ?? standardPatterns(for: candidates.map { String($0.dropFirst(base.count)) })
        guard let wanted = patterns.first(where: { $0.split == split })?.patterns else {
            let known = patterns.map(\.split).sorted().joined(separator: ", ")
            throw UserError(
                .failedRun, "\(repository) has no split \"\(split)\".",
                remedy: known.isEmpty ? "Name another repository." : "Set split to one of: \(known).")
        }
        var found: [String] = []
        for pattern in wanted {
            found += candidates.filter {
                !found.contains($0) && matches($0.dropFirst(base.count), pattern: pattern)
            }
        }
        let readable = ofOneType(found, type)
        guard !readable.isEmpty else {
            throw UserError(
                .failedRun,
                found.isEmpty
                    ? "\(repository) has no file for the split \"\(split)\"."
                    : "\(repository) holds the split \"\(split)\" in files that are not supported, such as \(found[0]).",
                remedy: "Convert the data to JSONL and name the file in file_name.")
        }
        return readable
    }

    /// The files of the type that has the most frequent ending, in the order of preference that `datasets` has for equals.
    private func ofOneType(_ names: [String], _ type: (String) -> String?) -> [String] {
        var counts: [String: Int] = [:]
        for name in names where type(name) != nil { counts[String(ending(of: name)), default: 0] += 1 }
        let preferred = ["csv", "json", "jsonl", "parquet"]
        let most = names.filter { type($0) != nil }.max { one, other in
            let endings = [one, other].map { String(ending(of: $0)) }
            let ranks = endings.map { (counts[$0] ?? 0, preferred.firstIndex(of: $0) ?? -1) }
            return ranks[0] < ranks[1]
        }
        guard let most else { return [] }
        return names.filter { type($0) == type(most) }
    }

    /// What stands behind a name's last dot, that of a packed file left out.
    private func ending(of name: String) -> Substring {
        let parts = name.lowercased().split(separator: ".")
        let isPacked = ["gz", "zst"].contains(parts.last ?? "")
        return (isPacked ? parts.dropLast() : parts[...]).last ?? ""
    }

    private func chosenSubset(named name: String?) throws -> Subset? {
        let subsets = try self.subsets()
        let known = subsets.map(\.name).joined(separator: ", ")
        if let name {
            if let subset = subsets.first(where: { $0.name == name }) { return subset }
            if subsets.isEmpty, name == "default" { return nil }
            throw UserError(
                .failedRun, "\(repository) has no subset \"\(name)\".",
                remedy: subsets.isEmpty ? "Leave out subset." : "Set subset to one of: \(known).")
        }
        if subsets.count < 2 { return subsets.first }
        guard let subset = subsets.first(where: \.isDefault) ?? subsets.first(where: { $0.name == "default" })
        else {
            throw UserError(
                .failedRun, "\(repository) has several subsets, and none is named.",
                remedy: "Set subset to one of: \(known).")
        }
        return subset
    }

    private func subsets() throws -> [Subset] {
        let lines = (readme ?? "").split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---") else { return [] }
        let root: Node?
        do {
            root = try Parser(yaml: lines[1..<end].joined(separator: "\n")).singleRoot()
        } catch {
            throw UserError(
                .failedRun, "The front matter of README.md in \(repository) is no YAML.",
                remedy: "Download the data and name its file in file_name.")
        }
        guard let configs = root?["configs"]?.sequence else { return [] }
        return configs.map { config in
            Subset(
                name: config["config_name"]?.string ?? "default",
                isDefault: config["default"]?.bool ?? false, folder: config["data_dir"]?.string,
                patterns: config["data_files"].map(patterns))
        }
    }

    /// `data_files` in its forms: a pattern, a list of patterns, or a list of `split` and `path`.
    private func patterns(_ node: Node) -> [(split: String, patterns: [String])] {
        func texts(_ node: Node?) -> [String] {
            node?.string.map { [$0] } ?? (node?.sequence ?? []).compactMap(\.string)
        }
        if let entries = node.sequence, entries.contains(where: { $0.mapping != nil }) {
            return entries.map { ($0["split"]?.string ?? "train", texts($0["path"])) }
        }
        if let splits = node.mapping { return splits.map { ($0.key.string ?? "", texts($0.value)) } }
        return [("train", texts(node))]
    }

    private func isIgnored(_ name: Substring) -> Bool {
        let parts = name.split(separator: "/")
        return parts.contains { $0.hasPrefix(".") || $0.hasPrefix("__") }
            || [
                "README.md", "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip",
                "dataset_dict.json",
            ].contains(parts.last)
    }

    /// The patterns of the first convention that any of the names follows.
    private func standardPatterns(for names: [String]) -> [(split: String, patterns: [String])] {
        let digits = String(repeating: "[0-9]", count: 5)
        let shards = names.filter { matches($0[...], pattern: "data/*-\(digits)-of-\(digits)*.*") }
        let shardSplits = shards.compactMap { name -> String? in
            guard let end = name.range(of: "-\(digits)-of-", options: .regularExpression) else { return nil }
            return String(name[name.index(name.startIndex, offsetBy: 5)..<end.lowerBound])
        }
        if !shardSplits.isEmpty {
            return Set(shardSplits).sorted().map { ($0, ["data/\($0)-\(digits)-of-\(digits)*.*"]) }
        }
        let words = [
            ("train", ["train", "training"]), ("validation", ["validation", "valid", "dev", "val"]),
            ("test", ["test", "testing", "eval", "evaluation"]),
        ]
        let separator = "[-._ 0-9]"
        let conventions: [(String) -> [String]] = [
            {
                [
                    "\($0)/**", "\($0)\(separator)*/**", "*\(separator)\($0)/**",
                    "*\(separator)\($0)\(separator)*/**",
                ]
            },
            { ["\($0)\(separator)*", "*\(separator)\($0)\(separator)*"] },
        ]
        for convention in conventions {
            let splits = words.map { split, words in (split, words.flatMap(convention).map { "**/" + $0 }) }
                .filter { _, patterns in
                    names.contains { name in patterns.contains { matches(name[...], pattern: $0) } }
                }
            if !splits.isEmpty { return splits }
        }
        return names.isEmpty ? [] : [("train", ["**"])]
    }
}

/// Whether a path matches a pattern in which `**` stands for any number of folders.
func matches(_ path: Substring, pattern: String) -> Bool {
    func matches(_ path: ArraySlice<Substring>, _ pattern: ArraySlice<Substring>) -> Bool {
        guard let first = pattern.first else { return path.isEmpty }
        if first == "**" {
            let rest = pattern.dropFirst()
            if rest.isEmpty { return !path.isEmpty }
            return (0...path.count).contains { matches(path.dropFirst($0), rest) }
        }
        guard let name = path.first, fnmatch(String(first), String(name), 0) == 0 else { return false }
        return matches(path.dropFirst(), pattern.dropFirst())
    }
    // Several `**` in a row are one; more than a few apart would take long on deep paths.
    var parts: [Substring] = []
    for part in pattern.split(separator: "/") where part != "." && !(part == "**" && parts.last == "**") {
        parts.append(part)
    }
    guard parts.filter({ $0 == "**" }).count <= 4 else { return false }
    return matches(path.split(separator: "/")[...], parts[...])
}
