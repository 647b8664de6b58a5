import Foundation
import LFDiagnostics
import Testing

/// A folder that goes away with the test.
final class ScratchFolder {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "lf-" + UUID().uuidString
        mkdir(path, 0o755)
    }

    /// The names in the folder, sorted.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    func text(_ name: String) throws -> String {
        try String(contentsOfFile: path + "/" + name, encoding: .utf8)
    }

    deinit { removeTree(path) }
}

@Suite struct AtomicFileTests {
    @Test func replacesTheOldContentAndLeavesNothingElse() throws {
        let folder = ScratchFolder()
        try writeFileAtomically("one", to: folder.path + "/a.txt")
        try writeFileAtomically([UInt8]("two".utf8), to: folder.path + "/a.txt")
        #expect(try folder.text("a.txt") == "two")
        #expect(folder.names == ["a.txt"])
    }

    @Test func keepsTheOldContentUntilCommit() throws {
        let folder = ScratchFolder()
        try writeFileAtomically("old", to: folder.path + "/a.txt")
        do {
            let file = try AtomicFile(path: folder.path + "/a.txt", reserving: 100)
            try Array("half".utf8).withUnsafeBytes { try file.write($0) }
            #expect(try folder.text("a.txt") == "old")
            #expect(folder.names.count == 2)
        }
        #expect(folder.names == ["a.txt"])
        #expect(try folder.text("a.txt") == "old")
    }

