import Glibc

/// A file that appears under its name only when it is complete: until `commit()` it is a temporary file beside it.
///
/// A killed process leaves at most `NAME.tmp-PID-…`, which `removeAbandonedTemporaries(in:)` clears away.
public final class AtomicFile {
    public let path: String
    private let temporaryPath: String
    private var descriptor: Int32

    /// Starts a file that will be at `path`.
    ///
    /// - Parameter byteCount: The final size where it is known: a disk too full for it is then noticed at once.
    /// - Throws: `UserError` naming `path`.
    public init(path: String, reserving byteCount: Int = 0) throws(UserError) {
        self.path = path
        temporaryPath = temporaryName(for: path)
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
        guard byteCount > 0 else { return }
        let failure = posix_fallocate(descriptor, 0, byteCount)
        if [ENOSPC, EDQUOT, EFBIG].contains(failure) {
            throw .file(path, notBe: "written", errorNumber: failure)
        }
    }

    /// Appends bytes.
    ///
    /// - Throws: `UserError` naming `path`.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(UserError) {
        precondition(descriptor >= 0, "written to after commit()")
        try writeAll(bytes, to: descriptor, path: path)
    }

    /// Brings the file to disk and gives it its name, replacing what was there.
    ///
    /// - Throws: `UserError` naming `path`; what was there before is then untouched.
    public func commit() throws(UserError) {
        precondition(descriptor >= 0, "committed twice")
        guard retryingInterrupts({ fsync(descriptor) }) == 0 else {
            throw .file(path, notBe: "written", errorNumber: errno)
        }
        let closed = descriptor
        descriptor = -1
        guard close(closed) == 0, rename(temporaryPath, path) == 0 else {
            let code = errno
            unlink(temporaryPath)
            throw .file(path, notBe: "written", errorNumber: code)
        }
        syncDirectory(parentDirectory(of: path))
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }
}

/// Writes a whole file so that a reader, or a crash at any moment, meets the old content or the new, never a part.
///
/// - Throws: `UserError` naming `path`.
public func writeFileAtomically(_ bytes: some Sequence<UInt8>, to path: String) throws(UserError) {
    let file = try AtomicFile(path: path)
    var failure: UserError?
    func write(_ buffer: UnsafeRawBufferPointer) {
        do throws(UserError) { try file.write(buffer) } catch { failure = error }
    }
    if bytes.withContiguousStorageIfAvailable({ write(UnsafeRawBufferPointer($0)) }) == nil {
        Array(bytes).withUnsafeBytes(write)
    }
    if let failure { throw failure }
    try file.commit()
}

/// Writes a whole text file (UTF-8) atomically.
///
/// - Throws: `UserError` naming `path`.
public func writeFileAtomically(_ text: String, to path: String) throws(UserError) {
    try writeFileAtomically(text.utf8, to: path)
}

/// Fills a folder that appears under its name only when all of it is on disk.
///
/// `body` writes into the temporary folder it is given. When it throws, the folder is removed and `path` keeps what it had.
///
/// - Returns: What `body` returned.
/// - Throws: What `body` threw; `UserError` naming `path`.
@discardableResult
public func writeDirectoryAtomically<R>(
    to path: String, _ body: (_ temporaryPath: String) throws -> R
) throws -> R {
    let temporaryPath = temporaryName(for: path)
    guard mkdir(temporaryPath, 0o777) == 0 else {
        throw UserError.file(path, notBe: "created", errorNumber: errno)
    }
    do {
        let result = try body(temporaryPath)
        try syncTree(temporaryPath)
        try replaceDirectory(path, by: temporaryPath)
        return result
    } catch var error as UserError {
        removeTree(temporaryPath)
        // The folder that was asked for says more than the temporary one.
        if let location = error.location, location.hasPrefix(temporaryPath) {
            error.location = path + location.dropFirst(temporaryPath.count)
        }
        throw error
    } catch {
        removeTree(temporaryPath)
        throw error
    }
}

