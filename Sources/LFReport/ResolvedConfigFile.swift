public import LFConfig
public import LFDiagnostics

extension ResolvedConfig {
    /// The file beside each checkpoint that says how the run was set up.
    public static let fileName = "training_args.yaml"

    /// Writes `training_args.yaml` into `folder`: every argument with the value it had, secrets masked.
    ///
    /// `llamafactory-cli train` takes the file as input and gives the same run.
    ///
    /// - Throws: `UserError` naming the file.
    public func save(in folder: String) throws(UserError) {
        try writeFileAtomically(argumentsYAML(includingDefaults: true), to: folder + "/" + Self.fileName)
    }
}
