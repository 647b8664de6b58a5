@preconcurrency import Glibc
import LFDiagnostics

/// Fails when what was printed did not reach its file; a reader that left has read enough.
///
/// - Throws: `UserError` saying why.
func flushOutput() throws {
    let isFlushed = fflush(stdout) == 0
    let errorNumber = isFlushed ? ENOSPC : errno
    guard !isFlushed || ferror(stdout) != 0 else { return }
    var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
    let hasLostReader = poll(&output, 1, 0) > 0 && output.revents & Int16(POLLERR) != 0
    guard !hasLostReader else { return }
    throw UserError.file("standard output", notBe: "written", errorNumber: errorNumber)
}
