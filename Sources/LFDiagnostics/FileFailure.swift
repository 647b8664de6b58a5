import Glibc

extension UserError {
    /// The failure of a file operation, from the system's error number.
    ///
    /// - Parameters:
    ///   - path: The file or folder that was worked on.
    ///   - action: What was tried, as a passive verb: "written", "read", "created".
    ///   - errorNumber: `errno` as the failed call left it.
    public static func file(_ path: String, notBe action: String, errorNumber: Int32) -> UserError {
        let (reason, remedy) = explanation(of: errorNumber)
        return UserError(.failedRun, "could not be \(action): \(reason).", at: path, remedy: remedy)
    }

    private static func explanation(of errorNumber: Int32) -> (reason: String, remedy: String) {
        switch errorNumber {
        case ENOSPC:
            ("no space is left on the device", "Free some space there, or name a folder on another disk.")
        case EDQUOT:
            ("your disk quota is used up", "Free some space there, or name a folder on another disk.")
        case EFBIG:
            (
                "it would exceed the allowed file size",
                "Raise the limit (`ulimit -f`), or use another file system."
            )
        case EACCES, EPERM:
            (
                "permission is denied",
                "Change the permissions of the file and its folder, or name another one."
            )
        case EROFS:
            ("the file system is read-only", "Name a folder that you may write to.")
        case ENOENT:
            (
                "there is no such file or folder",
                "Check the path; it is taken from the current folder unless it starts with /."
            )
        case ENOTDIR:
            (
                "a part of the path is a file, not a folder",
                "Check the path, or remove the file that is in the way."
            )
        case EISDIR:
            ("it is a folder, not a file", "Check the path, or remove the folder that is in the way.")
        case ENOTEMPTY, EEXIST:
            ("something else is there already", "Remove it, or name another path.")
        case ENAMETOOLONG:
            ("the name is too long", "Choose a shorter path.")
        case EMFILE, ENFILE:
            ("too many files are open", "Raise the limit (`ulimit -n`), or close other programs.")
        case EIO:
            ("the device reported an input/output error", "Check the disk; the system log may say more.")
        default:
            (String(cString: strerror(errorNumber)), "Check that the path is what you meant.")
        }
    }
}

/// Makes a folder and those above it that are missing; one that is there already is fine.
///
/// - Throws: `UserError` naming the first folder that could not be made.
public func createDirectories(at path: String) throws(UserError) {
    if mkdir(path, 0o777) == 0 { return }
    let code = errno
    var status = stat()
    if code == EEXIST, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
    if code == EEXIST { throw .file(path, notBe: "created", errorNumber: ENOTDIR) }
    let parent = parentDirectory(of: path)
    guard code == ENOENT, parent != path else { throw .file(path, notBe: "created", errorNumber: code) }
    try createDirectories(at: parent)
    if mkdir(path, 0o777) != 0, errno != EEXIST { throw .file(path, notBe: "created", errorNumber: errno) }
}

/// The folder that holds `path`; "." for a bare name.
package func parentDirectory(of path: String) -> String {
    let trimmed = path.utf8.last == UInt8(ascii: "/") && path.utf8.count > 1 ? String(path.dropLast()) : path
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
}

/// Calls `body` again for as long as a signal interrupts it.
func retryingInterrupts<R: SignedInteger>(_ body: () -> R) -> R {
    while true {
        let result = body()
        if result != -1 || errno != EINTR { return result }
    }
}

/// Writes every byte to an open file.
///
/// - Throws: `UserError` naming `path`.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws(UserError) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let buffer = UnsafeRawBufferPointer(rebasing: rest)
        // One call moves at most 2 GiB; smaller pieces also keep a Ctrl-C answered.
        let count = retryingInterrupts { write(descriptor, buffer.baseAddress, min(buffer.count, 1 << 26)) }
        guard count >= 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
        rest = rest.dropFirst(count)
    }
}
