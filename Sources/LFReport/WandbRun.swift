public import Foundation
public import LFConfig
public import LFDiagnostics
public import LFJSON

/// What `report_to: wandb` writes: an offline run of Weights & Biases, which `wandb sync FOLDER` uploads.
///
/// Names and axes are those of transformers' `WandbCallback` and upstream's `ReporterCallback`. Records are those of `wandb_internal.proto`
/// in `run-ID.wandb`; the numbers in the comments below are its fields.
public final class WandbRun: Tracker {
    /// The run's folder, `wandb/offline-run-DATE-ID`.
    public private(set) var folder: String
    public let id: String
    private let settings: WandbSettings
    private let start: Date
    private let now: () -> Date
    private var file: RecordLog?
    /// Records written.
    private var count = 0
    /// Log events written: the run's own steps, whatever the optimizer counts.
    private var events = 0
    private var isFinished = false

    /// Whether anything is written.
    public var hasBegun: Bool { file != nil || isFinished }

    private static let header = Array(":W&B".utf8) + littleEndian(UInt16(0xBEE1)) + [0]
    /// The version of the `wandb` package whose files these are.
    private static let producer = "0.31.0"
    /// The oldest version that reads them.
    private static let oldestReader = "0.70.0"

    public init(_ settings: WandbSettings, now: @escaping () -> Date = { Date() }) {
        self.settings = settings
        self.now = now
        start = now()
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        id = settings.id ?? String((0..<8).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyyMMdd_HHmmss"
        folder = "\(settings.folder ?? ".")/wandb/offline-run-\(formatter.string(from: start))-\(id)"
    }

    public func begin(after step: Int, events: Int, settings values: JSONObject) throws(UserError) {
        guard file == nil, !isFinished else { return }
        // A run that is uploaded under the id of an earlier one goes on where that one stood; its steps only grow.
        self.events = settings.id == nil ? 0 : events
        try createDirectories(at: folder + "/files")
        let file = try RecordLog(path: "\(folder)/run-\(id).wandb", header: Self.header)
        self.file = file
        linkLatest()
        try append { record in  // header 21: versions 1
            record.message(21) { header in
                header.message(1) { versions in
                    versions.text(1, Self.producer)
                    versions.text(2, Self.oldestReader)
                }
            }
        }
        try append { $0.message(17) { self.describeRun(in: &$0, values) } }
        // metric 12: the optimizer's step is the axis of all others (name 1, glob 2, axis 4, options 6: sync 1, defined 3)
        try append { record in
            record.message(12) { metric in
                metric.text(1, "train/global_step")
                metric.message(6) { $0.integer(3, 1) }
            }
        }
        try append { record in
            record.message(12) { metric in
                metric.text(2, "*")
                metric.text(4, "train/global_step")
                metric.message(6) { options in
                    options.integer(1, 1)
                    options.integer(3, 1)
                }
            }
        }
    }

    public func write(_ entry: LogEntry) throws(UserError) {
        var totals: [(name: String, value: String)] = []
        var points: [(name: String, value: String)] = []
        for (name, value) in entry.members where name != "step" {
            if runTotals.contains(name) {
                totals.append((name, spelled(value)))
            } else {
                points.append((trackedName(name), spelled(value)))
            }
        }
        points.append(("train/global_step", "\(entry.step ?? 0)"))
        let time = now()
        points.append(("_timestamp", "\(time.timeIntervalSince1970)"))
        points.append(("_runtime", "\(time.timeIntervalSince(start))"))
        points.append(("_step", "\(events)"))
        try summarize(points + totals)
        let step = events
        try append { record in  // history 2: items 1 (nested_key 2, value_json 16), step 2 (num 1)
            record.message(2) { history in
                for point in points { history.message(1) { $0.item(point.name, point.value, nested: true) } }
                history.message(2) { $0.integer(1, step) }
            }
        }
        events += 1
    }

    public func finish(exitCode: Int) throws(UserError) {
        guard file != nil else { return }
        let seconds = Int(now().timeIntervalSince(start))
        try append { record in  // summary 3: nested keys 2
            record.message(3) { summary in
                summary.message(1) { item in
                    item.text(2, "_wandb")
                    item.text(2, "runtime")
                    item.text(16, "\(seconds)")
                }
            }
        }
        try append { record in  // exit 18: exit_code 1, runtime 2
            record.message(18) { exit in
                exit.integer(1, exitCode)
                exit.integer(2, seconds)
            }
        }
        file = nil
        isFinished = true
    }

    /// The run's record: run_id 1, entity 2, project 3, config 4, group 6, job type 7, name 8, notes 9, tags 10, host 13, start 17.
    private func describeRun(in run: inout MessageWriter, _ values: JSONObject) {
        run.text(1, id)
        if let entity = settings.entity { run.text(2, entity) }
        run.text(3, settings.project)
        run.message(4) { config in
            config.message(1) { $0.item("_wandb", "{}", nested: false) }
            for (name, value) in values {
                config.message(1) { $0.item(name, value.serialized(), nested: false) }
            }
        }
        if let group = settings.group { run.text(6, group) }
        if let jobType = settings.jobType { run.text(7, jobType) }
        if let name = settings.name { run.text(8, name) }
        if let notes = settings.notes { run.text(9, notes) }
        for tag in settings.tags { run.text(10, tag) }
        run.text(13, ProcessInfo.processInfo.hostName)
        let seconds = start.timeIntervalSince1970
        run.message(17) { time in
            time.integer(1, Int(seconds))
            time.integer(2, Int((seconds - seconds.rounded(.down)) * 1e9))
        }
    }

    /// The last value of each metric, which the table of runs shows.
    private func summarize(_ values: [(name: String, value: String)]) throws(UserError) {
        try append { record in  // summary 3: update 1
            record.message(3) { summary in
                for value in values { summary.message(1) { $0.item(value.name, value.value, nested: true) } }
            }
        }
    }

    private func append(_ fill: (inout MessageWriter) -> Void) throws(UserError) {
        count += 1
        var record = MessageWriter()
        record.integer(1, count)
        fill(&record)
        record.message(200) { $0.text(1, id) }  // _info: stream_id 1
        try file?.append(record: record.bytes)
    }

    /// Points `wandb/latest-run` to the folder, as the package does; a file system without links goes without.
    private func linkLatest() {
        let parts = folder.split(separator: "/", omittingEmptySubsequences: false)
        let link = parts.dropLast().joined(separator: "/") + "/latest-run"
        unlink(link)
        symlink(String(parts.last ?? ""), link)
    }

    /// A number as Python's JSON spells it, not-a-number and the infinities included.
    private func spelled(_ value: JSONValue) -> String {
        guard case .double(let number) = value, !number.isFinite else { return value.serialized() }
        return number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
    }
}

extension MessageWriter {
    /// An item of a configuration, a history or a summary: its name (`key` 1, or `nested_key` 2) and its value as JSON (16).
    fileprivate mutating func item(_ name: String, _ json: String, nested: Bool) {
        text(nested ? 2 : 1, name)
        text(16, json)
    }
}
