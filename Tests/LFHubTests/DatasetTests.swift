import Foundation
import LFDiagnostics
import LFHub
import Testing

@Suite struct HubDatasetTests {
    private static let rows = Array("{\"instruction\": \"a\", \"output\": \"b\"}\n".utf8)

    private func withHub(
        _ names: [String], readme: String? = nil,
        type: @escaping @Sendable (String) -> String? = { name in
            ["jsonl": "json", "json": "json", "csv": "csv"].first { name.hasSuffix("." + $0.key) }?.value
        },
        _ body: (HubServer, HuggingFaceHub, _ read: (String?, String, String?) throws -> [String]) throws ->
            Void
    ) throws {
        var files: [String: [UInt8]] = [:]
        for name in names { files[name] = Self.rows + Array(name.utf8) }
        if let readme { files["README.md"] = Array(readme.utf8) }
        let server = HubServer(.init(files: files))
        let cache = FileManager.default.temporaryDirectory.path + "/hub-\(UUID().uuidString)"
        defer {
            server.stop()
            try? FileManager.default.removeItem(atPath: cache)
        }
        var settings = HubSettings(
            environment: ["HF_ENDPOINT": server.endpoint, "HF_HUB_CACHE": cache, "HOME": cache])
        settings.retryDelay = 0.001
        let hub = HuggingFaceHub(settings)
        let prefix = "\(cache)/datasets--team--rows/snapshots/\(HubServer.commit)/"
        try body(server, hub) { subset, split, folder in
            try hub.datasetFiles(
                "team/rows", subset: subset, split: split, folder: folder, type: type
            ).map { path in
                let name = path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
                #expect(FileManager.default.contents(atPath: path).map { Array($0) } == files[name])
                return name
            }
        }
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "nothing thrown"
    }

    private func expect(
        _ files: [String], are expected: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) { #expect(files == expected, sourceLocation: sourceLocation) }

    @Test func namesOfFilesTellTheSplit() throws {
        try withHub(["a-train.jsonl", "test.jsonl", "notes.jsonl", "more/dev_1.jsonl"]) { _, _, read in
            try expect(read(nil, "train", nil), are: ["a-train.jsonl"])
            try expect(read(nil, "test", nil), are: ["test.jsonl"])
            try expect(read(nil, "validation", nil), are: ["more/dev_1.jsonl"])
            #expect(
                message { _ = try read(nil, "all", nil) }.contains(
                    "no split \"all\". Set split to one of: test, train, validation."))
        }
    }

    @Test func foldersGoBeforeNamesAndShardsBeforeFolders() throws {
        try withHub(["train/x.jsonl", "test.jsonl", "other/train/y.jsonl"]) { _, _, read in
            try expect(read(nil, "train", nil), are: ["other/train/y.jsonl", "train/x.jsonl"])
            #expect(message { _ = try read(nil, "test", nil) }.contains("one of: train."))
        }
        try withHub(["data/big-00000-of-00002.jsonl", "data/big-00001-of-00002.jsonl", "train.jsonl"]) {
            try expect(
                $2(nil, "big", nil), are: ["data/big-00000-of-00002.jsonl", "data/big-00001-of-00002.jsonl"])
        }
    }

    @Test func ofSeveralTypesTheMostFrequentIsRead() throws {
        try withHub(["a.csv", "b.jsonl", "c.jsonl", "d.json"]) { _, _, read in
            try expect(read(nil, "train", nil), are: ["b.jsonl", "c.jsonl", "d.json"])
        }
        try withHub(["a.csv", "b.csv", "c.jsonl"]) {
            try expect($2(nil, "train", nil), are: ["a.csv", "b.csv"])
        }
        try withHub(["a.csv", "b.jsonl"]) { try expect($2(nil, "train", nil), are: ["b.jsonl"]) }
    }

    @Test func withoutAConventionAllFilesAreTheTrainingSet() throws {
        try withHub(["b.jsonl", "a b.jsonl", ".hidden.jsonl", "image.png"]) { server, _, read in
            try expect(read(nil, "train", nil), are: ["a b.jsonl", "b.jsonl"])
            #expect(server.requests.contains { $0.contains("/a%20b.jsonl") })
            #expect(!server.requests.contains { $0.contains("image.png") })
        }
        try withHub(["a/x.jsonl", "b/y.jsonl"]) { try expect($2(nil, "train", "b"), are: ["b/y.jsonl"]) }
    }

    @Test func theFrontMatterNamesSubsets() throws {
        let readme = """
            ---
            license: mit
            configs:
            - config_name: small
              data_files: s/*.jsonl
            - config_name: large
              default: true
              data_files:
              - split: train
                path: ["**/l?.jsonl"]
              - split: test
                path: t.jsonl
            ---
            # Rows
            """
        try withHub(["s/1.jsonl", "s/2.jsonl", "x/y/l1.jsonl", "t.jsonl"], readme: readme) { _, _, read in
            try expect(read("small", "train", nil), are: ["s/1.jsonl", "s/2.jsonl"])
            try expect(read(nil, "train", nil), are: ["x/y/l1.jsonl"])
            try expect(read("large", "test", nil), are: ["t.jsonl"])
            #expect(
                message { _ = try read("huge", "train", nil) }.contains(
                    "no subset \"huge\". Set subset to one of: small, large."))
        }
    }

    @Test func typesThatCannotBeReadAreNamed() throws {
        try withHub(["train.parquet"]) { _, _, read in
            #expect(message { _ = try read(nil, "train", nil) }.contains("such as train.parquet"))
        }
    }

    @Test func downloadsServeWithoutTheNetwork() throws {
        try withHub(["train.jsonl", "test.jsonl"]) { server, hub, read in
            try expect(read(nil, "train", nil), are: ["train.jsonl"])
            server.stop()
            try expect(read(nil, "train", nil), are: ["train.jsonl"])
            var offline = hub
            offline.settings.isOffline = true
            let text = message { _ = try offline.datasetFiles("team/rows", split: "test") { _ in "json" } }
            #expect(text.contains("HF_HUB_OFFLINE is set"), "Only the training set was downloaded.")
            let kept = try offline.datasetFiles("team/rows") { _ in "json" }
            #expect(kept.count == 1)
        }
    }

    @Test func singleFilesAreFetchedAndKept() throws {
        try withHub(["dataset_info.json", "data/a.jsonl"]) { server, hub, _ in
            let path = try hub.datasetFile("data/a.jsonl", of: "team/rows")
            #expect(
                FileManager.default.contents(atPath: path) == Data(Self.rows + Array("data/a.jsonl".utf8)))
            #expect(
                message { _ = try hub.datasetFile("b.jsonl", of: "team/rows") }.contains(
                    "The dataset team/rows has no file b.jsonl."))
            server.stop()
            let kept = try hub.datasetFile("data/a.jsonl", of: "team/rows")
            #expect(kept == path)
            #expect(
                message { _ = try hub.datasetFile("dataset_info.json", of: "team/rows") }.contains(
                    "dataset_info.json of the dataset team/rows could not be downloaded"))
        }
    }

    @Test func namesThatLeadOutAreIgnored() throws {
        try withHub(["../train.jsonl", "/train.jsonl", "train.jsonl"]) {
            try expect($2(nil, "train", nil), are: ["train.jsonl"])
        }
    }
}
