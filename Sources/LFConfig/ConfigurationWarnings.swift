/// Collects what a user should know although nothing is wrong.
func collectWarnings(_ arguments: inout ArgumentValues, for use: ConfigurationUse) {
    guard use == .training else {
        let unread = ArgumentCatalogue.all.filter {
            !use.reads($0) && $0.support == .supported && arguments.isChanged($0.name)
        }
        return warnOfIdle(unread.map { ($0.name, "`\(use.rawValue)` does not read it") }, &arguments)
    }
    if !["do_train", "do_eval", "do_predict"].contains(where: { arguments.bool($0) }) {
        arguments.warn("There is nothing to do: set `do_train: true` or `do_eval: true`.")
    }
    let isMixed = ["bf16", "fp16", "pure_bf16", "use_cpu"].contains { arguments.bool($0) }
    if arguments.bool("do_train"), !isMixed {
        arguments.warn("We recommend enable mixed precision training: set `bf16: true`.")
    }
    let stage = arguments.string("stage")
    let usesReference =
        stage == "kto"
        || stage == "dpo" && !["orpo", "simpo"].contains(arguments.string("pref_loss"))
    if !arguments.bool("do_train"), arguments.bool("do_eval"), usesReference, arguments.isNull("ref_model") {
        arguments.warn(
            "Specify `ref_model` for computing rewards at evaluation: without it the model is compared with itself."
        )
    }
    warnOfIdle(idleArguments(arguments), &arguments)
}

private func warnOfIdle(_ idle: [(name: String, reason: String)], _ arguments: inout ArgumentValues) {
    guard !idle.isEmpty else { return }
    let list = idle.map { "`\($0.name)` (\($0.reason))" }.joined(separator: ", ")
    arguments.warn(
        "\(idle.count == 1 ? "An argument changes" : "\(idle.count) arguments change") nothing here: \(list)."
    )
}
