import Glibc
import LFDiagnostics

/// A file's bytes in memory, paged in as they are touched.
///
/// The mapping is private: whoever writes to it changes a copy of the page, never the file.
final class MappedFile {
    let path: String
    let bytes: UnsafeRawBufferPointer

    /// - Throws: `UserError` naming `path`; an empty file maps to no bytes.
    init(path: String) throws(UserError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file(path, notBe: "read", errorNumber: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .file(
                path, notBe: "read", errorNumber: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
        }
        guard status.st_size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let size = Int(status.st_size)
        let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0)
        guard let base, base != MAP_FAILED else { throw .file(path, notBe: "read", errorNumber: errno) }
        bytes = UnsafeRawBufferPointer(start: base, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }
}
