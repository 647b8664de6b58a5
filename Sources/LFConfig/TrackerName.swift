import LFDiagnostics

/// The trackers that `report_to` names, and `use_swanlab`.
public enum TrackerName: String, Sendable, CaseIterable {
    case tensorboard, wandb, mlflow, swanlab

    static func named(in arguments: ArgumentValues) -> [Self] {
        let names = arguments.names("report_to")
        return allCases.filter { tracker in
            guard tracker == .swanlab else {
                return names.contains(tracker.rawValue) || names.contains("all")
            }
            return names.contains(tracker.rawValue) || arguments.bool("use_swanlab")
        }
    }
}

/// Where a run is shown, besides its folder.
struct TrackerSettings {
    var wandb: WandbSettings?
    var mlflow: MLflowSettings?
    var swanlab: SwanLabSettings?

    /// Reads what the trackers that the run reports to find in the environment; reports what they would otherwise ignore.
    init(_ environment: [String: String], _ arguments: inout ArgumentValues) {
        let trackers = TrackerName.named(in: arguments)
        let runName = arguments.optionalString("run_name")
        do {
            if trackers.contains(.wandb) { wandb = try WandbSettings(environment, runName: runName) }
        } catch { arguments.report(error) }
        do {
            if trackers.contains(.swanlab) { swanlab = try SwanLabSettings(environment, arguments) }
        } catch { arguments.report(error) }
        // `all` names what is there; MLflow's server is there where its address is set.
        let isNamed = arguments.names("report_to").contains(TrackerName.mlflow.rawValue)
        let address = environment["MLFLOW_TRACKING_URI"] ?? ""
        guard isNamed || trackers.contains(.mlflow) && address.hasPrefix("http") else { return }
        do { mlflow = try MLflowSettings(environment, runName: runName) } catch { arguments.report(error) }
    }
}
