import CSimdJSON
import LFDiagnostics

#if canImport(Glibc)
    import Glibc
#endif

/// Text in memory, followed by the readable bytes that simdjson asks for.
final class PaddedBytes {
    private let storage: UnsafeMutablePointer<UInt8>
    private let count: Int

    init(copying bytes: UnsafeRawBufferPointer) {
        count = bytes.count
        storage = .allocate(capacity: count + Int(LF_JSON_PADDING))
        if let base = bytes.baseAddress { memcpy(storage, base, count) }
        memset(storage + count, 0, Int(LF_JSON_PADDING))
    }

    /// Reads a whole file.
    init(path: String) throws(UserError) {
        let file = try OpenFile(path: path)
        var capacity = max(file.size, 4096)
        var buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity + Int(LF_JSON_PADDING))
        var filled = 0
        // The size may be unknown (a pipe) or change; so read to the end, whatever it was.
        do {
            while true {
                if filled == capacity {
                    let larger = UnsafeMutablePointer<UInt8>.allocate(
                        capacity: capacity * 2 + Int(LF_JSON_PADDING))
                    memcpy(larger, buffer, filled)
                    buffer.deallocate()
                    buffer = larger
                    capacity *= 2
                }
                let read = try file.read(into: buffer + filled, upTo: capacity - filled)
                if read == 0 { break }
                filled += read
                if filled == file.size, filled == capacity, try file.isAtEnd() { break }
            }
        } catch {
            buffer.deallocate()
            throw error
        }
        storage = buffer
        count = filled
        memset(storage + count, 0, Int(LF_JSON_PADDING))
    }

    deinit { storage.deallocate() }

    /// 3 when the text starts with a UTF-8 byte order mark, as editors on Windows write it, else 0.
    var byteOrderMarkCount: Int {
        count >= 3 && storage[0] == 0xEF && storage[1] == 0xBB && storage[2] == 0xBF ? 3 : 0
    }

    /// The text without its byte order mark; valid while this object lives.
    var json: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: storage + byteOrderMarkCount, count: count - byteOrderMarkCount)
    }
}

/// A file descriptor that closes itself.
final class OpenFile {
    private let descriptor: Int32
    private let path: String
    /// In bytes; 0 where it is unknown.
    let size: Int

    init(path: String) throws(UserError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        self.path = path
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(errno))
            throw UserError(
                .failedRun, "the file cannot be opened: \(reason).", at: path,
                remedy: "Check the path and its permissions.")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            size = 0
            return
        }
        size = status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : 0
        if status.st_mode & S_IFMT == S_IFDIR {
            throw UserError(
                .failedRun, "a folder stands where a file is needed.", at: path, remedy: "Name a file in it.")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// - Returns: How many bytes were read; 0 at the end of the file.
    func read(into buffer: UnsafeMutablePointer<UInt8>, upTo count: Int) throws(UserError) -> Int {
        while true {
            #if canImport(Glibc)
                let result = Glibc.read(descriptor, buffer, count)
            #endif
            if result >= 0 { return result }
            if errno == EINTR { continue }
            let reason = String(cString: strerror(errno))
            throw UserError(
                .failedRun, "the file cannot be read: \(reason).", at: path,
                remedy: "Check the disk and the file.")
        }
    }

    /// Whether a regular file's reading position has reached its end.
    func isAtEnd() throws(UserError) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        return lseek(descriptor, 0, SEEK_CUR) >= status.st_size
    }
}
