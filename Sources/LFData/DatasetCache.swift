import Foundation
public import LFConfig
import LFDiagnostics
public import LFTemplate
public import LFTokenizer

/// Keeps processed datasets, so that a run whose data, tokenizer, template and arguments are those of an earlier one
/// starts without reading and tokenizing them again.
///
/// A file appears whole or not at all, under a name made from the content that it stands for: several runs may look and write
/// at once, and what a killed one leaves behind is never read.
public struct DatasetCache: Sendable {
    /// Where the files lie; made when the first one is written.
    public var folder: String
    /// Data of fewer bytes are read anew: that takes no time, and leaves nothing behind.
    public var leastByteCount = 1 << 20
    /// The files that were not used for longest go when all together are larger.
    public var mostByteCount = 10 << 30

    public init(folder: String) {
        self.folder = folder
    }

    /// The user's cache: `LLAMAFACTORY_CACHE`, else `llamafactory` in `XDG_CACHE_HOME` or in `~/.cache`.
    ///
    /// - Returns: Nil where the variable is set to nothing, which switches the cache off, or where there is no home.
    public static func standard(environment: [String: String]) -> DatasetCache? {
        if let folder = environment["LLAMAFACTORY_CACHE"] {
            return folder.isEmpty ? nil : DatasetCache(folder: folder + "/datasets")
        }
        let caches = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        let home = environment["HOME"].flatMap { $0.hasPrefix("/") ? $0 + "/.cache" : nil }
        return (caches ?? home).map { DatasetCache(folder: $0 + "/llamafactory/datasets") }
    }

    fileprivate func path(for key: String) -> String { "\(folder)/\(key).tokens" }

    /// Removes what killed writers left, and the least recently used files above the bound.
    fileprivate func prune() {
        removeAbandonedTemporaries(in: folder)
        var files: [(path: String, size: Int, used: Int)] = []
        for name in directoryEntries(folder) where name.hasSuffix(".tokens") {
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0 else { continue }
            files.append(("\(folder)/\(name)", Int(status.st_size), status.st_mtim.tv_sec))
        }
        var size = files.reduce(0) { $0 + $1.size }
        for file in files.sorted(by: { $0.used < $1.used }) where size > mostByteCount {
            unlink(file.path)
            size -= file.size
        }
    }
}

/// Whether a `tokenized_path` holds data that a run would read instead of its datasets.
public func hasTokenizedData(_ data: DataArguments) -> Bool {
    data.tokenizedPath.map { FileManager.default.fileExists(atPath: tokenizedFile(in: $0)) } ?? false
}

private func tokenizedFile(in folder: String) -> String { folder + "/dataset.tokens" }

/// Reads, mixes, splits and tokenizes the datasets of a run, or takes them from `tokenized_path` or the cache.
///
/// - Parameters:
///   - tokenizerFolder: Where the tokenizer was read from.
///   - cache: Nil for reading the data in any case.
/// - Throws: A `UserError` as `processDatasets(config:tokenizer:template:)`, or when `tokenized_path` cannot be used.
public func loadDatasets(
    config: ResolvedConfig, tokenizer: Tokenizer, template: Template, tokenizerFolder: String,
    cache: DatasetCache?
) throws -> DatasetModule {
    func process() throws -> DatasetModule {
        try processDatasets(config: config, tokenizer: tokenizer, template: template)
    }
    // Streams are not cached: computing the key would read all the data.
    if config.data.streaming { return try process() }
    let stage = config.finetuning.stage.rawValue
    let threads = ProcessInfo.processInfo.activeProcessorCount
    func source() throws -> DatasetSource {
        try DatasetSource(config, tokenizer: tokenizer, template: template, tokenizerFolder: tokenizerFolder)
    }

    if let folder = config.data.tokenizedPath {
        let path = tokenizedFile(in: folder)
        if hasTokenizedData(config.data) {
            var (header, module) = try TokenizedFile.read(path, threads: threads)
            guard header.stage == stage else {
                throw UserError(
                    .failedRun,
                    "The tokenized data was made for the stage \(header.stage), and this run's is \(stage).",
                    at: path, remedy: "Name another folder in tokenized_path.")
            }
            try located(path) { try module.requireRoom(positions: config.data.positionLimit) }
            module.notes.append("Loaded tokenized dataset from \(folder).")
            if (try? source().key) != header.key {
                module.warnings.append(
                    "tokenized_path: \(folder) was made from other data or with other arguments than this run's, which are ignored."
                )
            }
            return module
        }
        var isFolder: ObjCBool = true
        guard !FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) || isFolder.boolValue
        else {
            throw UserError(
                .configuration, "tokenized_path names a file.", at: folder,
                remedy: "Name a folder for the tokenized data.")
        }
        guard directoryEntries(folder).isEmpty else {
            throw UserError(
                .failedRun, "The folder holds files, but no tokenized data of this program.", at: folder,
                remedy:
                    "Name a new folder in tokenized_path; data that the Python original saved is made anew.")
        }
        var module = try process()
        try createDirectories(at: folder)
        try TokenizedFile.write(
            module, TokenizedFile.Header(key: source().key, stage: stage), to: path)
        module.notes.append("Tokenized dataset is saved at \(folder).")
        return module
    }

    guard let cache else { return try process() }
    let source = try source()
    guard source.byteCount >= cache.leastByteCount else { return try process() }
    let path = cache.path(for: source.key)
    var damage: String?
    if !config.data.overwriteCache, FileManager.default.fileExists(atPath: path) {
        do {
            var (header, module) = try TokenizedFile.read(path, threads: threads)
            if header.key == source.key, header.stage == stage {
                utimes(path, nil)
                module.notes.append("The tokenized data is taken from \(path).")
                return module
            }
        } catch let error as UserError {
            damage = "\(error.problem) It is made again: \(path)."
        }
    }
    var module = try process()
    do {
        try createDirectories(at: cache.folder)
        try TokenizedFile.write(module, TokenizedFile.Header(key: source.key, stage: stage), to: path)
        module.notes.append("The tokenized data is kept at \(path).")
        cache.prune()
    } catch {
        // A cache that cannot be written costs time, not the run.
        module.warnings.append("The tokenized data is not kept for later runs: \(error)")
    }
    if let damage { module.warnings.append(damage) }
    return module
}