/// Removes the temporary files and folders that killed processes left behind in a folder.
///
/// - Parameter includingOwn: Whether those under this process' id go too. Ids repeat in containers, so a program that has not
///   written there yet does well to say so.
/// - Returns: The names removed. Those of another process that still runs stay.
@discardableResult
public func removeAbandonedTemporaries(in directory: String, includingOwn: Bool = false) -> [String] {
    directoryEntries(directory).filter { name in
        guard let marker = name.range(ofSuffix: ".tmp-") else { return false }
        let parts = name[marker...].split(separator: "-")
        guard parts.count == 2, let process = Int32(parts[0]) else { return false }
        if process == getpid() {
            guard includingOwn else { return false }
        } else {
            guard kill(process, 0) != 0, errno == ESRCH else { return false }
        }
        removeTree(directory + "/" + name)
        return true
    }
}

/// Removes a folder that goes by its name whole or not at all: it gets a temporary name before its files are deleted.
public func removeDirectoryAtomically(_ path: String) {
    let aside = temporaryName(for: path)
    guard rename(path, aside) == 0 else { return removeTree(path) }
    syncDirectory(parentDirectory(of: path))
    removeTree(aside)
}

/// Removes a file or a folder with all that is in it; symbolic links are removed, not followed.
public func removeTree(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
        for name in directoryEntries(path) { removeTree(path + "/" + name) }
        rmdir(path)
    } else {
        unlink(path)
    }
}

func temporaryName(for path: String) -> String {
    let trimmed = path.utf8.last == UInt8(ascii: "/") ? String(path.dropLast()) : path
    return "\(trimmed).tmp-\(getpid())-\(String(UInt32.random(in: .min ... .max), radix: 36))"
}

extension String {
    /// The index just behind the last occurrence of `marker`.
    fileprivate func range(ofSuffix marker: String) -> Index? {
        let bytes = Array(utf8), wanted = Array(marker.utf8)
        guard bytes.count > wanted.count else { return nil }
        for start in stride(from: bytes.count - wanted.count, through: 0, by: -1)
        where bytes[start..<start + wanted.count].elementsEqual(wanted) {
            return utf8.index(startIndex, offsetBy: start + wanted.count)
        }
        return nil
    }
}

/// The names in a folder, sorted; empty when it cannot be read.
public func directoryEntries(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// Brings every file of a folder to disk, and then the folders themselves.
func syncTree(_ path: String) throws(UserError) {
    for name in directoryEntries(path) {
        let entry = path + "/" + name
        var status = stat()
        guard lstat(entry, &status) == 0 else { continue }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            try syncTree(entry)
        case S_IFREG:
            let descriptor = open(entry, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw .file(entry, notBe: "written", errorNumber: errno) }
            defer { close(descriptor) }
            guard retryingInterrupts({ fsync(descriptor) }) == 0 else {
                throw .file(entry, notBe: "written", errorNumber: errno)
            }
        default:
            break
        }
    }
    syncDirectory(path)
}

/// Makes a rename inside the folder durable where the file system can; some refuse it for folders, which is not a failure.
func syncDirectory(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = retryingInterrupts { fsync(descriptor) }
    close(descriptor)
}

private func replaceDirectory(_ path: String, by temporaryPath: String) throws(UserError) {
    var status = stat()
    guard lstat(path, &status) == 0 else {
        guard rename(temporaryPath, path) == 0 else {
            throw .file(path, notBe: "created", errorNumber: errno)
        }
        return syncDirectory(parentDirectory(of: path))
    }
    // A folder with content cannot be renamed over: exchange the two names, or step aside where that is not offered.
    if exchangeNames(temporaryPath, path) {
        removeTree(temporaryPath)
    } else {
        let aside = temporaryName(for: path)
        guard rename(path, aside) == 0 else { throw .file(path, notBe: "replaced", errorNumber: errno) }
        guard rename(temporaryPath, path) == 0 else {
            let code = errno
            rename(aside, path)
            throw .file(path, notBe: "created", errorNumber: code)
        }
        removeTree(aside)
    }
    syncDirectory(parentDirectory(of: path))
}

/// Swaps what two names stand for in one step; false where the system or the file system cannot.
private func exchangeNames(_ a: String, _ b: String) -> Bool {
    // glibc hides `renameat2` from Swift behind _GNU_SOURCE, but has it since 2.28.
    typealias RenameAt2 =
        @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
    guard let symbol = dlsym(nil, "renameat2") else { return false }
    let exchange: UInt32 = 2
    return unsafeBitCast(symbol, to: RenameAt2.self)(AT_FDCWD, a, AT_FDCWD, b, exchange) == 0
}
