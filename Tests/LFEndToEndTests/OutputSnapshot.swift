import Foundation
import LFJSON

/// What a run left in `output_dir`, without what must differ between two runs: clock times.
struct OutputSnapshot {
    private var files: [String: Data] = [:]

    init(_ workplace: Workplace, _ folder: String = "out") throws {
        for name in workplace.tree(folder) {
            let path = "\(workplace.path)/\(folder)/\(name)"
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue
            else {
                continue
            }
            let content = try workplace.bytes("\(folder)/\(name)")
            // A checkpoint's manifest holds the checksums of files with times in them.
            guard !name.hasSuffix("manifest.json") else { continue }
            if name.hasSuffix(".jsonl") {
                var lines = ""
                try JSONValue.forEachLine(path: path) { lines += timeless($1).serialized() + "\n" }
                files[name] = Data(lines.utf8)
            } else if name.hasSuffix(".json"), !name.hasSuffix("tokenizer.json") {
                files[name] = Data(timeless(try workplace.json("\(folder)/\(name)")).serialized().utf8)
            } else {
                files[name] = content
            }
        }
    }

    var names: [String] { files.keys.sorted() }

    /// The files that are not as in `other`, with what is wrong.
    func differences(from other: OutputSnapshot) -> [String] {
        Set(files.keys).union(other.files.keys).sorted().compactMap { name in
            guard let ours = files[name] else { return "\(name) is missing" }
            guard let theirs = other.files[name] else { return "\(name) is too many" }
            return ours == theirs ? nil : "\(name) differs"
        }
    }
}

/// The value with every duration and rate set to null.
private func timeless(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let elements): return .array(elements.map(timeless))
    case .object(let members):
        var kept = JSONObject()
        for (key, member) in members {
            let isTime = ["_runtime", "_per_second", "_per_sec", "ed_time", "ing_time", "throughput"].contains
            {
                key.hasSuffix($0)
            }
            kept[key] = isTime ? .null : timeless(member)
        }
        return .object(kept)
    default: return value
    }
}
