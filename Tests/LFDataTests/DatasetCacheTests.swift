import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFStream
import LFTemplate
import LFTokenizer
import Synchronization
import Testing

/// Runs that share a folder of data and a cache.
private struct CachedRuns: ~Copyable {
    let folder: DataFolder
    var cache: DatasetCache

    init(info: String = DatasetErrorTests.alpaca, rows: [String]) throws {
        folder = try DataFolder(info: info, files: ["d.json": rows.joined(separator: "\n")])
        cache = DatasetCache(folder: folder.path + "/cache")
        cache.leastByteCount = 0
    }

    borrowing func load(_ overrides: String...) throws -> DatasetModule {
        try CachedRuns.load(folder.path, cache, overrides)
    }

    static func load(
        _ path: String, _ cache: DatasetCache, _ overrides: [String], stage: FinetuningArguments.Stage? = nil
    ) throws -> DatasetModule {
        let model = TrainingGolden.folder + "/models/tiny_llama"
        let arguments = [
            "model_name_or_path=\(model)", "stage=sft", "do_train=true", "finetuning_type=full",
            "template=llama3",
            "dataset=d", "dataset_dir=\(path)", "output_dir=\(path)/out", "cutoff_len=64",
        ]
        var config = try resolveConfig(arguments: arguments + overrides)
        if let stage { config.finetuning.stage = stage }
        let tokenizer = try Tokenizer.load(directory: model)
            .addingTokens(config.model.addTokens, special: false)
            .addingTokens(config.model.addSpecialTokens, special: true)
        let setup = try TemplateSetup(config.data, tokenizer: tokenizer)
        return try loadDatasets(
            config: config, tokenizer: setup.tokenizer, template: setup.template, tokenizerFolder: model,
            cache: cache)
    }

    /// The names of the kept files.
    var kept: [String] { directoryEntries(cache.folder) }
}

@Suite struct DatasetCacheTests {
    private static let rows = (0..<40).map {
        #"{"instruction": "question \#($0)", "input": "", "output": "answer \#($0)"}"#
    }

