import Glibc
public import Logging

/// Writes log messages as upstream does: `[INFO|2026-11-20 22:42:20] name:line >> message`, on standard output.
///
/// On a terminal the bracket of a warning is yellow and that of an error red.
public struct ConsoleLogHandler: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level
    private let name: String
    private let console: Console

    /// - Parameter name: The logger's label, such as `llamafactory.trainer`.
    public init(name: String, level: Logger.Level = .info, console: Console = .standard) {
        self.name = name
        self.console = console
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { $1 }
        let details = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        console.writeLine(
            logLine(
                event.level, at: time(nil), name: name, line: event.line, "\(event.message)\(details)",
                colored: console.showsColor))
    }
}

/// One line of the log.
///
/// - Parameter time: Seconds since 1970; shown in the local time zone.
public func logLine(
    _ level: Logger.Level, at time: Int, name: String, line: UInt, _ message: String, colored: Bool = false
) -> String {
    var time = time
    var parts = tm()
    localtime_r(&time, &parts)
    func padded(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let date = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
    let clock = "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
    var bracket = "[\(level.pythonName)|\(date) \(clock)]"
    if colored, let color = level.color { bracket = "\u{1B}[\(color)m\(bracket)\u{1B}[0m" }
    return "\(bracket) \(name):\(line) >> \(message)"
}

/// The level that `LLAMAFACTORY_VERBOSITY` asks for; `info` when it is unset.
///
/// - Throws: `UserError` for a name that is none of Python's logging levels.
public func logLevel(named verbosity: String?) throws(UserError) -> Logger.Level {
    guard let verbosity, !verbosity.isEmpty else { return .info }
    switch verbosity.uppercased() {
    case "NOTSET": return .trace
    case "DEBUG": return .debug
    case "INFO": return .info
    case "WARN", "WARNING": return .warning
    case "ERROR": return .error
    case "CRITICAL", "FATAL": return .critical
    default:
        throw UserError(
            .configuration, "LLAMAFACTORY_VERBOSITY is not a log level: \"\(verbosity)\".",
            remedy: "Use DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    }
}

/// Sends the whole program's log to the console; call once, first thing in `main`.
///
/// - Throws: `UserError` when `LLAMAFACTORY_VERBOSITY` names no log level.
public func bootstrapLogging(console: Console = .standard) throws(UserError) {
    let level = try logLevel(named: environmentValue("LLAMAFACTORY_VERBOSITY"))
    LoggingSystem.bootstrap { ConsoleLogHandler(name: $0, level: level, console: console) }
}

extension Logger.Level {
    /// The level's name in Python's `logging`, which has fewer.
    fileprivate var pythonName: String {
        switch self {
        case .trace, .debug: "DEBUG"
        case .info, .notice: "INFO"
        case .warning: "WARNING"
        case .error: "ERROR"
        case .critical: "CRITICAL"
        }
    }

    /// The terminal's colour number, for levels that should catch the eye.
    fileprivate var color: Int? {
        switch self {
        case .warning: 33
        case .error, .critical: 31
        default: nil
        }
    }
}
