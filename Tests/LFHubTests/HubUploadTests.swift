import Foundation
import LFDiagnostics
import LFHTTP
import LFHub
import LFTestSupport
import Testing

@Suite struct HubUploadTests {
    /// A folder with files, gone with the test.
    private final class Files {
        let folder = NSTemporaryDirectory() + "hub-upload-" + UUID().uuidString

        init(_ contents: [String: [UInt8]]) throws {
            for (name, bytes) in contents { try write(name, bytes) }
        }

        func write(_ name: String, _ bytes: [UInt8]) throws {
            let path = "\(folder)/\(name)"
            try createDirectories(at: (path as NSString).deletingLastPathComponent)
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }

        func named(_ names: String...) -> [RepositoryFile] {
            names.map { RepositoryFile(name: $0, path: "\(folder)/\($0)") }
        }

        deinit { removeTree(folder) }
    }

    private static let weights = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 256) }
    private static let contents: [String: [UInt8]] = [
        "README.md": Array("# Tides\n".utf8), "model.safetensors": weights, "deep/å b.txt": Array("x".utf8),
        "empty.txt": [],
    ]
    private static let names = ["README.md", "model.safetensors", "deep/å b.txt", "empty.txt"]

    private func upload(_ hub: UploadHub, token: String? = UploadHub.token) -> HubUpload {
        var settings = HubSettings(
            environment: ["HF_ENDPOINT": hub.endpoint, "HOME": "/nowhere"], token: token)
        settings.retryDelay = 0.001
        return HubUpload(settings, keys: .training)
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "nothing thrown"
    }

    @Test(arguments: [nil, 64_000, 200_000, 1])
    func filesArrive(inPartsOf part: Int?) throws {
        let hub = UploadHub()
        let weights = part == 1 ? [UInt8](repeating: 0, count: 40) : Self.weights
        hub.change { $0.partSize = part }
        let files = try Files(Self.contents.merging(["model.safetensors": weights]) { $1 })
        let upload = upload(hub)
        let repository = try upload.makeRepository("tides", isPrivate: true)
        #expect(repository == "me/tides" && hub.now.privateRepositories == ["me/tides"])
        let all = Self.names.flatMap { files.named($0) }
        let address = try upload.commit(all, to: repository, summary: "First \"words\" é")
        #expect(address == "\(hub.endpoint)/me/tides/commit/1" && hub.now.commits == ["First \"words\" é"])
        for (name, content) in Self.contents where name != "model.safetensors" {
            #expect(hub.files("me/tides")[name] == content, "\(name)")
        }
        #expect(hub.files("me/tides")["model.safetensors"] == weights)
        #expect(hub.now.largeFiles == ["model.safetensors"], "Git keeps a pointer to what is not text.")
    }

    @Test func whatTheHubHoldsIsNotSentAgain() throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        let repository = try upload.makeRepository("team/tides", isPrivate: nil)
        #expect(try upload.makeRepository("team/tides", isPrivate: nil) == "team/tides", "It exists.")
        let all = Self.names.flatMap { files.named($0) }
        try upload.commit(all, to: repository, summary: "1")
        let puts = hub.now.requests.filter { $0.hasPrefix("PUT") }.count
        #expect(try upload.commit(all, to: repository, summary: "2") == nil)
        #expect(hub.now.commits == ["1"])
        try files.write("README.md", Array("changed".utf8))
        #expect(try upload.commit(all, to: repository, summary: "3") != nil)
        #expect(hub.files(repository)["README.md"] == Array("changed".utf8))
        // The object is there, though under another name.
        try files.write("copy.safetensors", Self.weights)
        try upload.commit(files.named("copy.safetensors"), to: repository, summary: "4")
        #expect(hub.now.requests.filter { $0.hasPrefix("PUT") }.count == puts)
        #expect(hub.files(repository)["copy.safetensors"] == Self.weights)
    }

    @Test func brokenTransfersAreRepeated() throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        hub.change { $0.refusals = (3, 503) }
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        hub.change {
            $0.partSize = 50_000
            $0.cuts = 3
        }
        try upload.commit(files.named("model.safetensors"), to: repository, summary: "1")
        #expect(hub.files(repository)["model.safetensors"] == Self.weights)
        // A commit is repeated where the hub said that it did nothing.
        try files.write("new.txt", [65])
        hub.change { $0.refusals = (1, 429) }
        try upload.commit(files.named("new.txt"), to: repository, summary: "2")
        #expect(hub.files(repository)["new.txt"] == [65])
    }

    @Test func aBrokenUploadGoesOnWhereItWas() throws {
        let hub = UploadHub(), upload = upload(hub)
        let second = Self.weights.reversed() + [0]
        let files = try Files(["a.safetensors": Self.weights, "b.safetensors": second])
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        try upload.commit(files.named("a.safetensors"), to: repository, summary: "1")
        hub.change { $0.cuts = 5 }
        #expect(throws: (any Error).self) {
            try upload.commit(files.named("a.safetensors", "b.safetensors"), to: repository, summary: "2")
        }
        #expect(hub.now.commits == ["1"] && hub.files(repository)["b.safetensors"] == nil)
        let puts = hub.now.requests.filter { $0.hasPrefix("PUT") }.count
        try upload.commit(files.named("a.safetensors", "b.safetensors"), to: repository, summary: "3")
        #expect(hub.now.requests.filter { $0.hasPrefix("PUT") }.count == puts + 1, "Only the one that broke.")
        #expect(hub.files(repository)["b.safetensors"] == second)
    }

    @Test func branchesAreMadeWhereTheyAreMissing() throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        #expect(
            message {
                try upload.commit(files.named("README.md"), to: repository, revision: "dev", summary: "1")
            }
            .contains("Invalid rev id: dev"))
        try upload.makeBranch("dev", in: repository)
        try upload.makeBranch("dev", in: repository)
        try upload.commit(files.named("README.md"), to: repository, revision: "dev", summary: "1")
        #expect(hub.files(repository, "dev")["README.md"] != nil && hub.files(repository)["README.md"] == nil)
    }

    @Test func ignoredFilesStayOut() throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        hub.change { $0.ignored = ["empty.txt"] }
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        try upload.commit(files.named("empty.txt", "README.md"), to: repository, summary: "1")
        #expect(hub.files(repository).keys.sorted() == [".gitattributes", "README.md"])
    }

    @Test func refusalsSayWhatToDo() throws {
        let hub = UploadHub(), files = try Files(Self.contents)
        let refused = message {
            _ = try upload(hub, token: "hf_wrong").makeRepository("tides", isPrivate: nil)
        }
        #expect(refused.contains("does not accept the token") && refused.contains("Invalid user token."))
        #expect(!refused.contains("hf_wrong"))
        #expect(
            message { _ = try upload(hub).makeRepository("others/tides", isPrivate: nil) }
                .contains("refuses to write to others/tides (HTTP 403: You don't have the rights)"))
        #expect(
            message { try upload(hub).commit(files.named("README.md"), to: "me/none", summary: "") }
                .contains("knows no repository me/none"))
        let missing = message {
            try upload(hub).commit(
                [RepositoryFile(name: "a", path: "\(files.folder)/none")], to: "me/none", summary: "")
        }
        #expect(missing.contains("\(files.folder)/none") && missing.contains("could not be read"))
    }

    /// One content under several names is one object, and none is forgotten.
    @Test func equalFilesAreSentOnce() throws {
        let hub = UploadHub(), upload = upload(hub)
        let files = try Files(["a.safetensors": Self.weights, "b.safetensors": Self.weights])
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        let again = RepositoryFile(name: "last/a.safetensors", path: files.folder + "/a.safetensors")
        try upload.commit(
            files.named("a.safetensors", "b.safetensors") + [again], to: repository, summary: "1")
        #expect(hub.now.requests.filter { $0.hasPrefix("PUT") }.count == 1)
        for name in ["a.safetensors", "b.safetensors", "last/a.safetensors"] {
            #expect(hub.files(repository)[name] == Self.weights, "\(name)")
        }
    }

    @Test func whatIsLeftOutOfTheAnswerIsNamed() throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        hub.change { $0.isSilent = true }
        let problem = message {
            try upload.commit(files.named("model.safetensors"), to: repository, summary: "1")
        }
        #expect(problem.contains("says nothing of the file model.safetensors"))
        #expect(hub.now.commits.isEmpty)
    }

    /// A token that may write to a repository need not have the right to make one.
    @Test func aRepositoryThatIsThereNeedsNoRightToMakeIt() throws {
        let hub = UploadHub()
        hub.change { $0.repositories["others/tides"] = ["main": [:]] }
        #expect(try upload(hub).makeRepository("others/tides", isPrivate: nil) == "others/tides")
    }

    /// Addresses of the store hold signatures.
    @Test(arguments: [403, 503]) func theStoresRefusalKeepsItsSecret(_ status: Int) throws {
        let hub = UploadHub(), files = try Files(Self.contents), upload = upload(hub)
        let repository = try upload.makeRepository("tides", isPrivate: nil)
        hub.change { $0.storeStatus = status }
        do {
            try upload.commit(files.named("model.safetensors"), to: repository, summary: "1")
            Issue.record("The store refused.")
        } catch {
            let text = (error as? BrokenTransfer)?.reason ?? "\(error)"
            #expect(text.contains("HTTP \(status)") && text.contains("/store/"), "\(text)")
            #expect(!text.contains("secret") && !text.contains("hub_model_id"), "\(text)")
        }
    }

    @Test func aFileThatShrinksIsNamed() throws {
        let hub = UploadHub(), files = try Files(["a": [1, 2, 3]])
        var request = HTTPRequest(url: hub.endpoint + "/store/x")
        request.file = FileSlice(path: files.folder + "/a", offset: 0, count: 1000)
        request.isCancelled = { false }
        let problem = message { _ = try request.send { _, _ in } }
        #expect(problem.contains("\(files.folder)/a") && problem.contains("became shorter"), "\(problem)")
    }

    /// Neither the wait between two tries nor the reading of a file outlives what gives up.
    @Test func givingUpEndsEveryWait() throws {
        let hub = UploadHub(), files = try Files(Self.contents)
        var settings = HubSettings(
            environment: ["HF_ENDPOINT": hub.endpoint, "HOME": "/nowhere"], token: UploadHub.token)
        settings.retryDelay = 60
        var upload = HubUpload(settings, keys: .training)
        hub.change { $0.refusals = (9, 503) }
        let start = Date()
        upload.isCancelled = { Date().timeIntervalSince(start) > 0.3 }
        #expect(throws: CancelledTransfer.self) {
            _ = try upload.makeRepository("tides", isPrivate: nil)
        }
        #expect(Date().timeIntervalSince(start) < 20)
        let requests = hub.now.requests.count
        #expect(throws: CancelledTransfer.self) {
            try upload.commit(files.named("model.safetensors"), to: "me/tides", summary: "1")
        }
        #expect(hub.now.requests.count == requests)
    }
}
