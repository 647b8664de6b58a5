import LFDiagnostics

/// Reports what a training in several processes cannot do yet; without a word each process would do something else.
func checkSeveralProcesses(_ arguments: inout ArgumentValues) {
    let count = arguments.processCount
    func report(_ name: String, _ what: String, _ remedy: String) {
        arguments.report("\(what) in \(count) processes is not supported yet.", at: [name], remedy: remedy)
    }
    if !arguments.bool("average_tokens_across_devices") {
        report(
            "average_tokens_across_devices", "`average_tokens_across_devices: false`",
            "Remove it: the loss is the mean over the tokens of all processes.")
    }
    if let backend = arguments.optionalString("ddp_backend"), backend != "gloo" {
        report("ddp_backend", "`ddp_backend: \(backend)`", "Remove it, or set `ddp_backend: gloo`.")
    }
    if arguments.bool("save_on_each_node") {
        report("save_on_each_node", "`save_on_each_node: true`", "Remove it: process 0 saves.")
    }
    if arguments.bool("use_badam") {
        report("use_badam", "`use_badam: true`", "Train in one process.")
    }
}
