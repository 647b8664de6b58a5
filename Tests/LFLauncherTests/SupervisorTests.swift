import Foundation
import LFConfig
import LFDiagnostics
import LFLauncher
import Synchronization
import Testing

/// The launcher with shell scripts in place of trainings.
@Suite(.serialized) struct SupervisorTests {
    struct Outcome {
        var status: Int32
        var reports: [String]
        var seconds: Double
        var files: [String: String]
        /// What is left of the launcher's folder.
        var left: [String]
    }

    /// Runs a script in several processes; what they write into `$OUT` is returned by file name.
    ///
    /// - Parameter stop: The file in `$OUT` at whose coming the launcher is told to stop. A signal would reach the servers that other tests run in
    ///   this process, too.
    static func run(
        _ script: String, processes: Int = 3, stoppedAt stop: String? = nil,
        _ change: (inout LaunchRequest) -> Void = { _ in }
    ) throws -> Outcome {
        let folder = NSTemporaryDirectory() + "lf-launch-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var request = LaunchRequest()
        request.processesPerNode = processes
        change(&request)
        let temporary = folder + "-tmp"
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: temporary) }
        let reports = Mutex<[String]>([])
        if let stop {
            Thread.detachNewThread {
                let deadline = monotonicSeconds() + 30
                while access(folder + "/" + stop, F_OK) != 0, monotonicSeconds() < deadline { usleep(10_000) }
                StopSignals.note()
            }
        }
        let start = monotonicSeconds()
        let status = try Supervisor(
            request, command: ["/bin/sh", "-c", script],
            environment: ["PATH": "/usr/bin:/bin", "OUT": folder], temporaryFolder: temporary
        ) { text in reports.withLock { $0.append(text) } }.run()
        var files: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            files[name] = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
        }
        return try Outcome(
            status: status, reports: reports.withLock { $0 }, seconds: monotonicSeconds() - start,
            files: files,
            left: FileManager.default.contentsOfDirectory(atPath: temporary).map { temporary + "/" + $0 })
    }

    @Test func everyProcessKnowsItsPlace() throws {
        let outcome = try Self.run(
            #"echo "$RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR $TORCHELASTIC_RESTART_COUNT" > $OUT/$RANK; test -n "$OMP_NUM_THREADS" && test "$MASTER_PORT" -gt 0"#,
            processes: 2
        ) { ($0.nodes, $0.nodeRank, $0.masterAddress, $0.masterPort) = (2, 1, "10.0.0.1", 4000) }
        #expect(outcome.status == 0 && outcome.reports.isEmpty)
        #expect(outcome.files == ["2": "2/4 0/2 1 10.0.0.1 0\n", "3": "3/4 1/2 1 10.0.0.1 0\n"])
    }

    /// The others would go on for a minute; those that lose their connection to it are not the cause.
    @Test(
        arguments: [
            (
                "echo 'error: data/x.json:3: no such row. Mend it.' >&2; exit 1", Int32(1),
                "Process 1 failed: data/x.json:3: no such row. Mend it."
            ),
            ("exit 7", 7, "Process 1 failed with status 7."),
            ("kill -9 $$", 137, "Process 1 was killed by signal 9"),
            ("kill -SEGV $$", 139, "Process 1 was killed by signal 11 (SIGSEGV)"),
        ] as [(String, Int32, String)])
    func theFirstFailureEndsAllAndIsNamed(_ failure: String, _ status: Int32, _ message: String) throws {
        let outcome = try Self.run(
            "case $RANK in 1) sleep 0.1; \(failure);; 0) sleep 0.05; exit 76;; *) exec sleep 60;; esac")
        #expect(outcome.status == status)
        #expect(outcome.reports.count == 1 && outcome.reports[0].hasPrefix(message), "\(outcome.reports)")
        #expect(outcome.seconds < 8)
    }

    @Test func whenAllHaveOnlyLostTheirConnectionsOneIsNamed() throws {
        let outcome = try Self.run("exit 76", processes: 2)
        #expect(outcome.status == 1 && outcome.reports.count == 1)
    }

    /// The third attempt succeeds; each has a number and a place of its own.
    @Test func failuresAreRestartedAsOftenAsAllowed() throws {
        let script =
            "echo $TORCHELASTIC_RESTART_COUNT >> $OUT/$RANK; if [ $RANK = 1 ] && [ $TORCHELASTIC_RESTART_COUNT -lt 2 ]; then exit 1; fi"
        let mended = try Self.run(script, processes: 2) { $0.maxRestarts = 2 }
        #expect(mended.status == 0 && mended.reports.isEmpty && mended.files["1"] == "0\n1\n2\n")
        let failed = try Self.run(script, processes: 2) { $0.maxRestarts = 1 }
        #expect(failed.status == 1 && failed.reports.count == 1 && failed.files["1"] == "0\n1\n")
    }

    /// Other machines wait for a process that was killed before it could say anything: its launcher has them told, in its place.
    @Test(
        arguments: [
            ("kill -9 $$", "2 It was killed by signal 9 (SIGKILL, perhaps for want of memory).\n"),
            ("echo 'error: No such row.'; exit 1", "2 No such row.\n"),
            ("exit 3", "2 It ended with status 3.\n"),
            ("exit 76", nil), ("exit 130", nil), ("exit 0", nil),
        ] as [(String, String?)])
    func otherMachinesAreToldOfAFailure(_ end: String, _ told: String?) throws {
        let script =
            #"if [ "$LLAMAFACTORY_FAILURE" ]; then echo "$RANK $LLAMAFACTORY_FAILURE" >> $OUT/told; exit; fi; "#
            + end
        let outcome = try Self.run(script, processes: 1) {
            ($0.nodes, $0.nodeRank, $0.masterAddress, $0.masterPort) = (3, 2, "10.0.0.1", 4000)
            // Who starts again needs nobody told.
            $0.maxRestarts = 1
        }
        #expect(outcome.files["told"] == told)
        #expect((outcome.status == 0) == (end == "exit 0"))
    }

    @Test func wrongConfigurationsAreNotTriedAgain() throws {
        let outcome = try Self.run("echo x >> $OUT/$RANK; exit 64", processes: 1) { $0.maxRestarts = 5 }
        #expect(outcome.status == 64 && outcome.files["0"] == "x\n")
    }

    /// After Ctrl-C a process that still writes is waited for, though it has ended another one at once.
    @Test func ctrlCLeavesTimeToWrite() throws {
        let outcome = try Self.run(
            "case $RANK in 0) trap : INT; : > $OUT/ready; sleep 1; sleep 1; sleep 1.2; echo whole > $OUT/model; exit 130;; *) trap 'trap - INT; kill -INT $$' INT; sleep 0.6; sleep 60;; esac",
            processes: 2, stoppedAt: "ready")
        #expect(outcome.files["model"] == "whole\n")
        #expect(outcome.status == 130 && outcome.reports.isEmpty, "\(outcome.reports)")
    }

    @Test func interruptedProcessesAreNoFailure() throws {
        let outcome = try Self.run("exit 130", processes: 2) { $0.maxRestarts = 1 }
        #expect(outcome.status == 130 && outcome.reports.isEmpty)
    }

    @Test func aProgramThatIsNotThereIsAnError() throws {
        let temporary = NSTemporaryDirectory() + "lf-launch-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: temporary) }
        var request = LaunchRequest()
        request.processesPerNode = 2
        #expect(throws: (any Error).self) {
            try Supervisor(
                request, command: ["/no/such/program"], environment: [:], temporaryFolder: temporary
            ) { _ in }.run()
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary).isEmpty)
    }

    /// Process 0 has said on the same terminal why it fails: one error line, and nobody asks for the others' output.
    @Test(arguments: [1, 64]) func whatProcessZeroHasSaidIsNotRepeated(_ status: Int) throws {
        let outcome = try Self.run("case $RANK in 0) exit \(status);; *) sleep 0.1; exit 76;; esac")
        #expect(outcome.status == Int32(status) && outcome.reports.isEmpty && outcome.left.isEmpty)
    }

    /// A process of another machine has failed: what process 0 has heard of it is said by its launcher, once.
    @Test func theLossOfAnotherMachinesProcessIsToldByTheLauncher() throws {
        let outcome = try Self.run(
            #"[ $RANK = 0 ] && echo "error: Process 7 failed: no such row." > "$LLAMAFACTORY_START_MARKER-lost"; exit 76"#,
            processes: 1)
        #expect(outcome.status == 1)
        #expect(
            outcome.reports == ["Process 7 failed: no such row. All processes on this machine are ended."])
    }

    /// The folder with the processes' output stays only where the message names a file in it.
    @Test(
        arguments: [
            ("exit 0", false), ("exit 130", false), ("exit 64", false),
            ("if [ $RANK = 0 ]; then kill -9 $$; fi", false),
            ("if [ $RANK = 1 ]; then exit 1; fi; exec sleep 9", true),
        ])
    func theLaunchersFolderIsRemoved(_ script: String, _ stays: Bool) throws {
        let outcome = try Self.run(script, processes: 2)
        #expect(outcome.left.count == (stays ? 1 : 0), "\(outcome.reports)")
        #expect(outcome.left.allSatisfy { folder in outcome.reports.contains { $0.contains(folder) } })
    }
}
