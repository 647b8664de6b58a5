import Foundation
import LFConfig
import LFDiagnostics
import LFHub
import LFJSON

/// One dataset as `dataset_info.json` describes it.
struct DatasetEntry: Sendable, Equatable {
    enum Formatting: String, Sendable, CaseIterable { case alpaca, sharegpt, openai }

    /// Column names; nil where the dataset has no such column.
    struct Columns: Sendable, Equatable {
        var prompt: String? = "instruction"
        var query: String? = "input"
        /// Whether the entry names the query's column: the usual one may be missing.
        var namesQuery = false
        var response: String? = "output"
        var history: String?
        var messages: String? = "conversations"
        var system: String?
        var tools: String?
        var images: String?
        var videos: String?
        var audios: String?
        var chosen: String?
        var rejected: String?
        var ktoTag: String?
    }

    /// What messages call their parts and their speakers; nil where a dataset has no such speaker.
    struct Tags: Sendable, Equatable {
        var role = "from"
        var content = "value"
        var user: String? = "human"
        var assistant: String? = "gpt"
        var observation: String? = "observation"
        var function: String? = "function_call"
        var system: String? = "system"
    }

    /// Where the rows come from.
    enum Source: Sendable, Equatable {
        /// File or folder under `dataset_dir`.
        case file(String)
        case hub(HubDataset)
    }

    /// A dataset on the Hugging Face hub or on ModelScope.
    struct HubDataset: Sendable, Hashable {
        var service = HubService.huggingFace
        var repository: String
        var subset: String?
        var split = "train"
        var folder: String?
    }

    var name: String
    var source: Source
    var formatting = Formatting.alpaca
    var isRanking = false
    var sampleCount: Int?
    var columns = Columns()
    var tags = Tags()
}

/// The contents of a `dataset_info.json`.
struct DatasetInfo {
    let path: String
    private let entries: JSONObject
    private let repeatedKey: String?
    /// `dataset_dir: ONLINE`: names are those of repositories.
    private let isOnline: Bool
    /// The hub that the environment asks for.
    private let service = HubService(environment: ProcessInfo.processInfo.environment)

    private static let keys: Set = [
        "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name", "file_name", "formatting",
        "ranking",
        "subset", "split", "folder", "num_samples", "columns", "tags",
    ]
    private static let columnKeys: Set = [
        "prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos", "audios",
        "chosen",
        "rejected", "kto_tag",
    ]
    private static let tagKeys: Set = [
        "role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag",
        "system_tag",
    ]
    /// Where a dataset may come from besides a file.
    private static let remoteKeys = [
        "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name",
    ]

    /// Reads the file of `dataset_dir`: a folder, or `REMOTE:owner/name`, a dataset's repository on the Hugging Face hub.
    ///
    /// - Throws: A `UserError` when the file is not there or cannot be read.
    init(_ config: ResolvedConfig) throws {
        let folder = config.data.datasetDir
        if folder == "ONLINE" {
            (path, entries, isOnline, repeatedKey) = (folder, [:], true, nil)
            return
        }
        isOnline = false
        if let repository = try RemoteFolder(config) {
            path = try repository.path(of: "dataset_info.json")
        } else {
            path = (folder.isEmpty ? "." : folder) + "/dataset_info.json"
            guard directoryEntries(folder.isEmpty ? "." : folder).contains("dataset_info.json") else {
                throw UserError(
                    .failedRun, "Cannot open \(path): there is no such file.",
                    remedy: "Set dataset_dir to the folder that holds dataset_info.json.")
            }
        }
        let root = try JSONDocument(path: path).root
        repeatedKey = root.repeatedKey
        let value = root.value
        guard let entries = value.object else {
            throw UserError(
                .failedRun, "The file holds \(value.kind) where an object belongs.", at: path,
                remedy: "Write {\"name\": {\"file_name\": …}, …}.")
        }
        self.entries = entries
    }

