/// Checks arguments against one another: upstream's rules for what exists here, in upstream's order.
func checkCombinations(_ arguments: inout ArgumentValues) {
    if arguments.isNull("model_name_or_path"), arguments.isUsable("model_name_or_path") {
        arguments.report(
            "Please provide `model_name_or_path`.", at: ["model_name_or_path"],
            remedy: "Name the folder of the base model.")
    }
}

func warn(_ arguments: inout ArgumentValues) { _ = arguments }
