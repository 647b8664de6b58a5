import Foundation
import LFConfig
import LFLauncher
import LFWorkflows

/// `train`: as one process, as one of several, or as the launcher of several.
///
/// - Returns: The exit status.
func runTrain(_ arguments: [String]) throws -> Int32 {
    // A reader of the output that goes away (`| head`) must not cost the run.
    signal(SIGPIPE, SIG_IGN)
    let environment = ProcessInfo.processInfo.environment
    // Once, before anything is started: what is wrong is wrong for all processes.
    let config = try resolveConfig(arguments: arguments)
    let role: ProcessRole
    switch try launchPlan(environment) {
    case .launch(let request):
        let program =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
        return try Supervisor(
            request, command: [program, "train"] + arguments, environment: environment
        ) { report("error: \($0)") }.run()
    case .member(let place):
        if let failure = MemberVariables.failure(environment) {
            try reportFailure(failure, of: place)
            return 0
        }
        role = place
    case .alone: role = .alone
    }
    MemberVariables.followLauncher(environment)
    let result = try runTraining(
        config, as: role, startMarker: MemberVariables.startMarker(environment))
    return result.isInterrupted ? 130 : 0
}
