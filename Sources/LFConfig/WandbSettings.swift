public import LFDiagnostics

/// Where a Weights & Biases run belongs: the variables of the environment that the `wandb` package reads, and `run_name`.
public struct WandbSettings: Sendable, Equatable {
    /// Holds the `wandb` folder (`WANDB_DIR`); the working folder when nil.
    public var folder: String?
    /// `WANDB_PROJECT`; upstream's default is `llamafactory`.
    public var project = "llamafactory"
    public var entity: String?
    /// `run_name`, else `WANDB_NAME`.
    public var name: String?
    /// `WANDB_RUN_ID`; a new one is drawn when nil.
    public var id: String?
    public var group: String?
    public var jobType: String?
    public var notes: String?
    public var tags: [String] = []

    /// Reads the environment.
    ///
    /// - Returns: nil where the environment switches Weights & Biases off (`WANDB_MODE=disabled`, `WANDB_DISABLED=true`).
    /// - Throws: `UserError` naming a variable that asks for more than an offline run.
    public init?(_ environment: [String: String], runName: String?) throws(UserError) {
        func value(_ name: String) -> String? {
            environment["WANDB_" + name].flatMap { $0.isEmpty ? nil : $0 }
        }
        func refuse(_ name: String, _ what: String, _ remedy: String) -> UserError {
            UserError(
                .configuration, "WANDB_\(name)=\(value(name) ?? "") \(what), which is not supported.",
                remedy: remedy)
        }
        if isEnabled(value("DISABLED")) { return nil }
        switch value("MODE") {
        case "disabled"?, "dryrun-disabled"?: return nil
        case nil, "offline"?, "dryrun"?: break
        case "online"?, "run"?:
            throw refuse(
                "MODE", "asks for uploads while the run goes on",
                "Unset it: the run is recorded, and `wandb sync` uploads it, also while it goes on.")
        default: throw refuse("MODE", "is not a way to record a run", "Use `offline` or `disabled`.")
        }
        for (name, what, off) in [
            ("LOG_MODEL", "asks to upload the model", "Unset it; the files are in `output_dir`."),
            ("WATCH", "asks to log weights and gradients", "Unset it; `grad_norm` is logged."),
            ("SWEEP_ID", "makes the run a part of a sweep", "Unset it."),
        ] where !["false", "none"].contains(value(name)?.lowercased() ?? "false") {
            throw refuse(name, what, off)
        }
        let resume = value("RESUME")
        if let resume, !["allow", "auto", "never"].contains(resume) {
            throw refuse(
                "RESUME", "asks the server for the run's earlier steps",
                "Set WANDB_RESUME=allow and WANDB_RUN_ID, or unset it.")
        }
        if let id = value("RUN_ID") {
            guard id.utf8.count <= 64, !id.contains(where: { "/\\#?%:".contains($0) }), id != ".", id != ".."
            else {
                throw UserError(
                    .configuration, "WANDB_RUN_ID is not a run's id: \(id).",
                    remedy: "Use at most 64 letters, digits, dashes and underscores.")
            }
            self.id = id
        }
        folder = value("DIR").map(expandingHome)
        project = value("PROJECT") ?? project
        entity = value("ENTITY")
        name = runName ?? value("NAME")
        group = value("RUN_GROUP")
        jobType = value("JOB_TYPE")
        notes = value("NOTES")
        tags = (value("TAGS") ?? "").split(separator: ",").map { String($0) }
    }
}
