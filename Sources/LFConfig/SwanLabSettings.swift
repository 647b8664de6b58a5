import LFDiagnostics

/// Where a SwanLab run belongs: the `swanlab_*` arguments of `use_swanlab`, and the variables of the environment that the `swanlab`
/// package reads.
public struct SwanLabSettings: Sendable, Equatable {
    /// Holds the runs' folders: `swanlab_logdir`, else `SWANLAB_LOG_DIR`.
    public var folder = "swanlog"
    /// `swanlab_project`; without `use_swanlab` (`report_to: swanlab`) `SWANLAB_PROJECT` before it.
    public var project = "llamafactory"
    public var workspace: String?
    /// `swanlab_run_name`, else `SWANLAB_EXP_NAME`, else `run_name`; SwanLab names the run when nil.
    public var name: String?
    /// `SWANLAB_RUN_ID`; a new one is drawn when nil.
    public var id: String?
    public var group: String?
    public var jobType: String?
    public var description: String?
    public var tags = ["🦙LlamaFactory"]
    /// Whether everybody may see a project that the upload makes (`SWANLAB_PUBLIC`).
    public var isPublic = false

    /// Reads arguments and environment.
    ///
    /// - Returns: nil where the environment switches SwanLab off (`SWANLAB_MODE=disabled`).
    /// - Throws: `UserError` naming a variable that asks for more than a recorded run.
    init?(_ environment: [String: String], _ arguments: ArgumentValues) throws(UserError) {
        func value(_ name: String) -> String? {
            environment["SWANLAB_" + name].flatMap { $0.isEmpty ? nil : $0 }
        }
        switch value("MODE") {
        case "disabled"?: return nil
        case nil, "cloud"?, "online"?, "offline"?: break
        default:
            throw UserError(
                .configuration,
                "SWANLAB_MODE=\(value("MODE") ?? "") asks for more than recording the run, which is not supported.",
                remedy: "Unset it: the run is recorded, and `swanlab sync` uploads it.")
        }
        if let resume = value("RESUME"), !["allow", "never", "false"].contains(resume.lowercased()) {
            throw UserError(
                .configuration,
                "SWANLAB_RESUME=\(resume) asks the server for the run's earlier steps, which is not supported.",
                remedy: "Set SWANLAB_RESUME=allow and SWANLAB_RUN_ID, or unset it.")
        }
        if let id = value("RUN_ID") {
            guard id.utf8.count <= 64, !id.contains(where: { "/\\#?%:".contains($0) }), id != ".", id != ".."
            else {
                throw UserError(
                    .configuration, "SWANLAB_RUN_ID is not a run's id: \(id).",
                    remedy: "Use at most 64 letters, digits, dashes and underscores.")
            }
            self.id = id
        }
        let isAsked = arguments.bool("use_swanlab") || arguments.isGiven("swanlab_project")
        project =
            (isAsked ? nil : value("PROJECT") ?? value("PROJ_NAME"))
            ?? arguments.optionalString("swanlab_project") ?? project
        folder =
            (arguments.optionalString("swanlab_logdir") ?? value("LOG_DIR") ?? value("LOGDIR")).map(
                expandingHome) ?? folder
        workspace = arguments.optionalString("swanlab_workspace") ?? value("WORKSPACE")
        name =
            arguments.optionalString("swanlab_run_name") ?? value("EXP_NAME")
            ?? arguments.optionalString("run_name")
        group = value("GROUP")
        jobType = value("JOB_TYPE")
        description = value("DESCRIPTION")
        tags += (value("TAGS") ?? "").split(separator: ",").map { String($0) }
        isPublic = isEnabled(value("PUBLIC"))
    }
}