    @Test(arguments: [
        [], ["packing=true"], ["mask_history=true"], ["val_size=5"], ["stage=pt", "cutoff_len=8"],
    ])
    func aSecondRunGetsTheSameExamples(overrides: [String]) throws {
        let runs = try CachedRuns(rows: Self.rows + [#"{"instruction": "x", "input": "", "output": null}"#])
        let first = try CachedRuns.load(runs.folder.path, runs.cache, overrides)
        let second = try CachedRuns.load(runs.folder.path, runs.cache, overrides)
        #expect(first.notes.first?.hasPrefix("The tokenized data is kept at") == true)
        #expect(second.notes.first?.hasPrefix("The tokenized data is taken from") == true)
        #expect(second.train == first.train && second.eval == first.eval)
        #expect(second.warnings == first.warnings && second.firstExampleText == first.firstExampleText)
        #expect(first.train?.isEmpty == false)
    }

    @Test(arguments: ["dpo_sigmoid", "kto_lora", "sft_lora_two_datasets"])
    func everyFormOfExampleIsKept(run: String) throws {
        let cache = DatasetCache(folder: NSTemporaryDirectory() + "lf-cache-" + UUID().uuidString)
        defer { removeTree(cache.folder) }
        var eager = cache
        eager.leastByteCount = 0
        let golden = TrainingGolden.folder
        let config = try resolveConfig(arguments: [
            "\(golden)/runs/\(run)/config.yaml", "dataset_dir=\(golden)/data", "overwrite_cache=false",
        ])
        let model = "\(golden)/\(config.model.modelNameOrPath)"
        let setup = try TemplateSetup(config.data, tokenizer: Tokenizer.load(directory: model))
        let modules = try (0..<2).map { _ in
            try loadDatasets(
                config: config, tokenizer: setup.tokenizer, template: setup.template, tokenizerFolder: model,
                cache: eager)
        }
        #expect(modules[1].notes.first?.hasPrefix("The tokenized data is taken from") == true)
        #expect(modules[0].train == modules[1].train)
    }

    @Test func promptsWithAnswersAreKept() throws {
        let runs = try CachedRuns(rows: Self.rows)
        let modules = try (0..<2).map { _ in
            try CachedRuns.load(runs.folder.path, runs.cache, [], stage: .ppo)
        }
        #expect(modules[1].notes.first?.hasPrefix("The tokenized data is taken from") == true)
        #expect(modules[0].train?.count == 40 && modules[0].train == modules[1].train)
        guard case .prompted = modules[0].train?.first else {
            Issue.record("ppo's examples are prompts")
            return
        }
    }

    @Test func whatTheExamplesAreMadeFromMakesTheKey() throws {
        let runs = try CachedRuns(rows: Self.rows)
        _ = try runs.load()
        _ = try runs.load("learning_rate=0.5", "output_dir=\(runs.folder.path)/other")
        #expect(runs.kept.count == 1)
        for overrides in [
            ["cutoff_len=63"], ["template=qwen"], ["train_on_prompt=true"], ["max_samples=3"], ["seed=7"],
            ["default_system=Be kind."], ["stage=pt"], ["add_tokens=question"], ["add_tokens=answer"],
            ["add_special_tokens=question"],
        ] {
            let before = runs.kept.count
            _ = try CachedRuns.load(runs.folder.path, runs.cache, overrides)
            #expect(runs.kept.count == before + 1, "\(overrides)")
        }
        let before = runs.kept.count
        try runs.folder.write(
            "d.json",
            Data(
                Self.rows.joined(separator: "\n").replacingOccurrences(of: "answer 7", with: "answer 8").utf8)
        )
        let module = try runs.load()
        #expect(runs.kept.count == before + 1)
        #expect(module.notes.first?.hasPrefix("The tokenized data is kept at") == true)
    }

    @Test func damageIsNoticedAndMended() throws {
        let runs = try CachedRuns(rows: Self.rows)
        let module = try runs.load()
        let path = runs.cache.folder + "/" + (runs.kept.first ?? "")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        var damages: [Data] = [
            Data(), Data([1, 2, 3]), whole.dropLast(), whole.dropLast(whole.count / 2), whole + [0],
        ]
        for place in [0, 9, 40, whole.count / 2, whole.count - 20, whole.count - 1] {
            var changed = whole
            changed[place] ^= 0x10
            damages.append(changed)
        }
        for damage in damages {
            try Data(damage).write(to: URL(fileURLWithPath: path))
            let again = try runs.load()
            #expect(again.train == module.train)
            #expect(again.warnings.contains { $0.hasPrefix("The tokenized data is damaged.") })
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)
        }
    }

    @Test func runsAtOnceDisturbNobody() throws {
        let runs = try CachedRuns(rows: Self.rows)
        let folder = runs.folder.path
        let cache = runs.cache
        let modules = Mutex<[DatasetModule]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            if let module = try? CachedRuns.load(folder, cache, []) { modules.withLock { $0.append(module) } }
        }
        let loaded = modules.withLock { $0 }
        #expect(loaded.count == 8 && loaded.allSatisfy { $0.train == loaded[0].train })
        #expect(runs.kept.count == 1)
    }

    @Test func whatAKilledRunLeftIsClearedAway() throws {
        let runs = try CachedRuns(rows: Self.rows)
        try FileManager.default.createDirectory(atPath: runs.cache.folder, withIntermediateDirectories: true)
        // No process has an id this large.
        try Data("LFTOKEN1".utf8).write(
            to: URL(fileURLWithPath: runs.cache.folder + "/x.tokens.tmp-999999999-a"))
        _ = try runs.load()
        #expect(runs.kept.count == 1 && runs.kept.allSatisfy { $0.hasSuffix(".tokens") })
    }