    /// The entry of a dataset.
    ///
    /// - Parameter warnings: Takes a sentence for every key that has no meaning.
    /// - Throws: A `UserError` when there is no such dataset or its entry is wrong.
    func entry(named name: String, warnings: inout [String]) throws(UserError) -> DatasetEntry {
        if isOnline {
            let dataset = DatasetEntry.HubDataset(service: service, repository: name)
            try dataset.check(key: "dataset", at: "dataset_dir: ONLINE")
            return DatasetEntry(name: name, source: .hub(dataset))
        }
        guard let value = entries[name] else {
            let nearest = nearestName(to: name, among: entries.keys)
            throw UserError(
                .configuration, "The dataset \"\(name)\" is not defined.", at: path,
                remedy: nearest.map { "Did you mean \"\($0)\"?" } ?? "Add an entry for it.")
        }
        if let repeatedKey {
            warnings.append("\(path): the key \"\(repeatedKey)\" stands twice; the last one counts.")
        }
        let place = "\(path): \(name)"
        let fields = EntryFields(members: try object(value, at: place), place: place)
        var entry = DatasetEntry(name: name, source: try source(fields))
        warnings += unknownKeys(in: fields.members, known: Self.keys, at: place) + uselessKeys(fields)
        if let formatting = try fields.string("formatting") {
            guard let known = DatasetEntry.Formatting(rawValue: formatting) else {
                throw UserError(
                    .failedRun, "formatting is \"\(formatting)\".", at: place,
                    remedy: "Use alpaca, sharegpt or openai.")
            }
            entry.formatting = known
        }
        entry.isRanking = try fields.bool("ranking") ?? false
        entry.sampleCount = try fields.count("num_samples")
        if let columns = fields.members["columns"] {
            let fields = EntryFields(
                members: try object(columns, at: place + ".columns"), place: place + ".columns")
            warnings += unknownKeys(in: fields.members, known: Self.columnKeys, at: fields.place)
            entry.columns = try DatasetEntry.Columns(fields)
        }
        if let tags = fields.members["tags"] {
            let fields = EntryFields(members: try object(tags, at: place + ".tags"), place: place + ".tags")
            warnings += unknownKeys(in: fields.members, known: Self.tagKeys, at: fields.place)
            entry.tags = try DatasetEntry.Tags(fields)
        }
        return entry
    }

    /// A file here goes before what must be downloaded.
    private func source(_ fields: EntryFields) throws(UserError) -> DatasetEntry.Source {
        if let fileName = try fields.string("file_name") {
            if !namesRemote(fields), let split = try fields.string("split"), split != "train" {
                throw UserError(
                    .failedRun, "split is \"\(split)\", and a file's only split is train.", at: fields.place,
                    remedy: "Leave split out; num_samples and max_samples choose rows.")
            }
            return .file(fileName)
        }
        if let (key, service, repository) = try repository(fields) {
            guard service != .modelers else { throw unsupported(key, fields) }
            var dataset = DatasetEntry.HubDataset(service: service, repository: repository)
            dataset.subset = try fields.string("subset")
            dataset.split = try fields.string("split") ?? "train"
            dataset.folder = try fields.string("folder")
            try dataset.check(key: key, at: fields.place)
            return .hub(dataset)
        }
        if let key = Self.remoteKeys.first(where: { fields.members[$0] != nil }) {
            throw unsupported(key, fields)
        }
        throw UserError(
            .failedRun, "file_name is missing.", at: fields.place,
            remedy: "Name the data set's file, or its repository in hf_hub_url or ms_hub_url.")
    }

    private func unsupported(_ key: String, _ fields: EntryFields) -> UserError {
        UserError(
            .failedRun, "\(key) is not supported yet.", at: fields.place,
            remedy: "Download the data set and name its file in file_name.")
    }

