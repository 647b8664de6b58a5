/// Where and when a run's files go to the Hugging Face hub (`push_to_hub` and the `hub_*` arguments).
public struct HubPushArguments: Sendable, Equatable {
    /// When files are uploaded (transformers `HubStrategy`).
    public enum Strategy: String, Sendable, CaseIterable {
        /// Once, when everything is done.
        case end
        /// The model, each time a checkpoint is saved.
        case everySave = "every_save"
        /// The same, and the newest checkpoint as `last-checkpoint`.
        case checkpoint
        /// The same, and every checkpoint under its name.
        case allCheckpoints = "all_checkpoints"
    }

    /// `owner/name`, or `name` of the token's owner; `output_dir`'s last part when not given.
    public var repository: String
    public var strategy = Strategy.everySave
    /// `hub_token`, else `hf_hub_token`; the environment's when nil.
    public var token: String?
    /// nil leaves it to the owner's setting.
    public var isPrivate: Bool?
    /// Whether an upload waits for the one that is under way; else it is left to the next save.
    public var alwaysPushes = false
    /// A branch other than the default one; made where it is missing.
    public var revision: String?

    init?(_ arguments: ArgumentValues) {
        guard arguments.bool("push_to_hub") else { return nil }
        let folder = arguments.string("output_dir").split(separator: "/").last.map(String.init) ?? ""
        repository = arguments.optionalString("hub_model_id") ?? folder
        strategy = arguments.choice("hub_strategy", default: .everySave)
        token = ["hub_token", "hf_hub_token"].lazy.compactMap { arguments.optionalString($0) }
            .first { !$0.hasPrefix("<") }
        isPrivate = arguments.isNull("hub_private_repo") ? nil : arguments.bool("hub_private_repo")
        alwaysPushes = arguments.bool("hub_always_push")
        revision = arguments.optionalString("hub_revision")
    }
}
