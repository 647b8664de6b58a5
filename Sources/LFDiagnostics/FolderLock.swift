import Glibc

/// Holds a folder for one process: as long as it lives, no other process can hold the same folder.
///
/// The lock is the kernel's own (`flock` on the folder): a killed process leaves nothing behind. File systems that know no
/// locks are used without.
public final class FolderLock {
    private let descriptor: Int32

    /// - Parameter key: The argument that names the folder.
    /// - Throws: `UserError` when another process holds the folder.
    public init(_ folder: String, key: String) throws(UserError) {
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { return }
        close(descriptor)
        throw UserError(
            .failedRun, "Another run is writing to this \(key).", at: folder,
            remedy: "Wait until it has ended, or choose another \(key).")
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }
}