extension DatasetModule {
    /// Refuses examples that are longer than a model's table of positions.
    fileprivate func requireRoom(positions limit: Int?) throws(UserError) {
        for (name, examples) in [("training", train ?? [])] + eval.map({ ("evaluation", $0.examples) }) {
            for (index, example) in examples.enumerated() {
                try example.requireRoom(
                    positions: limit, "Example \(index + 1) of the tokenized \(name) data")
            }
        }
    }
}

/// What a processed dataset is made from.
private struct DatasetSource {
    /// The digest of all of it: data, tokenizer, template, arguments and this program.
    let key: String
    /// The size of the data files.
    let byteCount: Int

    init(_ config: ResolvedConfig, tokenizer: Tokenizer, template: Template, tokenizerFolder: String) throws {
        var digest = ContentDigest()
        var byteCount = 0
        func size(of path: String) -> Int {
            var status = stat()
            return stat(path, &status) == 0 ? Int(status.st_size) : 0
        }
        // Another build may process otherwise.
        var program = stat()
        if stat("/proc/self/exe", &program) == 0 {
            digest.update("program \(program.st_size) \(program.st_mtim.tv_sec) \(program.st_mtim.tv_nsec)")
        }
        var data = config.data
        data.overwriteCache = false
        data.tokenizedPath = nil
        digest.update("\(data)")
        digest.update(
            "\(config.finetuning.stage) \(config.training.seed) \(config.training.predictWithGenerate)")
        var template = template
        let namesDay = template.own?.namesTime ?? (template.toolFormat == .llama3)
        if !namesDay { template.today = nil }
        digest.update("\(template)")

        let vocabularies = [".json", ".model", ".tiktoken", ".txt", ".jinja"]
        for name in directoryEntries(tokenizerFolder)
        where vocabularies.contains(where: { name.hasSuffix($0) }) && !name.hasSuffix(".index.json") {
            digest.update(name)
            try digest.update(contentsOf: tokenizerFolder + "/" + name)
        }
        digest.update("\(config.model.splitSpecialTokens) \(tokenizer.specialIDs.sorted())")
        for (id, token) in tokenizer.addedTokens { digest.update("\(id) \(token)") }
        digest.update("\(tokenizer.bosID ?? -1) \(tokenizer.eosID ?? -1) \(tokenizer.padID ?? -1)")

        let info = try DatasetInfo(config)
        for name in config.data.dataset + config.data.evalDataset {
            var notes: [String] = []
            let entry = try info.entry(named: name, warnings: &notes)
            digest.update("\(entry) \(notes)")
            for path in try entry.paths(config) {
                digest.update(path)
                try digest.update(contentsOf: path)
                byteCount += size(of: path)
            }
        }
        key = digest.hex
        self.byteCount = byteCount
    }
}
