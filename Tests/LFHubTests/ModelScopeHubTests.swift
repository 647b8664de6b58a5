import Foundation
import LFDiagnostics
import LFHub
import Testing

@Suite struct ModelScopeHubTests {
    private static let weights = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 256) }
    private static let files: [String: [UInt8]] = [
        "config.json": Array("{\"model_type\": \"llama\"}".utf8), "tokenizer.json": Array("{}".utf8),
        "model.safetensors": weights, "pytorch_model.bin": [1, 2, 3], "README.md": [4],
        "assets/config.json": [5],
    ]

    /// A server, a cache folder and a hub between them, gone after `body`.
    private func withHub(
        _ behaviour: HubServer.Behaviour = .init(files: files), token: String? = nil,
        _ body: (HubServer, ModelScopeHub, _ cache: String) throws -> Void
    ) throws {
        let server = HubServer(behaviour)
        let cache = FileManager.default.temporaryDirectory.path + "/hub-\(UUID().uuidString)"
        defer {
            server.stop()
            try? FileManager.default.removeItem(atPath: cache)
        }
        var settings = HubSettings(
            modelScope: [
                "MODELSCOPE_ENDPOINT": server.endpoint + "/", "MODELSCOPE_CACHE": cache, "HOME": cache,
            ],
            token: token)
        settings.retryDelay = 0.001
        try body(server, ModelScopeHub(settings), cache)
    }

    private func content(_ path: String) -> [UInt8]? {
        FileManager.default.contents(atPath: path).map { Array($0) }
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "nothing thrown"
    }

    @Test func layoutIsPythons() throws {
        try withHub { server, hub, cache in
            let folder = try hub.modelFolder("team/tiny")
            #expect(folder == "\(cache)/models/team--tiny/snapshots/master")
            #expect(content(folder + "/model.safetensors") == Self.weights)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(names.sorted() == ["config.json", "model.safetensors", "tokenizer.json"])
            // SHA-256 of "modelscope-hub-download-lock-v2", "file", "model", "team/tiny", "config.json" with zero bytes between.
            let lock = "file_10816d8009a9c79b5c098487c8bd1a466279b84904256717408b130acb5308a8.lock"
            let locks = try FileManager.default.contentsOfDirectory(atPath: cache + "/.lock")
            #expect(locks.contains(lock), "\(locks)")
            let before = server.requests.count
            let again = try hub.modelFolder("team/tiny", revision: "master")
            #expect(again == folder)
            #expect(server.requests.count == before + 1, "Only the listing is asked for again.")
        }
    }

    @Test func foldersOfOlderPythonsAreTaken() throws {
        for place in ["/models/team/tiny", "/hub/models/team/tiny"] {
            try withHub { server, hub, cache in
                let folder = cache + place
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try Data(Self.weights).write(to: URL(fileURLWithPath: folder + "/model.safetensors"))
                try Data("old".utf8).write(to: URL(fileURLWithPath: folder + "/tokenizer.json"))
                let found = try hub.modelFolder("team/tiny")
                #expect(found == folder)
                #expect(content(folder + "/tokenizer.json") == Self.files["tokenizer.json"])
                #expect(
                    !server.requests.contains { $0.contains("model.safetensors") }, "It is there and whole.")
            }
        }
    }

    @Test func cutTransfersGoOnWhereTheyBroke() throws {
        try withHub(.init(files: Self.files, cuts: 2)) { server, hub, _ in
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
            #expect(server.requests.contains("GET /cdn/model.safetensors bytes=25000-"))
            #expect(server.requests.contains("GET /cdn/model.safetensors bytes=37500-"))
        }
    }

    @Test func serversWithoutRangesOrSizesBeginAgain() throws {
        try withHub(.init(files: Self.files, ignoresRanges: true, cuts: 1)) { _, hub, _ in
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
        }
        try withHub(.init(files: Self.files, hidesSizes: true, cuts: 1)) { server, hub, _ in
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
            #expect(!server.requests.contains { $0.contains("bytes=") })
        }
    }

    @Test func anEarlierRunsPartIsTakenUpOrReplaced() throws {
        for part in [Array(Self.weights.prefix(123)), [UInt8](repeating: 7, count: 123)] {
            try withHub { server, hub, cache in
                let folder = cache + "/models/team--tiny/snapshots/master"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try Data(part).write(to: URL(fileURLWithPath: folder + "/model.safetensors.incomplete"))
                _ = try hub.modelFolder("team/tiny")
                #expect(content(folder + "/model.safetensors") == Self.weights)
                #expect(server.requests.contains("GET /cdn/model.safetensors bytes=123-"))
            }
        }
    }

    @Test(arguments: ["model.safetensors", "tokenizer.json"])
    func damagedDownloadsAreRefused(_ name: String) throws {
        let wrong = String(repeating: "ab", count: 32)
        try withHub(.init(files: Self.files, wrongChecksums: [name: wrong])) { server, hub, cache in
            let text = message { _ = try hub.modelFolder("team/tiny") }
            #expect(text.contains("The download of \(name) is damaged"), "\(text)")
            #expect(text.contains("not \(wrong)"))
            server.change { $0.wrongChecksums = [:] }
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/\(name)") == Self.files[name])
        }
    }

    /// A branch's folder follows the branch, and files that were damaged on disk are fetched again.
    @Test func changedFilesAreReplaced() throws {
        try withHub { server, hub, cache in
            let folder = try hub.modelFolder("team/tiny")
            server.change { $0.files["tokenizer.json"] = Array("[]".utf8) }
            _ = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/tokenizer.json") == Array("[]".utf8), "Same size, other content.")
            var damaged = Self.weights
            damaged[7] ^= 1
            try Data(damaged).write(to: URL(fileURLWithPath: folder + "/model.safetensors"))
            _ = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
        }
    }

    /// What mixes two states of a branch is no model, even where every file is whole.
    @Test func halfAnUpdateIsNotUsed() throws {
        try withHub { server, hub, _ in
            _ = try hub.modelFolder("team/tiny")
            server.change {
                $0.files["model.safetensors"] = Self.weights.reversed()
                $0.files["tokenizer.json"] = Array("[]".utf8)
                $0.cuts = 100
            }
            #expect(message { _ = try hub.modelFolder("team/tiny") }.contains("what has arrived is kept"))
            var offline = hub
            offline.settings.isOffline = true
            #expect(message { _ = try offline.modelFolder("team/tiny") }.contains("is not in the cache"))
            server.change { $0.cuts = 0 }
            let folder = try hub.modelFolder("team/tiny")
            let kept = try offline.modelFolder("team/tiny")
            #expect(kept == folder)
            #expect(content(folder + "/model.safetensors") == Self.weights.reversed())
        }
    }

    @Test func tokensGoToTheHubOnly() throws {
        try withHub(.init(files: Self.files, requiredToken: "secret"), token: " secret\n") { server, hub, _ in
            _ = try hub.modelFolder("team/tiny")
            #expect(server.requests.contains { $0.hasSuffix("Bearer secret") })
            #expect(!server.requests.contains { $0.contains("/cdn/") && $0.contains("Bearer") })
        }
        try withHub(.init(files: Self.files, requiredToken: "secret")) { _, hub, _ in
            let text = message { _ = try hub.modelFolder("team/tiny") }
            #expect(
                text.contains("The hub refuses team/tiny (HTTP 403)") && text.contains("MODELSCOPE_API_TOKEN")
            )
        }
    }

    @Test func pagesInPlaceOfAnswersAreNamed() throws {
        try withHub(.init(showsPage: true)) { _, hub, _ in
            let text = message { _ = try hub.modelFolder("team/tiny") }
            #expect(
                text.contains(
                    "The hub's answer is not JSON. Check that MODELSCOPE_ENDPOINT names a ModelScope hub"))
        }
    }

    @Test func unknownNamesAreNamed() throws {
        try withHub { _, hub, _ in
            #expect(
                message { _ = try hub.modelFolder("team/other") }.contains(
                    "The hub knows no team/other (HTTP 404)"))
            #expect(
                message { _ = try hub.modelFolder("team/tiny", revision: "v/2") }.contains("Revision=v%2F2"))
            #expect(
                message { _ = try hub.modelFolder("team/tiny", revision: "../x") }.contains(
                    "Correct model_revision."))
        }
    }

    @Test func downloadsServeWithoutTheNetwork() throws {
        try withHub { server, hub, _ in
            var offline = hub
            offline.settings.isOffline = true
            #expect(message { _ = try offline.modelFolder("team/tiny") }.contains("HF_HUB_OFFLINE is set"))
            let folder = try hub.modelFolder("team/tiny")
            server.stop()
            let kept = try offline.modelFolder("team/tiny")
            #expect(kept == folder)
            let unreachable = try hub.modelFolder("team/tiny")
            #expect(unreachable == folder, "An unreachable hub is a warning.")
            #expect(message { _ = try hub.modelFolder("team/new") }.contains("could not be downloaded"))
        }
    }

    /// More files than a page of the list holds.
    @Test func datasetsAreListedByPages() throws {
        var files: [String: [UInt8]] = ["test.jsonl": [1], "README.md": Array("# Rows".utf8)]
        for part in 1000..<1420 { files["train/\(part).jsonl"] = Array("\(part)".utf8) }
        let type = { @Sendable (name: String) in name.hasSuffix(".jsonl") ? "json" : nil }
        try withHub(.init(files: files, deniedPages: 2)) { server, hub, cache in
            let paths = try hub.datasetFiles("team/rows", type: type)
            let folder = cache + "/datasets/team--rows/snapshots/master/"
            #expect(paths == (1000..<1420).map { "\(folder)train/\($0).jsonl" })
            #expect(paths.allSatisfy { content($0) == files[String($0.dropFirst(folder.count))] })
            #expect(server.requests.filter { $0.contains("repo/tree") }.count == 5)
            #expect(!server.requests.contains { $0.contains("test.jsonl") })
            server.stop()
            let kept = try hub.datasetFiles("team/rows", type: type)
            #expect(kept == paths)
            #expect(
                message { _ = try hub.datasetFiles("team/rows", split: "test", type: type) }.contains(
                    "no split"))
        }
    }

    @Test func settingsFollowPythons() {
        let plain = HubSettings(modelScope: ["HOME": "/nowhere"])
        #expect(plain.endpoint == "https://modelscope.cn" && plain.token == nil && !plain.isOffline)
        #expect(plain.cacheDirectory == "/nowhere/.cache/modelscope")
        let set = HubSettings(
            modelScope: [
                "MODELSCOPE_DOMAIN": "modelscope.ai", "MODELSCOPE_API_TOKEN": "t", "MODELSCOPE_CACHE": "/c",
                "HF_HUB_OFFLINE": "1",
            ])
        #expect(set.endpoint == "https://modelscope.ai" && set.cacheDirectory == "/c")
        #expect(set.token == "t" && set.isOffline)
        for (environment, service) in [
            ([:], HubService.huggingFace), (["USE_MODELSCOPE_HUB": "True"], .modelScope),
            (["USE_MODELSCOPE_HUB": "0", "USE_OPENMIND_HUB": "y"], .modelers),
            (["USE_MODELSCOPE_HUB": "1", "USE_OPENMIND_HUB": "1"], .modelScope),
        ] { #expect(HubService(environment: environment) == service) }
    }
}