    @Test func aMissingFolderIsNamed() {
        #expect(throws: UserError.file("/nowhere/at/all.json", notBe: "written", errorNumber: ENOENT)) {
            try writeFileAtomically("x", to: "/nowhere/at/all.json")
        }
    }

    @Test(.enabled(if: getuid() != 0, "root may write anywhere"))
    func aForbiddenFolderIsNamed() throws {
        let folder = ScratchFolder()
        chmod(folder.path, 0o555)
        defer { chmod(folder.path, 0o755) }
        #expect(throws: UserError.file(folder.path + "/a", notBe: "written", errorNumber: EACCES)) {
            try writeFileAtomically("x", to: folder.path + "/a")
        }
    }

    @Test func theErrorSaysWhatIsWrongWhereAndWhatToDo() {
        let error = UserError.file("out/model.safetensors", notBe: "written", errorNumber: ENOSPC)
        #expect(
            error.description
                == "out/model.safetensors: could not be written: no space is left on the device. "
                + "Free some space there, or name a folder on another disk.")
        #expect(error.exitStatus == 1)
    }

    /// A real full disk: a 64 KiB file system in memory, which only root may mount.
    @Test(.enabled(if: getuid() == 0, "mounting needs root"))
    func aFullDiskKeepsTheOldFile() throws {
        let folder = ScratchFolder()
        let disk = folder.path + "/disk"
        mkdir(disk, 0o755)
        // A container may forbid mounting even to root; then there is nothing to try.
        guard mount("tmpfs", disk, "tmpfs", 0, "size=64k") == 0 else { return }
        defer { umount(disk) }
        try writeFileAtomically("old", to: disk + "/state.json")
        let full = UserError.file(disk + "/state.json", notBe: "written", errorNumber: ENOSPC)
        #expect(throws: full) {
            try writeFileAtomically([UInt8](repeating: 1, count: 1 << 20), to: disk + "/state.json")
        }
        #expect(throws: full) { try AtomicFile(path: disk + "/state.json", reserving: 1 << 20) }
        #expect(throws: UserError.self) {
            try writeDirectoryAtomically(to: disk + "/checkpoint-1") { temporary in
                try writeFileAtomically("small", to: temporary + "/a")
                try writeFileAtomically([UInt8](repeating: 1, count: 1 << 20), to: temporary + "/b")
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk) == ["state.json"])
        #expect(try String(contentsOfFile: disk + "/state.json", encoding: .utf8) == "old")
    }

    @Test func aFolderAppearsWhole() throws {
        let folder = ScratchFolder()
        let path = folder.path + "/checkpoint-5"
        let count = try writeDirectoryAtomically(to: path) { temporary in
            #expect(temporary != path)
            try writeFileAtomically("1", to: temporary + "/a")
            try createDirectories(at: temporary + "/deep/er")
            try writeFileAtomically("2", to: temporary + "/deep/er/b")
            #expect(!FileManager.default.fileExists(atPath: path))
            return 2
        }
        #expect(count == 2)
        #expect(folder.names == ["checkpoint-5"])
        #expect(try folder.text("checkpoint-5/deep/er/b") == "2")
    }

    @Test func aFolderReplacesTheOldOneWhole() throws {
        let folder = ScratchFolder()
        let path = folder.path + "/checkpoint-5"
        try writeDirectoryAtomically(to: path) { try writeFileAtomically("old", to: $0 + "/a") }
        try writeDirectoryAtomically(to: path) { try writeFileAtomically("new", to: $0 + "/b") }
        #expect(folder.names == ["checkpoint-5"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["b"])
    }

    @Test func aFailedFolderLeavesTheOldOne() throws {
        let folder = ScratchFolder()
        let path = folder.path + "/checkpoint-5"
        try writeDirectoryAtomically(to: path) { try writeFileAtomically("old", to: $0 + "/a") }
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try writeDirectoryAtomically(to: path) { temporary in
                try writeFileAtomically("half", to: temporary + "/a")
                throw Stop()
            }
        }
        #expect(folder.names == ["checkpoint-5"])
        #expect(try folder.text("checkpoint-5/a") == "old")
    }

    @Test func clearsWhatKilledProcessesLeft() throws {
        let folder = ScratchFolder()
        // Process numbers stop at 2^22 on Linux.
        try createDirectories(at: folder.path + "/checkpoint-5.tmp-99999999-abc")
        try writeFileAtomically("x", to: folder.path + "/checkpoint-5.tmp-99999999-abc/weights")
        try writeFileAtomically("x", to: folder.path + "/state.json.tmp-99999998-0")
        let own = "state.json.tmp-\(getpid())-1"
        for name in [own, "notes.tmp-x", "a.tmp-12", "keep"] {
            try writeFileAtomically("x", to: folder.path + "/" + name)
        }
        #expect(
            removeAbandonedTemporaries(in: folder.path)
                == ["checkpoint-5.tmp-99999999-abc", "state.json.tmp-99999998-0"])
        #expect(folder.names == ["a.tmp-12", "keep", "notes.tmp-x", own].sorted())
        #expect(removeAbandonedTemporaries(in: folder.path, includingOwn: true) == [own])
    }

    @Test func aFolderIsRemovedWithAllThatIsInIt() throws {
        let folder = ScratchFolder()
        try createDirectories(at: folder.path + "/a/b")
        try writeFileAtomically("x", to: folder.path + "/a/b/c")
        removeDirectoryAtomically(folder.path + "/a")
        #expect(folder.names == [])
    }

    @Test func makesFoldersAndNamesTheOneThatCannotBe() throws {
        let folder = ScratchFolder()
        try createDirectories(at: folder.path + "/a/b/c")
        try createDirectories(at: folder.path + "/a/b/c/")
        #expect(FileManager.default.fileExists(atPath: folder.path + "/a/b/c"))
        try writeFileAtomically("x", to: folder.path + "/file")
        #expect(throws: UserError.file(folder.path + "/file", notBe: "created", errorNumber: ENOTDIR)) {
            try createDirectories(at: folder.path + "/file")
        }
        #expect(throws: UserError.file(folder.path + "/file/x", notBe: "created", errorNumber: ENOTDIR)) {
            try createDirectories(at: folder.path + "/file/x")
        }
    }
}

@Suite struct AppendLogTests {
    @Test func growsByLinesAndContinues() throws {
        let folder = ScratchFolder()
        let path = folder.path + "/log.jsonl"
        let log = try AppendLog(path: path)
        try log.append("{\"a\": 1}")
        #expect(try folder.text("log.jsonl") == "{\"a\": 1}\n")
        try AppendLog(path: path).append("{\"a\": 2}")
        #expect(try folder.text("log.jsonl") == "{\"a\": 1}\n{\"a\": 2}\n")
        _ = try AppendLog(path: path, discardingOld: true)
        #expect(try folder.text("log.jsonl").isEmpty)
    }

    @Test func cutsALineThatAKilledProcessBegan() throws {
        let folder = ScratchFolder()
        for (old, kept) in [("one\ntwo\nthr", "one\ntwo\n"), ("one", ""), ("one\n", "one\n")] {
            try writeFileAtomically(old, to: folder.path + "/log")
            try AppendLog(path: folder.path + "/log").append("next")
            #expect(try folder.text("log") == kept + "next\n")
        }
    }

    @Test func aFullDiskIsNamed() throws {
        let log = try AppendLog(path: "/dev/full")
        #expect(throws: UserError.file("/dev/full", notBe: "written", errorNumber: ENOSPC)) {
            try log.append("x")
        }
    }
}
