import Foundation
import LFDiagnostics
import Logging
import Testing

/// A pseudo-terminal: what a console writes to `terminal` can be read back.
private final class PseudoTerminal {
    private let terminal: Int32
    private let reader: Int32

    init(columns: UInt16) throws {
        var reader: Int32 = -1
        var terminal: Int32 = -1
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(openpty(&reader, &terminal, nil, nil, &size) == 0)
        self.reader = reader
        self.terminal = terminal
    }

    /// Everything written since the last call, with the terminal's own line ends turned back.
    func read() -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        var request = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
        while poll(&request, 1, 50) > 0 {
            let count = Glibc.read(reader, &chunk, chunk.count)
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
    }

    /// A console on it; without a type of its own it would be the caller's `TERM`, which may redraw nothing.
    func console(type: String = "xterm") -> Console {
        Console(output: terminal, status: terminal, terminalType: type)
    }

    deinit {
        close(terminal)
        close(reader)
    }
}

/// What a person sees after `text` went to a terminal: carriage returns and line erasures carried out.
private func screen(_ text: String) -> [String] {
    var lines = [""]
    var rest = Substring(text)
    while let character = rest.first {
        if rest.hasPrefix("\u{1B}[2K") {
            lines[lines.count - 1] = ""
            rest = rest.dropFirst(4)
            continue
        }
        switch character {
        case "\r": break
        case "\n": lines.append("")
        default: lines[lines.count - 1].append(character)
        }
        rest = rest.dropFirst()
    }
    return lines
}

@Suite struct ConsoleTests {
    @Test func linesStayAboveTheStatus() throws {
        let device = try PseudoTerminal(columns: 60)
        let console = device.console()
        console.showStatus("10%")
        console.writeLine("a line that is longer than the status")
        console.showStatus("20%")
        console.writeLine("b")
        #expect(screen(device.read()) == ["a line that is longer than the status", "b", "20%"])
    }

    @Test func aDumbTerminalShowsLinesOnly() throws {
        let device = try PseudoTerminal(columns: 60)
        let console = device.console(type: "dumb")
        console.showStatus("10%")
        console.writeLine("a")
        #expect(device.read() == "a\n")
        #expect(!console.showsStatus && !console.showsColor)
    }

    @Test func withoutATerminalThereIsNoControlSequence() throws {
        let folder = ScratchFolder()
        let file = open(folder.path + "/out", O_CREAT | O_RDWR, 0o644)
        defer { close(file) }
        let console = Console(output: file, status: file)
        console.showStatus("10%")
        console.writeLine("{'loss': '0.6931'}")
        console.finishStatus(leaving: "100%")
        #expect(try folder.text("out") == "{'loss': '0.6931'}\n")
        #expect(!console.showsStatus && !console.showsColor)
    }

    @Test func theBarFitsAndNeverGarblesALine() throws {
        for columns: UInt16 in [20, 45, 80, 200] {
            let device = try PseudoTerminal(columns: columns)
            let console = device.console()
            var now = 0.0
            let bar = ProgressBar(label: "train", total: 20, completed: 4, console: console, clock: { now })
            for step in 5...20 {
                now += 0.5
                bar.advance(to: step, detail: "loss 0.4512")
                if step == 10 { console.writeLine("log") }
            }
            bar.finish()
            let lines = screen(device.read())
            #expect(lines.count == 3 && lines[0] == "log" && lines[2].isEmpty)
            #expect(lines[1].count < columns)
            #expect(lines[1].hasPrefix("train 100%"))
        }
    }

    @Test func theRateDoesNotCountWhatAnEarlierRunDid() throws {
        let device = try PseudoTerminal(columns: 100)
        let console = device.console()
        var now = 0.0
        let bar = ProgressBar(total: 1000, completed: 900, console: console, clock: { now })
        for step in 901...950 {
            now += 2
            bar.advance(to: step)
        }
        // 50 steps of 2 s are left.
        #expect(screen(device.read())[0].hasSuffix("950/1000 [1:40<1:40, 2.00 s/step]"))
    }

    @Test func elsewhereAPlainLineComesOnceAMinute() throws {
        let folder = ScratchFolder()
        let file = open(folder.path + "/out", O_CREAT | O_RDWR, 0o644)
        defer { close(file) }
        var now = 0.0
        let bar = ProgressBar(
            label: "train", total: 300, console: Console(output: file, status: file), clock: { now })
        for step in 1...150 {
            now += 1
            bar.advance(to: step)
        }
        bar.finish()
        let lines = try folder.text("out").split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("train  20%|") && lines[0].hasSuffix("| 60/300 [1:00<4:00, 1.00 steps/s]"))
    }
}

@Suite struct LogFormatTests {
    @Test func hasUpstreamsForm() {
        setenv("TZ", "UTC", 1)
        tzset()
        let line = logLine(.notice, at: 1_795_214_540, name: "llamafactory.trainer", line: 42, "Saved.")
        #expect(line == "[INFO|2026-11-20 22:42:20] llamafactory.trainer:42 >> Saved.")
    }

    @Test func onlyWarningsAndErrorsAreColored() {
        func line(_ level: Logger.Level) -> String {
            logLine(level, at: 0, name: "n", line: 1, "m", colored: true)
        }
        #expect(
            line(.warning).hasPrefix("\u{1B}[33m[WARNING|") && line(.warning).hasSuffix("]\u{1B}[0m n:1 >> m")
        )
        #expect(line(.critical).hasPrefix("\u{1B}[31m[CRITICAL|"))
        #expect(line(.info).hasPrefix("[INFO|"))
    }

    @Test func levelsHavePythonsNames() throws {
        #expect(try logLevel(named: nil) == .info)
        #expect(try logLevel(named: "warn") == .warning)
        #expect(try logLevel(named: "DEBUG") == .debug)
        #expect(throws: UserError.self) { try logLevel(named: "LOUD") }
    }

    @Test func aMessageGoesToTheOutput() throws {
        let folder = ScratchFolder()
        let file = open(folder.path + "/out", O_CREAT | O_RDWR, 0o644)
        defer { close(file) }
        var logger = Logger(label: "llamafactory.data") { name in
            ConsoleLogHandler(name: name, level: .warning, console: Console(output: file, status: file))
        }
        logger[metadataKey: "rows"] = "3"
        logger.info("unseen")
        logger.warning("Skipped.")
        let line = try folder.text("out")
        #expect(line.contains(" llamafactory.data:") && line.hasSuffix(" >> Skipped. rows=3\n"))
        #expect(line.split(separator: "\n").count == 1)
    }
}
