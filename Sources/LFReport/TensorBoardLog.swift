public import Foundation
public import LFDiagnostics
public import LFJSON

/// What `report_to: tensorboard` writes: an event file with every number that is logged.
///
/// Tags are those of transformers' `TensorBoardCallback`: `train/loss`, `eval/loss`, …
public final class TensorBoardLog: Tracker {
    public let folder: String
    /// What a new run shows under TensorBoard's texts, such as its arguments; read when the first event is written.
    public var texts: [(tag: String, text: String)]
    private let now: () -> Date
    private var file: RecordFile?

    /// - Parameters:
    ///   - folder: Made when the first event is written.
    ///   - texts: What a new run shows under TensorBoard's texts, such as its arguments.
    public init(
        folder: String, texts: [(tag: String, text: String)] = [], now: @escaping () -> Date = { Date() }
    ) {
        self.folder = folder
        self.texts = texts
        self.now = now
    }

    /// The folder of a run: `logging_dir`, else `TENSORBOARD_LOGGING_DIR`, else one in `runs/` of the output folder.
    ///
    /// A run that is resumed goes on in the newest one of `runs/`, so that TensorBoard shows one curve.
    public static func folder(
        outputDir: String, loggingDir: String?, resumes: Bool, environment: [String: String],
        host: String = ProcessInfo.processInfo.hostName, date: Date = Date()
    ) -> String {
        let named = loggingDir ?? environment["TENSORBOARD_LOGGING_DIR"] ?? ""
        if !named.isEmpty {
            return named.hasPrefix("~/") ? (environment["HOME"] ?? "") + named.dropFirst() : named
        }
        let runs = outputDir + "/runs"
        if resumes, let newest = newestFolder(in: runs) { return newest }
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "MMMdd_HH-mm-ss"
        return "\(runs)/\(formatter.string(from: date))_\(host)"
    }

    private static func newestFolder(in runs: String) -> String? {
        func changed(_ path: String) -> Date {
            (try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date)
                ?? .distantPast
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: runs)) ?? []
        return names.map { "\(runs)/\($0)" }.filter(isFolder).max { changed($0) < changed($1) }
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }

    /// Opens the file.
    ///
    /// - Parameter step: Steps that an earlier run has done; what its file says beyond them is declared void.
    /// - Throws: `UserError` naming the folder or the file.
    public func begin(after step: Int, events: Int = 0, settings: JSONObject = JSONObject()) throws(UserError)
    {
        guard file == nil else { return }
        try createDirectories(at: folder)
        let time = now().timeIntervalSince1970
        let host = ProcessInfo.processInfo.hostName, process = ProcessInfo.processInfo.processIdentifier
        let stem = "\(folder)/events.out.tfevents.\(Int(time)).\(host).\(process)"
        var number = 0
        while FileManager.default.fileExists(atPath: "\(stem).\(number)") { number += 1 }
        let file = try RecordFile(path: "\(stem).\(number)")
        self.file = file
        try file.append(TrackedEvent(time: time, step: 0, content: .version).message)
        if step > 0 {
            try file.append(TrackedEvent(time: time, step: step + 1, content: .restart).message)
        } else {
            for (tag, text) in texts {
                try file.append(TrackedEvent(time: time, step: 0, content: .text(tag: tag, text)).message)
            }
        }
    }

    /// Writes the numbers of a log event.
    ///
    /// - Throws: `UserError` naming the folder or the file.
    public func write(_ entry: LogEntry) throws(UserError) {
        let step = entry.step ?? 0
        if file == nil { try begin(after: 0) }
        let scalars = entry.names.filter { $0 != "step" }.compactMap { name in
            entry[name].map { (tag: trackedName(name), value: Float($0)) }
        }
        try file?.append(
            TrackedEvent(time: now().timeIntervalSince1970, step: step, content: .scalars(scalars)).message)
    }

    public func finish(exitCode: Int) {}
}