    @Test func theCacheStaysSmall() throws {
        let runs = try CachedRuns(rows: Self.rows)
        var cache = runs.cache
        _ = try CachedRuns.load(runs.folder.path, cache, [])
        let oldest = runs.kept
        utimes(cache.folder + "/" + (oldest.first ?? ""), [timeval(), timeval()])
        var status = stat()
        stat(cache.folder + "/" + (oldest.first ?? ""), &status)
        cache.mostByteCount = Int(status.st_size) * 3 / 2
        _ = try CachedRuns.load(runs.folder.path, cache, ["seed=1"])
        #expect(runs.kept.count == 1 && runs.kept != oldest)
    }

    @Test func smallDataAndOverwrittenCachesAreReadAnew() throws {
        let runs = try CachedRuns(rows: Self.rows)
        var cache = runs.cache
        cache.leastByteCount = 1 << 20
        #expect(try CachedRuns.load(runs.folder.path, cache, []).notes == [])
        #expect(runs.kept.isEmpty)
        _ = try runs.load()
        #expect(
            try runs.load("overwrite_cache=true").notes.first?.hasPrefix("The tokenized data is kept at")
                == true)
    }

    @Test func aCacheThatCannotBeWrittenEndsNoRun() throws {
        let runs = try CachedRuns(rows: Self.rows)
        try runs.folder.write("cache", Data("a file".utf8))
        let module = try runs.load()
        #expect(module.train?.count == 40)
        #expect(module.warnings.contains { $0.hasPrefix("The tokenized data is not kept for later runs:") })
    }

    @Test func tokenizedDataIsWrittenAndRead() throws {
        let runs = try CachedRuns(rows: Self.rows)
        let path = "tokenized_path=\(runs.folder.path)/tokenized"
        let first = try runs.load(path)
        #expect(first.notes == ["Tokenized dataset is saved at \(runs.folder.path)/tokenized."])
        let second = try runs.load(path)
        #expect(second.train == first.train && second.warnings == first.warnings)
        #expect(second.notes == ["Loaded tokenized dataset from \(runs.folder.path)/tokenized."])
        // Other arguments are ignored, as upstream does, and said.
        let other = try runs.load(path, "cutoff_len=10")
        #expect(other.train == first.train)
        #expect(other.warnings.contains { $0.contains("was made from other data or with other arguments") })
        // The data themselves are needed no more.
        unlink(runs.folder.path + "/d.json")
        #expect(try runs.load(path).train == first.train)
    }

    @Test func tokenizedPathsThatCannotServeAreRefused() throws {
        let runs = try CachedRuns(rows: Self.rows)
        let folder = runs.folder.path
        _ = try runs.load("tokenized_path=\(folder)/tokenized")
        func failure(_ overrides: String...) -> String {
            do {
                _ = try CachedRuns.load(folder, runs.cache, overrides)
                return "no failure"
            } catch { return "\(error)".replacingOccurrences(of: folder, with: "") }
        }
        #expect(
            failure("tokenized_path=\(folder)/tokenized", "stage=pt").hasPrefix(
                "/tokenized/dataset.tokens: The tokenized data was made for the stage sft, and this run's is pt."
            ))
        try runs.folder.write("arrow/dataset_dict.json", Data("{}".utf8))
        #expect(
            failure("tokenized_path=\(folder)/arrow").hasPrefix(
                "/arrow: The folder holds files, but no tokenized data of this program."))
        try runs.folder.write("tokenized/dataset.tokens", Data("LFTOKEN1".utf8))
        #expect(
            failure("tokenized_path=\(folder)/tokenized").hasPrefix(
                "/tokenized/dataset.tokens: The tokenized data is damaged."))
    }

    @Test func theFolderFollowsTheEnvironment() {
        func folder(_ environment: [String: String]) -> String? {
            DatasetCache.standard(environment: environment)?.folder
        }
        #expect(folder(["LLAMAFACTORY_CACHE": "/c", "HOME": "/h"]) == "/c/datasets")
        #expect(folder(["LLAMAFACTORY_CACHE": "", "HOME": "/h"]) == nil)
        #expect(folder(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/llamafactory/datasets")
        #expect(folder(["HOME": "/h"]) == "/h/.cache/llamafactory/datasets")
        #expect(folder([:]) == nil)
    }
}
