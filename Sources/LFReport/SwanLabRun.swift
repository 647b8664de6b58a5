public import Foundation
public import LFConfig
public import LFDiagnostics
public import LFJSON

/// What `use_swanlab` and `report_to: swanlab` write: a run that `swanlab sync FOLDER` uploads.
///
/// Names and axes are those of SwanLab's own callback for transformers. Records are those of `swanlab/record/v1` in
/// `run-ID.swanlab`; the numbers in the comments below are its fields.
public final class SwanLabRun: Tracker {
    /// The run's folder, `swanlog/run-DATE-ID`.
    public private(set) var folder: String
    public let id: String
    private let settings: SwanLabSettings
    private let start: Date
    private let now: () -> Date
    private var log: RecordLog?
    /// Records of curves written.
    private var count = 0
    /// Curves that have a record of their own.
    private var curves: Set<String> = []
    private var isFinished = false

    /// Whether anything is written.
    public var hasBegun: Bool { log != nil || isFinished }

    /// `:SWL`, the low half of the CRC-32 of "SwanLab", and the version of the files of swanlab 0.10.
    private static let header = Array(":SWL".utf8) + littleEndian(UInt16(0xE1D6)) + [2]
    /// The numbers of records that belong to no curve.
    private enum Own { static let start = -1, finish = -2, configuration = -3 }

    public init(_ settings: SwanLabSettings, now: @escaping () -> Date = { Date() }) {
        self.settings = settings
        self.now = now
        start = now()
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        id = settings.id ?? String((0..<8).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyyMMdd_HHmmss"
        folder = "\(settings.folder)/run-\(formatter.string(from: start))-\(id)"
    }

    public func begin(after step: Int, events: Int, settings values: JSONObject) throws(UserError) {
        guard log == nil, !isFinished else { return }
        try createDirectories(at: folder + "/files")
        log = try RecordLog(path: "\(folder)/run-\(id).swanlab", header: Self.header)
        try append(Own.start) { $0.message(10) { self.describeRun(in: &$0) } }
        let configuration = configurationYAML(values)
        let path = folder + "/files/config.yaml"
        try writeFileAtomically(configuration, to: path)
        // save 20: name 1, source_path 2, type 5 (1: configuration), payload 6
        try append(Own.configuration) { record in
            record.message(20) { save in
                save.text(1, "config")
                save.text(2, path)
                save.integer(5, 1)
                save.text(6, configuration)
            }
        }
    }

    public func write(_ entry: LogEntry) throws(UserError) {
        var points: [(name: String, value: Double)] = []
        for (name, value) in entry.members where name != "step" {
            guard let number = value.double else { continue }
            points.append((runTotals.contains(name) ? "single_value/\(name)" : trackedName(name), number))
        }
        let step = entry.step ?? 0
        if entry.names.contains(where: { $0 != "step" && !runTotals.contains($0) }) {
            points.append(("train/global_step", Double(step)))
        }
        for point in points { try write(point.name, point.value, step: step) }
    }

    private func write(_ name: String, _ value: Double, step: Int) throws(UserError) {
        if curves.insert(name).inserted {
            count += 1
            // column 12: class 1 (1: custom), type 2 (1: scalar), key 3, section's name 5 and type 6 (3: public)
            try append(count) { record in
                record.message(12) { column in
                    column.integer(1, 1)
                    column.integer(2, 1)
                    column.text(3, name)
                    column.text(5, String(name.prefix { $0 != "/" }))
                    column.integer(6, 3)
                }
            }
        }
        count += 1
        let time = now()
        try append(count) { record in  // scalar 13: key 1, step 2, type 3, timestamp 4, value 5 (number 1)
            record.message(13) { scalar in
                scalar.text(1, name)
                scalar.integer(2, step)
                scalar.integer(3, 1)
                scalar.time(4, time)
                // SwanLab makes not-a-number of the infinities too.
                scalar.message(5) { $0.double(1, value.isFinite ? value : .nan) }
            }
        }
    }

    public func finish(exitCode: Int) throws(UserError) {
        guard log != nil else { return }
        let time = now()
        // finish 11: state 1 (finished 1, crashed 2, aborted 3), error 2, finished_at 3
        try append(Own.finish) { record in
            record.message(11) { finish in
                finish.integer(1, exitCode == 0 ? 1 : exitCode == 130 ? 3 : 2)
                if exitCode != 0 {
                    finish.text(2, exitCode == 130 ? "The run was interrupted." : "The run failed.")
                }
                finish.time(3, time)
            }
        }
        log = nil
        isFinished = true
    }

    /// The run's record: project 1, workspace 2, public 3, name 4, description 5, tags 6, group 7, job type 8, id 10, started_at 12.
    private func describeRun(in run: inout MessageWriter) {
        run.text(1, settings.project)
        if let workspace = settings.workspace { run.text(2, workspace) }
        if settings.isPublic { run.integer(3, 1) }
        if let name = settings.name { run.text(4, name) }
        if let description = settings.description { run.text(5, description) }
        for tag in settings.tags { run.text(6, tag) }
        if let group = settings.group { run.text(7, group) }
        if let jobType = settings.jobType { run.text(8, jobType) }
        run.text(10, id)
        run.time(12, start)
    }

    /// Settings as SwanLab's files hold them: each with its place and a description.
    private func configurationYAML(_ values: JSONObject) -> String {
        var values = values
        values["Framework"] = "🦙LlamaFactory"
        return values.enumerated().map { place, setting in
            "\(yaml(.string(setting.key))):\n  desc: ''\n  sort: \(place)\n  value: \(yaml(setting.value))\n"
        }.joined()
    }

    private func append(_ number: Int, _ fill: (inout MessageWriter) -> Void) throws(UserError) {
        var record = MessageWriter()
        record.integer(1, number)
        record.time(2, now())
        fill(&record)
        try log?.append(record: record.bytes)
    }
}

extension MessageWriter {
    /// A moment: seconds 1, nanoseconds 2.
    fileprivate mutating func time(_ field: Int, _ date: Date) {
        let seconds = date.timeIntervalSince1970
        message(field) { moment in
            moment.integer(1, Int(seconds.rounded(.down)))
            moment.integer(2, Int((seconds - seconds.rounded(.down)) * 1e6) * 1000)
        }
    }
}

/// A value as YAML in one line, with which readers of YAML 1.1 agree: numbers with an exponent have a point, and text is quoted and
/// escaped as YAML does it, characters beyond the basic plane included.
private func yaml(_ value: JSONValue) -> String {
    switch value {
    case .string(let text):
        let content = text.unicodeScalars.map { scalar -> String in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case " "..."~": String(scalar)
            default:
                scalar.value > 0xFFFF
                    ? String(format: "\\U%08X", scalar.value) : String(format: "\\u%04X", scalar.value)
            }
        }
        return "\"\(content.joined())\""
    case .array(let items): return "[\(items.map(yaml).joined(separator: ", "))]"
    case .object(let members):
        return "{\(members.map { "\(yaml(.string($0.key))): \(yaml($0.value))" }.joined(separator: ", "))}"
    case .double(let number) where number.isFinite:
        let text = value.serialized()
        guard let exponent = text.firstIndex(of: "e"), !text.contains(".") else { return text }
        return "\(text[..<exponent]).0\(text[exponent...])"
    case .double: return yaml(.string(value.serialized()))
    default: return value.serialized()
    }
}
