import LFJSON
import LFTemplate
import Testing

/// The models that upstream lists, against counts and entries of its `extras/constants.py`.
@Suite struct PublishedModelTests {
    @Test func everyGroupIsThere() {
        #expect(PublishedModels.groups.count == 131)
        #expect(PublishedModels.all.count == 635)
        #expect(PublishedModels.groups.allSatisfy { !$0.isEmpty })
        // Upstream's own counts of the hubs.
        #expect(PublishedModels.all.count { $0.modelScope != nil } == 603)
        #expect(PublishedModels.all.count { $0.openMind != nil } == 21)
        for model in PublishedModels.all {
            for place in [model.huggingFace, model.modelScope, model.openMind].compactMap(\.self) {
                let parts = place.split(separator: "/", omittingEmptySubsequences: false)
                #expect(parts.count == 2 && parts.allSatisfy { !$0.isEmpty }, "\(place)")
            }
        }
        let unknown = Set(PublishedModels.all.compactMap(\.groupTemplate))
            .subtracting(TemplateCatalogue.all.map(\.name))
        #expect(unknown.isEmpty, "\(unknown)")
    }

    @Test func entriesAreUpstreams() throws {
        func entry(_ name: String) throws -> PublishedModel {
            try #require(PublishedModels.all.first { $0.name == name })
        }
        let llama = try entry("Llama-3-8B-Instruct")
        #expect((llama.groupTemplate, llama.architecture) == ("llama3", "llama"))
        #expect(!llama.isMultimodal && !llama.isQuantized)
        #expect(llama.huggingFace == "meta-llama/Meta-Llama-3-8B-Instruct")
        #expect((llama.modelScope, llama.openMind) == ("LLM-Research/Meta-Llama-3-8B-Instruct", nil))
        #expect(llama.template == "llama3")
        let aeva = try entry("Aeva-Chat")
        #expect(aeva.huggingFace == "louzongzhi/Aeva")
        #expect(aeva.modelScope == "louzongktsi/Aeva")
        #expect(aeva.openMind == "louzongzhi/Aeva")
        let aya = try entry("Aya-23-8B-Chat")
        #expect((aya.huggingFace, aya.modelScope) == ("CohereForAI/aya-23-8B", nil))
        // Only pre-trained; its group's template is not its own.
        let base = try entry("Qwen2-MoE-57B-A14B")
        #expect((base.template, base.groupTemplate, base.architecture) == (nil, "qwen", "qwen2_moe"))
        #expect(try entry("Qwen2-7B-Instruct-AWQ").isQuantized)
        #expect(try entry("PaliGemma-3B-pt-224").template == "paligemma")
    }

    @Test(arguments: [
        ("Qwen/Qwen2-7B-Instruct", "Qwen2-7B-Instruct"), ("qwen/qwen2-7b-instruct", "Qwen2-7B-Instruct"),
        ("/data/models/Qwen2-7B-Instruct/", "Qwen2-7B-Instruct"),
        ("unsloth/Meta-Llama-3-8B-Instruct", "Llama-3-8B-Instruct"),
        ("Llama-3-8B-Instruct", "Llama-3-8B-Instruct"),
        ("/c/hub/models--google--gemma-2b-it/snapshots/0123abc", "Gemma-2B-Instruct"),
        ("/c/modelscope/hub/models/Qwen/Qwen2___5-7B-Instruct", "Qwen2.5-7B-Instruct"),
        ("LLM-Research/Meta-Llama-3-8B-Instruct", "Llama-3-8B-Instruct"),
        ("saves/my-qwen", nil), ("", nil), ("/", nil), ("models--", nil),
    ])
    func pathsAreRecognised(_ path: String, _ name: String?) {
        #expect(PublishedModels.matching(path).first?.name == name)
    }

    @Test func anotherTemplateIsWarnedAbout() {
        func warning(_ template: String, _ path: String) -> String? {
            PublishedModels.warning(template: template, of: path)
        }
        #expect(
            warning("llama3", "Qwen/Qwen2-7B-Instruct")
                == "The template \"llama3\" is not the one that Qwen2-7B-Instruct was trained with. Use `template: qwen`, unless the difference is meant."
        )
        #expect(warning("qwen", "Qwen/Qwen2-7B-Instruct") == nil)
        // What was only pre-trained has no template to differ from, and neither has an unknown model.
        #expect(warning("llama3", "Qwen/Qwen2-7B") == nil)
        #expect(warning("llama3", "saves/mine") == nil)
        // Models that think may learn without thoughts; those that cannot think may not learn with them.
        #expect(warning("qwen3_nothink", "Qwen/Qwen3-8B") == nil)
        #expect(warning("qwen3", "Qwen/Qwen3-4B-Instruct-2507") != nil)
        // Listed in two groups.
        #expect(warning("gemma2", "google/medgemma-27b-text-it") == nil)
        #expect(warning("gemma3", "google/medgemma-27b-text-it") == nil)
        #expect(
            warning("qwen", "google/medgemma-27b-text-it")?
                .contains("`template: gemma2` or `template: gemma3`") == true)
    }

    @Test func theListSaysWhatWorks() throws {
        let lines = modelLines(holding: ["Granite-3.0", "INSTRUCT"], architectures: ["granite"])
        #expect(lines.count == 5)
        #expect(lines.first?.hasPrefix("model ") == true)
        func ends(_ line: String) -> [Substring] { Array(line.split(separator: " ").dropFirst(3)) }
        #expect(ends(lines[4]) == ["granite", "yes"])
        #expect(ends(lines[1]) == ["granitemoe", "no:", "architecture"])
        let all = modelObjects(architectures: ["gemma3", "qwen2"])
        #expect(all.count == 635)
        let object = try #require(all.first { $0["name"]?.string == "Gemma-3-4B" })
        #expect(object["works"] == .bool(false))
        #expect(object["missing"] == .string("images or sound"))
        let quantized = try #require(all.first { $0["name"]?.string == "Qwen2-7B-Instruct-AWQ" })
        #expect(quantized["missing"] == .string("quantized weights"))
        #expect(quantized["repositories"]?["modelscope"]?.string == "Qwen/Qwen2-7B-Instruct-AWQ")
    }
}
