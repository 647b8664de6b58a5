import LFConfig
import Testing

@Suite("Named adapters of the server") struct LoRAModuleTests {
    private let api = ["model_name_or_path=m", "template=llama3"]

    @Test("A mapping and vLLM's pairs mean the same")
    func spellings() throws {
        let wanted = [LoRAModule(name: "travel", path: "saves/a"), LoRAModule(name: "my/poems", path: "b=c")]
        for text in [
            "lora_modules=travel=saves/a, my/poems=b=c",
            #"lora_modules={"travel": "saves/a", "my/poems": "b=c"}"#,
        ] {
            let config = try resolveConfig(arguments: api + [text], for: .api)
            #expect(config.model.loraModules == wanted && config.warnings == [])
        }
        let mapping = ArgumentValue.mapping([("travel", .string("saves/a")), ("my/poems", .string("b=c"))])
        let config = try resolveConfig(
            values: [
                ("model_name_or_path", .string("m")), ("template", .string("llama3")),
                ("lora_modules", mapping),
            ], for: .api)
        #expect(config.model.loraModules == wanted)
        #expect(try resolveConfig(arguments: api, for: .api).model.loraModules == [])
    }

    @Test("What cannot be meant is refused by name")
    func refused() {
        for (text, words) in [
            ("travel", "holds \"travel\", which is not a name with a folder"),
            ("a=x,", "holds \"\", which is not a name"), ("=x", "has an entry without a name"),
            ("a=", "gives \"a\" no folder"), ("a=x,a=y", "has the name \"a\" twice"),
            (#"{"a": 5}"#, "gives \"a\" the value 5"), ("a=x.gguf", "names the GGUF file \"x.gguf\""),
        ] {
            let found = problems(api + ["lora_modules=\(text)"], for: .api)
            #expect(found.count == 1 && found[0].contains("lora_modules \(words)"), "\(found)")
        }
        let scores = problems(api + ["lora_modules=a=x", "stage=rm"], for: .api)
        #expect(scores.count == 1 && scores[0].contains("does not work with `stage: rm`"), "\(scores)")
        for (use, base) in [
            (ConfigurationUse.chat, api), (.training, minimal()), (.export, api + ["export_dir=o"]),
            (.evaluation, ["model_name_or_path=m", "template=fewshot", "task=mmlu_test"]),
        ] {
            let found = problems(base + ["lora_modules=a=x"], for: use)
            #expect(
                found.count == 1 && found[0].contains("`lora_modules` belongs to the command `api`."),
                "\(found)")
        }
    }
}
