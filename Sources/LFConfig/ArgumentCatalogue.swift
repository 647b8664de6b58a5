/// All arguments by name and in table order.
///
/// The table is text, one argument a line, because it is read far more often than it is changed, and because text
/// compiles in no time:
///
///     name | type and bounds | default / other harmless values | status | meaning
///
/// - type: `bool int float string text names numbers choice mapping mapping|string bool|string`, `?` for "may be null".
///   Numbers take bounds (`>=0 <1`), a choice its values, `!value` being refused.
/// - default: `-` is null.
/// - status: `yes`; `no effect`; `no`, or `no: what to do instead`.
/// - `## Title` opens a section.
package enum ArgumentCatalogue {
    package static let all: [ArgumentDefinition] =
        parse(modelTable, .model) + parse(dataTable, .data) + parse(finetuningTable, .finetuning)
        + parse(trainingTable, .training) + parse(generatingTable, .generating)
        + parse(megatronTable, .megatron)
        + parse(evaluationTable, .evaluation)

    package static let byName: [String: ArgumentDefinition] = Dictionary(
        all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

    /// Names that upstream or its older versions used, and what they are called now.
    package static let formerNames: [String: String] = [
        "evaluation_strategy": "eval_strategy", "no_cuda": "use_cpu", "use_cuda": "use_cpu",
        "dpo_beta": "pref_beta", "dpo_loss": "pref_loss", "dpo_ftx": "pref_ftx", "kto_beta": "pref_beta",
        "orpo_beta": "pref_beta", "dpo_ref_model": "ref_model",
        "quantization": "quantization_bit", "checkpoint_dir": "adapter_name_or_path", "lora_r": "lora_rank",
        "cutoff_length": "cutoff_len", "max_seq_length": "cutoff_len", "max_seq_len": "cutoff_len",
        "num_layer_trainable": "freeze_trainable_layers", "name_module_trainable": "freeze_trainable_modules",
        "num_epochs": "num_train_epochs", "epochs": "num_train_epochs", "lr": "learning_rate",
        "per_gpu_train_batch_size": "per_device_train_batch_size",
        "per_gpu_eval_batch_size": "per_device_eval_batch_size",
        "gradient_accumulation": "gradient_accumulation_steps",
        "model": "model_name_or_path", "model_path": "model_name_or_path", "model_name": "model_name_or_path",
        "adapter": "adapter_name_or_path", "adapter_path": "adapter_name_or_path", "type": "finetuning_type",
        "lr_scheduler": "lr_scheduler_type", "scheduler": "lr_scheduler_type", "optimizer": "optim",
        "group_by_length": "train_sampling_strategy", "upcast_rmsnorm": "upcast_layernorm",
        "flash_attention": "flash_attn", "system": "default_system", "max_grad_clip": "max_grad_norm",
    ]

    /// Words that people use for a choice, and what to write instead.
    static let otherWords: [String: [String: String]] = [
        "stage": [
            "pretrain": "Use `stage: pt`.", "pretraining": "Use `stage: pt`.", "cpt": "Use `stage: pt`.",
            "orpo": "Use `stage: dpo` with `pref_loss: orpo`.",
            "simpo": "Use `stage: dpo` with `pref_loss: simpo`.",
            "ipo": "Use `stage: dpo` with `pref_loss: ipo`.", "grpo": "Use `stage: dpo`.",
        ],
        "finetuning_type": [
            "qlora": "Use `finetuning_type: lora`; quantization is not supported yet.",
            "dora": "Use `finetuning_type: lora` with `use_dora: true`.",
            "none": "Use `finetuning_type: full`.",
        ],
        "pref_loss": [
            "dpo": "Use `pref_loss: sigmoid`, the loss of DPO.", "kto": "Use `pref_loss: kto_pair`.",
            "bco_pair": "Use `pref_bco_weight`, which adds BCO's loss.",
        ],
        "flash_attn": [
            "flash_attention_2": "Use `flash_attn: auto`.", "flash_attention_3": "Use `flash_attn: auto`.",
            "true": "Use `flash_attn: auto`.", "false": "Use `flash_attn: disabled`.",
            "eager": "Use `flash_attn: disabled`.",
        ],
        "optim": [
            "adamw": "Use `optim: adamw_torch`.", "adam": "Use `optim: adamw_torch`.",
            "adamw_hf": "Use `optim: adamw_torch`.",
        ],
    ]

    static func parse(_ table: String, _ group: ArgumentDefinition.Group) -> [ArgumentDefinition] {
        var section = ""
        var rows: [ArgumentDefinition] = []
        for line in table.split(separator: "\n") {
            if line.hasPrefix("## ") {
                section = String(line.dropFirst(3))
                continue
            }
            let columns = columns(of: line)
            guard columns.count == 5 else { preconditionFailure("argument table: not five columns: \(line)") }
            rows.append(definition(columns, group: group, section: section))
        }
        return rows
    }

    /// The five columns; ` | ` separates, so that `mapping|string` does not.
    private static func columns(of line: Substring) -> [String] {
        var columns: [String] = []
        var column: [UInt8] = []
        let bytes = Array(line.utf8)
        var index = 0
        while index < bytes.count {
            let isBorder =
                index + 2 < bytes.count && bytes[index] == 0x20 && bytes[index + 1] == 0x7C
                && bytes[index + 2] == 0x20
            if isBorder && columns.count < 4 {
                columns.append(String(decoding: column, as: UTF8.self))
                column.removeAll(keepingCapacity: true)
                index += 3
            } else {
                column.append(bytes[index])
                index += 1
            }
        }
        columns.append(String(decoding: column, as: UTF8.self))
        return columns
    }

    private static func definition(
        _ columns: [String], group: ArgumentDefinition.Group, section: String
    ) -> ArgumentDefinition {
        var words = columns[1].split(separator: " ").map(String.init)
        var kindWord = words.removeFirst()
        let isOptional = kindWord.hasSuffix("?")
        if isOptional { kindWord.removeLast() }
        guard let kind = kinds[kindWord] else {
            preconditionFailure("argument table: unknown type \(kindWord)")
        }
        var result = ArgumentDefinition(
            name: columns[0], group: group, section: section, kind: kind, isOptional: isOptional,
            defaultValue: .null, harmlessValues: [], choices: [], refusedChoices: [], bounds: NumericBounds(),
            support: support(columns[3]), help: columns[4])
        for word in words {
            if kind == .choice {
                let choice = word.hasPrefix("!") ? String(word.dropFirst()) : word
                if choice != word { result.refusedChoices.insert(choice) }
                result.choices.append(choice)
            } else {
                result.bounds.tighten(by: word)
            }
        }
        if kind == .int, result.bounds.maximum == nil { result.bounds.maximum = NumericBounds.largestCount }
        var required = result
        required.isOptional = false
        let defaults = columns[2].split(separator: "/").map { text -> ArgumentValue in
            let text = text.trimmingSpaces()
            if text == "-" { return .null }
            guard
                case .success(let value) = coerce(
                    ConfigurationNode(.scalar(text, isPlain: true)), to: required)
            else {
                preconditionFailure("argument table: the default of \(columns[0]) has the wrong type")
            }
            return value
        }
        result.defaultValue = defaults.first ?? .string("")
        result.harmlessValues = defaults
        return result
    }

    private static let kinds: [String: ArgumentDefinition.Kind] = [
        "bool": .bool, "int": .int, "float": .float, "string": .string, "text": .text, "names": .names,
        "numbers": .numbers, "choice": .choice, "mapping": .mapping, "mapping|string": .mappingOrString,
        "bool|string": .boolOrString,
    ]

    private static func support(_ column: String) -> ArgumentDefinition.Support {
        switch column {
        case "yes": return .supported
        case "no effect": return .withoutEffect
        case "no": return .refused(remedy: nil)
        default:
            guard column.hasPrefix("no: ") else {
                preconditionFailure("argument table: unknown status \(column)")
            }
            return .refused(remedy: String(column.dropFirst(4)))
        }
    }
}

extension NumericBounds {
    /// Adds one bound of the table: `>=0`, `>0`, `<=1`, `<1`.
    fileprivate mutating func tighten(by word: String) {
        let digits = String(word.drop { $0 == "<" || $0 == ">" || $0 == "=" })
        guard let number = Double(digits), word.hasPrefix("<") || word.hasPrefix(">") else {
            preconditionFailure("argument table: unknown bound \(word)")
        }
        let isExcluded = !word.contains("=")
        if word.hasPrefix("<") {
            (maximum, maximumIsExcluded) = (number, isExcluded)
        } else {
            (minimum, minimumIsExcluded) = (number, isExcluded)
        }
    }
}

extension StringProtocol {
    /// The text without spaces, tabs and line ends at its borders.
    func trimmingSpaces() -> String {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        let bytes = Array(utf8)
        guard let first = bytes.firstIndex(where: { !isSpace($0) }),
            let last = bytes.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(decoding: bytes[first...last], as: UTF8.self)
    }
}
