import Glibc

/// A text file that grows by whole lines; each line is in the file before `append` returns.
public final class AppendLog {
    public let path: String
    private let descriptor: Int32

    /// Opens the file, or makes it.
    ///
    /// A last line that a killed process left without its end is cut off, so that every line stays readable.
    ///
    /// - Parameter discardingOld: Starts with an empty file.
    /// - Throws: `UserError` naming `path`.
    public init(path: String, discardingOld: Bool = false) throws(UserError) {
        self.path = path
        descriptor = open(
            path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (discardingOld ? O_TRUNC : 0), 0o666)
        guard descriptor >= 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
        try cutUnfinishedLine()
    }

    /// Appends `line` and a line feed in one write.
    ///
    /// - Throws: `UserError` naming the file.
    public func append(_ line: String) throws(UserError) {
        var bytes = Array(line.utf8)
        bytes.append(UInt8(ascii: "\n"))
        let result = bytes.withUnsafeBytes { buffer -> Result<Void, UserError> in
            Result { () throws(UserError) in try writeAll(buffer, to: descriptor, path: path) }
        }
        try result.get()
    }

    deinit { close(descriptor) }

    private func cutUnfinishedLine() throws(UserError) {
        var end = lseek(descriptor, 0, SEEK_END)
        guard end > 0 else { return }
        let size = end
        var byte: UInt8 = 0
        while end > 0, pread(descriptor, &byte, 1, end - 1) == 1, byte != UInt8(ascii: "\n") { end -= 1 }
        guard end < size else { return }
        guard ftruncate(descriptor, end) == 0 else { throw .file(path, notBe: "written", errorNumber: errno) }
    }
}
