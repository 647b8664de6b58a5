import Crypto
import Dispatch
import Glibc
import LFDiagnostics
import LFJSON
import Synchronization

/// Size and SHA-256 of every file in a folder, kept there as `manifest.json`.
struct Manifest: Equatable {
    struct Entry: Equatable, Sendable {
        let size: Int
        /// Lower-case hexadecimal, as `sha256sum` prints it.
        let sha256: String
    }

    static let fileName = "manifest.json"
    private static let version: Int64 = 1

    /// By path relative to the folder.
    var files: [String: Entry]

    /// Measures what is in a folder; large files side by side.
    ///
    /// - Throws: `UserError` naming a file that cannot be read.
    init(measuring folder: String) throws(UserError) {
        files = try Self.measure(regularFiles(in: folder).filter { $0 != Self.fileName }, in: folder)
    }

    /// Reads a folder's `manifest.json`.
    ///
    /// - Throws: `UserError` naming the folder or the file.
    init(readingFrom folder: String) throws(UserError) {
        guard regularFiles(in: folder).contains(Self.fileName) else {
            throw ForeignFolder.refusal(of: folder)
        }
        let path = folder + "/" + Self.fileName
        let root = try JSONValue.read(path: path)
        guard root["version"]?.int == Int(Self.version), let members = root["files"]?.object else {
            throw UserError(
                .failedRun, "is not a manifest of version \(Self.version).", at: path,
                remedy: "Resume from a checkpoint that this version of the program wrote.")
        }
        files = [:]
        for (name, value) in members {
            guard let size = value["size"]?.int, let sha256 = value["sha256"]?.string else {
                throw UserError(
                    .failedRun, "has no size and sha256 for \"\(name)\".", at: path,
                    remedy: "Resume from another checkpoint; this one is damaged.")
            }
            files[name] = Entry(size: size, sha256: sha256)
        }
    }

    func write(to folder: String) throws(UserError) {
        let members = files.sorted { $0.key < $1.key }.map { name, entry -> JSONObject.Element in
            (name, ["size": .int(Int64(entry.size)), "sha256": .string(entry.sha256)])
        }
        let root: JSONValue = ["version": .int(Self.version), "files": .object(JSONObject(members))]
        try writeFileAtomically(
            root.serialized(indent: 2, ensureASCII: false) + "\n", to: folder + "/" + Self.fileName)
    }

    /// Compares a folder with what is recorded: first names and sizes, then contents.
    ///
    /// - Throws: `UserError` naming the folder and the first file, in alphabetical order, that differs.
    func verify(_ folder: String) throws(UserError) {
        func damaged(_ problem: String) -> UserError {
            UserError(
                .failedRun, problem, at: folder,
                remedy: "Resume from another checkpoint; this one is damaged.")
        }
        let present = Set(regularFiles(in: folder)).subtracting([Self.fileName])
        if let missing = files.keys.filter({ !present.contains($0) }).min() {
            throw damaged("\(missing) is missing.")
        }
        if let extra = present.filter({ files[$0] == nil }).min() {
            throw UserError(
                .failedRun, "\(extra) is there, but was not when the checkpoint was written.", at: folder,
                remedy: "Move it elsewhere, or resume from another checkpoint.")
        }
        for (name, entry) in files.sorted(by: { $0.key < $1.key }) {
            var status = stat()
            guard stat(folder + "/" + name, &status) == 0 else {
                throw .file(folder + "/" + name, notBe: "read", errorNumber: errno)
            }
            guard Int(status.st_size) == entry.size else {
                throw damaged("\(name) has \(status.st_size) bytes instead of \(entry.size).")
            }
        }
        let found = try Self.measure(files.keys.sorted(), in: folder)
        if let name = files.keys.sorted().first(where: { found[$0] != files[$0] }) {
            throw damaged("\(name) does not match its recorded checksum.")
        }
    }

    private static func measure(_ names: [String], in folder: String) throws(UserError) -> [String: Entry] {
        let results = Mutex<[String: Result<Entry, UserError>]>([:])
        DispatchQueue.concurrentPerform(iterations: names.count) { index in
            let result = Result { () throws(UserError) in try measure(folder + "/" + names[index]) }
            results.withLock { $0[names[index]] = result }
        }
        var entries: [String: Entry] = [:]
        for (name, result) in results.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            entries[name] = try result.get()
        }
        return entries
    }

    private static func measure(_ path: String) throws(UserError) -> Entry {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        defer { close(descriptor) }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var size = 0
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw .file(path, notBe: "read", errorNumber: errno)
            }
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            size += count
        }
        let digits = Array("0123456789abcdef".utf8)
        let text = hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return Entry(size: size, sha256: String(decoding: text, as: UTF8.self))
    }
}

/// The paths of all files below a folder, relative to it, sorted; links are followed to files, not into folders.
private func regularFiles(in folder: String) -> [String] {
    directoryEntries(folder).flatMap { name -> [String] in
        var status = stat()
        guard lstat(folder + "/" + name, &status) == 0 else { return [] }
        guard status.st_mode & S_IFMT == S_IFDIR else { return [name] }
        return regularFiles(in: folder + "/" + name).map { name + "/" + $0 }
    }.sorted()
}
