import Foundation
import LFDiagnostics
import LFJSON

/// A place that models and datasets are downloaded from, into a cache shared with Python.
public protocol Hub: Sendable {
    var settings: HubSettings { get set }

    /// The folder holding a repository's configuration, tokenizer and safetensors files at a revision.
    ///
    /// What is kept already is not fetched again. When the hub cannot be reached, an earlier download is used with a
    /// warning.
    ///
    /// - Parameters:
    ///   - repository: `owner/name`.
    ///   - revision: A branch, tag or commit; `main` names the default branch.
    /// - Throws: `UserError` naming the repository and what the hub answered.
    func modelFolder(_ repository: String, revision: String) throws -> String

    /// The files of one split of a dataset, downloaded where they are not kept already.
    ///
    /// Splits and subsets are found as Hugging Face's `datasets` finds them. When the hub cannot be reached, an earlier
    /// download is used with a warning.
    ///
    /// - Parameters:
    ///   - subset: One of the `configs` in the front matter of the repository's README.md.
    ///   - folder: Only files in this folder of the repository count.
    ///   - type: The type of a file that can be read, by its name; nil for others.
    /// - Returns: Paths in the cache, in the order in which the rows are to be read.
    /// - Throws: `UserError` naming the repository and what the hub answered or lacks.
    func datasetFiles(
        _ repository: String, subset: String?, split: String, folder: String?, type: (String) -> String?
    ) throws -> [String]
}

extension Hub {
    /// The model at the default branch.
    public func modelFolder(_ repository: String) throws -> String {
        try modelFolder(repository, revision: "main")
    }

    /// The training set of a dataset.
    public func datasetFiles(
        _ repository: String, split: String = "train", type: (String) -> String?
    ) throws -> [String] {
        try datasetFiles(repository, subset: nil, split: split, folder: nil, type: type)
    }
}

/// Whether a name could be a hub's: `owner/name`, of letters, digits, `-`, `_` and `.`.
public func isRepositoryName(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2 && name.utf8.count <= 192
        && parts.allSatisfy { part in
            !part.isEmpty && !part.hasPrefix(".") && !part.hasSuffix(".") && !part.hasPrefix("-")
                && !part.contains("..") && !part.contains("--")
                && part.utf8.allSatisfy { isNameByte($0) }
        }
}

/// Whether a name could be a dataset's: `owner/name`, or on the Hugging Face hub `name` of the oldest ones.
public func isDatasetName(_ name: String, on service: HubService = .huggingFace) -> Bool {
    isRepositoryName(name) || service == .huggingFace && isRepositoryName("owner/" + name)
}

/// A file is not in the cache.
private struct NotKept: Error {}

/// What `body` gives when every file that it asks for lies in a folder already; nil when one does not.
func ifKept<R>(in folder: String, _ body: (_ fetch: (String) throws -> Void) throws -> R) throws -> R? {
    do {
        return try body { name in
            guard FileManager.default.fileExists(atPath: folder + "/" + name) else { throw NotKept() }
        }
    } catch is NotKept { return nil }
}

/// What a repository held when it was downloaded; Python keeps no such list, then the files that are there.
func keptNames(listing path: String, folder: String) -> [String] {
    if let names = try? JSONValue.read(path: path).array { return names.compactMap(\.string) }
    let found = FileManager.default.enumerator(atPath: folder)
    return (found?.compactMap { $0 as? String } ?? []).filter { name in
        var isFolder: ObjCBool = false
        let path = folder + "/" + name
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
            && !name.hasSuffix(".incomplete")
    }
}

/// Writes down what a repository holds.
func keepNames(_ names: [String], listing path: String) throws {
    try createDirectories(at: (path as NSString).deletingLastPathComponent)
    try writeFileAtomically(
        JSONValue.array(names.map { .string($0) }).serialized(ensureASCII: false), to: path)
}
