import Foundation
import LFDiagnostics

/// Where jieba's dictionary is: a folder of the user's choice, or a copy that the first prediction fetches.
package enum JiebaPackage {
    static let version = "0.42.1"

    /// The package's folder, with `dict.txt` and `finalseg/`.
    ///
    /// - Parameters:
    ///   - environment: `JIEBA_HOME` names a folder; else a copy lies under `XDG_CACHE_HOME` or `~/.cache`.
    ///   - notice: Hears what is fetched before it is.
    /// - Throws: `UserError` when there is none and none can be had.
    package static func folder(
        environment: [String: String] = ProcessInfo.processInfo.environment, notice: (String) -> Void
    ) throws -> String {
        if let home = environment["JIEBA_HOME"], !home.isEmpty {
            guard isComplete(home) else {
                throw UserError(
                    .failedRun, "JIEBA_HOME names a folder without dict.txt and finalseg/prob_emit.py.",
                    at: home,
                    remedy: "Set it to the folder of the Python package jieba.")
            }
            return home
        }
        let cache =
            environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
            ?? (environment["HOME"] ?? NSHomeDirectory()) + "/.cache"
        let folder = cache + "/llamafactory/jieba-\(version)"
        if isComplete(folder) { return folder }
        notice("Fetching jieba \(version), whose dictionary cuts Chinese text into words, into \(folder)")
        try fetch(into: folder)
        return folder
    }

    private static func isComplete(_ folder: String) -> Bool {
        ["dict.txt", "finalseg/prob_start.py", "finalseg/prob_trans.py", "finalseg/prob_emit.py"]
            .allSatisfy { FileManager.default.isReadableFile(atPath: folder + "/" + $0) }
    }

    /// Has pip fetch the package, and keeps what is needed of it.
    private static func fetch(into folder: String) throws {
        let parent = parentDirectory(of: folder)
        let work = "\(parent)/.jieba-\(ProcessInfo.processInfo.processIdentifier)"
        defer { try? FileManager.default.removeItem(atPath: work) }
        do {
            try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
            try run([
                "python3", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
                "--target",
                work, "jieba==\(version)",
            ])
            guard isComplete(work + "/jieba") else {
                throw Failure(message: "the package lacks its dictionary")
            }
            try? FileManager.default.removeItem(atPath: folder)
            try FileManager.default.moveItem(atPath: work + "/jieba", toPath: folder)
        } catch {
            // Another run may have fetched it meanwhile.
            if isComplete(folder) { return }
            let reason = (error as? Failure)?.message ?? "\(error)"
            throw UserError(
                .failedRun,
                "jieba's dictionary, which comparing texts needs, could not be fetched: \(reason).",
                remedy:
                    "Install it where there is a network (python3 -m pip install jieba==\(version) --target FOLDER) and set JIEBA_HOME to FOLDER/jieba."
            )
        }
    }

    private struct Failure: Error { var message: String }

    private static func run(_ command: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let errors = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let last =
                text.split(separator: "\n").last.map(String.init)
                ?? "exit status \(process.terminationStatus)"
            throw Failure(message: "\(command.prefix(4).joined(separator: " ")): \(last)")
        }
    }
}
