import Foundation
import LFDiagnostics
import Testing

@Suite struct FolderUpdateTests {
    private func write(_ files: [String], to folder: String) throws {
        for file in files {
            if let slash = file.lastIndex(of: "/") {
                try createDirectories(at: folder + "/" + file[..<slash])
            }
            try writeFileAtomically("new", to: folder + "/" + file)
        }
    }

    @Test func newFilesReplaceOldOnesAndOthersStay() throws {
        let folder = ScratchFolder()
        for name in ["key", "old", "mine"] { try writeFileAtomically("old", to: folder.path + "/" + name) }
        try write(["sub/mine"], to: folder.path)
        try updateDirectory(folder.path, keyFile: "key", isObsolete: { $0 == "old" }) {
            try write(["key", "a", "sub/b"], to: $0)
        }
        #expect(folder.names == ["a", "key", "mine", "sub"])
        #expect(try folder.text("key") == "new" && folder.text("sub/b") == "new")
        #expect(try folder.text("sub/mine") == "new" && folder.text("mine") == "old")
    }

    @Test func aFailureChangesNothing() throws {
        let folder = ScratchFolder()
        for name in ["key", "old"] { try writeFileAtomically("old", to: folder.path + "/" + name) }
        let failure = UserError(.failedRun, "broke.", remedy: "Mend it.")
        #expect(throws: failure) {
            try updateDirectory(folder.path, keyFile: "key", isObsolete: { _ in true }) {
                try write(["key"], to: $0)
                throw failure
            }
        }
        #expect(folder.names == ["key", "old"])
        #expect(try folder.text("key") == "old")
    }

    /// A folder in the way is found before the old set is touched.
    @Test func aFolderInTheWayChangesNothing() throws {
        let folder = ScratchFolder()
        try writeFileAtomically("old", to: folder.path + "/key")
        try createDirectories(at: folder.path + "/weights")
        #expect(throws: UserError.self) {
            try updateDirectory(folder.path, keyFile: "key", isObsolete: { _ in true }) {
                try write(["key", "weights"], to: $0)
            }
        }
        #expect(folder.names == ["key", "weights"])
        #expect(try folder.text("key") == "old")
    }

    @Test func pathsAreResolvedEvenWhereTheyEndInNothing() throws {
        let folder = ScratchFolder()
        let base = resolvedPath(folder.path)
        try createDirectories(at: folder.path + "/real")
        symlink("real", folder.path + "/link")
        #expect(resolvedPath(folder.path + "/link/new/deep") == base + "/real/new/deep")
        #expect(resolvedPath(folder.path + "/real/../real/./x") == base + "/real/x")
        #expect(resolvedPath("/") == "/")
    }
}
