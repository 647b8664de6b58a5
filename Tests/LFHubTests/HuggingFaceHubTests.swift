import Foundation
import LFDiagnostics
import LFHub
import Testing

@Suite struct HuggingFaceHubTests {
    private static let weights = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 256) }
    private static let files: [String: [UInt8]] = [
        "config.json": Array("{\"model_type\": \"llama\"}".utf8), "tokenizer.json": Array("{}".utf8),
        "model.safetensors": weights, "pytorch_model.bin": [1, 2, 3], "README.md": [4],
    ]

    /// A server, a cache folder and a hub between them, gone after `body`.
    private func withHub(
        _ behaviour: HubServer.Behaviour = .init(files: files), token: String? = nil,
        _ body: (HubServer, HuggingFaceHub, _ cache: String) throws -> Void
    ) throws {
        let server = HubServer(behaviour)
        let cache = FileManager.default.temporaryDirectory.path + "/hub-\(UUID().uuidString)"
        defer {
            server.stop()
            try? FileManager.default.removeItem(atPath: cache)
        }
        var settings = HubSettings(
            environment: ["HF_ENDPOINT": server.endpoint + "/", "HF_HUB_CACHE": cache, "HOME": cache],
            token: token)
        settings.retryDelay = 0.001
        try body(server, HuggingFaceHub(settings), cache)
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
            let repository = cache + "/models--team--tiny"
            #expect(folder == "\(repository)/snapshots/\(HubServer.commit)")
            #expect(content(folder + "/model.safetensors") == Self.weights)
            let blob = HubServer.checksum(of: Self.weights, large: true)
            let target = try FileManager.default.destinationOfSymbolicLink(
                atPath: folder + "/model.safetensors")
            #expect(target == "../../blobs/\(blob)")
            #expect(content(repository + "/refs/main") == Array(HubServer.commit.utf8))
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(
                names.sorted() == ["config.json", "model.safetensors", "tokenizer.json"])
            let before = server.requests.count
            let again = try hub.modelFolder("team/tiny")
            #expect(again == folder)
            #expect(server.requests.count == before + 1, "Only the listing is asked for again.")
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

    @Test func serversWithoutRangesBeginAgain() throws {
        try withHub(.init(files: Self.files, ignoresRanges: true, cuts: 1)) { _, hub, _ in
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
        }
    }

    @Test func anEarlierRunsPartIsTakenUp() throws {
        try withHub { server, hub, cache in
            let blobs = cache + "/models--team--tiny/blobs"
            try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
            let blob = HubServer.checksum(of: Self.weights, large: true)
            try Data(Self.weights.prefix(123)).write(to: URL(fileURLWithPath: "\(blobs)/\(blob).incomplete"))
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
            #expect(server.requests.contains("GET /cdn/model.safetensors bytes=123-"))
        }
    }

    @Test(arguments: ["model.safetensors", "tokenizer.json"])
    func damagedDownloadsAreRefused(_ name: String) throws {
        let wrong = String(repeating: "ab", count: name == "tokenizer.json" ? 20 : 32)
        try withHub(.init(files: Self.files, wrongChecksums: [name: wrong])) { server, hub, cache in
            let text = message { _ = try hub.modelFolder("team/tiny") }
            #expect(text.contains("The download of \(name) is damaged"))
            #expect(text.contains("not \(wrong)"))
            server.change { $0.wrongChecksums = [:] }
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/\(name)") == Self.files[name])
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
            #expect(text.contains("The hub refuses team/tiny (HTTP 401)") && text.contains("HF_TOKEN"))
        }
    }

    @Test func pagesInPlaceOfAnswersAreNamed() throws {
        try withHub(.init(showsPage: true)) { _, hub, _ in
            let text = message { _ = try hub.modelFolder("team/tiny") }
            #expect(
                text.contains("The hub's answer is not JSON. Check that HF_ENDPOINT names a Hugging Face hub")
            )
        }
    }

    @Test func unknownNamesAreNamed() throws {
        try withHub { _, hub, _ in
            #expect(
                message { _ = try hub.modelFolder("team/other") }.contains(
                    "The hub knows no team/other (HTTP 404)"))
            #expect(
                message { _ = try hub.modelFolder("team/tiny", revision: "v/2") }.contains("revision/v%2F2"))
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

    @Test func endlessCutsFailAndKeepWhatArrived() throws {
        try withHub(.init(files: Self.files, cuts: 100)) { server, hub, cache in
            #expect(message { _ = try hub.modelFolder("team/tiny") }.contains("what has arrived is kept"))
            let blobs = try FileManager.default.contentsOfDirectory(
                atPath: cache + "/models--team--tiny/blobs")
            #expect(blobs.contains { $0.hasSuffix(".incomplete") })
            server.change { $0.cuts = 0 }
            let folder = try hub.modelFolder("team/tiny")
            #expect(content(folder + "/model.safetensors") == Self.weights)
        }
    }

    @Test func settingsFollowPythons() {
        let plain = HubSettings(environment: ["HOME": "/nowhere"])
        #expect(plain.endpoint == "https://huggingface.co" && plain.token == nil && !plain.isOffline)
        #expect(plain.cacheDirectory == "/nowhere/.cache/huggingface/hub")
        let set = HubSettings(environment: ["HF_HOME": "/h", "HF_TOKEN": "t", "TRANSFORMERS_OFFLINE": "1"])
        #expect(set.cacheDirectory == "/h/hub" && set.token == "t" && set.isOffline)
    }

    @Test func namesOfRepositories() {
        for name in ["a/b", "Qwen/Qwen3-0.6B"] { #expect(isRepositoryName(name)) }
        for name in ["a", "/a", "a/b/c", "../b", "a/..", "a b/c", "./x", "a/b--c", ""] {
            #expect(!isRepositoryName(name))
        }
    }
}