    /// Of the hubs that the entry names, the one that the environment asks for; without a wish Hugging Face's first.
    private func repository(
        _ fields: EntryFields
    ) throws(UserError) -> (key: String, service: HubService, name: String)? {
        let keys: [(key: String, service: HubService)] = [
            ("hf_hub_url", .huggingFace), ("ms_hub_url", .modelScope), ("om_hub_url", .modelers),
        ]
        var named: [(key: String, service: HubService, name: String)] = []
        for (key, service) in keys {
            if let name = try fields.string(key) { named.append((key, service, name)) }
        }
        return named.first { $0.service == service } ?? named.first
    }

    /// Whether the entry has a place besides a file, of which `subset`, `split` and `folder` speak.
    private func namesRemote(_ fields: EntryFields) -> Bool {
        Self.remoteKeys.contains { fields.members[$0] != nil }
    }

    /// A sentence for each key that chooses among the files of a hub, where there is no hub.
    private func uselessKeys(_ fields: EntryFields) -> [String] {
        guard !namesRemote(fields) else { return [] }
        return ["subset", "folder"].filter { fields.members[$0]?.isNull == false }.map { key in
            "\(fields.place): \(key) chooses from a hub's dataset and changes nothing for a file."
        }
    }

    private func object(_ value: JSONValue, at place: String) throws(UserError) -> JSONObject {
        guard let object = value.object else {
            throw UserError(
                .failedRun, "Expected an object, got \(value.kind).", at: place, remedy: "Write {…}.")
        }
        return object
    }

    private func unknownKeys(in members: JSONObject, known: Set<String>, at place: String) -> [String] {
        members.keys.filter { !known.contains($0) }.map { key in
            let nearest = nearestName(to: key, among: known)
            return "\(place): unknown key \"\(key)\"." + (nearest.map { " Did you mean \"\($0)\"?" } ?? "")
        }
    }
}

extension DatasetEntry.Columns {
    /// A table that names columns names all of them: the defaults hold only where there is no table.
    fileprivate init(_ fields: EntryFields) throws(UserError) {
        prompt = try fields.column("prompt")
        query = try fields.column("query")
        namesQuery = query != nil
        response = try fields.column("response")
        history = try fields.column("history")
        messages = try fields.column("messages")
        system = try fields.column("system")
        tools = try fields.column("tools")
        images = try fields.column("images")
        videos = try fields.column("videos")
        audios = try fields.column("audios")
        chosen = try fields.column("chosen")
        rejected = try fields.column("rejected")
        ktoTag = try fields.column("kto_tag")
    }
}

extension DatasetEntry.Tags {
    /// As for columns, a table of tags leaves out the speakers that it does not name.
    fileprivate init(_ fields: EntryFields) throws(UserError) {
        role = try fields.string("role_tag") ?? "from"
        content = try fields.string("content_tag") ?? "value"
        user = try fields.string("user_tag")
        assistant = try fields.string("assistant_tag")
        observation = try fields.string("observation_tag")
        function = try fields.string("function_tag")
        system = try fields.string("system_tag")
    }
}

/// Typed access to the members of an entry; null counts as missing.
private struct EntryFields {
    let members: JSONObject
    let place: String

    func string(_ key: String) throws(UserError) -> String? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let string = value.string else { throw wrongType(key, value, "text") }
        return string
    }

    /// A column's name; as upstream has it, empty text names none.
    func column(_ key: String) throws(UserError) -> String? {
        guard let name = try string(key), !name.isEmpty else { return nil }
        return name
    }

    func bool(_ key: String) throws(UserError) -> Bool? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let bool = value.bool else { throw wrongType(key, value, "true or false") }
        return bool
    }

    func count(_ key: String) throws(UserError) -> Int? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let count = value.int, count > 0 else { throw wrongType(key, value, "a number above 0") }
        return count
    }

    private func wrongType(_ key: String, _ value: JSONValue, _ expected: String) -> UserError {
        UserError(
            .failedRun, "\(key) is \(value.serialized(ensureASCII: false)).", at: place,
            remedy: "Give \(expected).")
    }
}
