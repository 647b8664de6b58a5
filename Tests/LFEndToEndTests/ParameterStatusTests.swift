import LFJSON
import Testing

/// `print_param_status` against what LLaMA-Factory 0.9.5 prints (`Tools/golden/record_parameter_status.py`).
@Suite struct ParameterStatusTests {
    private static let record = Workplace.fixtures + "/../parameter_status.json"

    @Test(arguments: ["full", "freeze", "lora", "dora", "whole modules", "value head"])
    func linesEqualUpstreams(_ name: String) throws {
        let recorded = try JSONValue.read(path: Self.record)[name]
        let lines = try #require(recorded?["lines"]?.array).compactMap(\.string)
        var settings = shortRun.with([
            "max_samples": "2", "max_steps": "1", "print_param_status": "true", "use_cpu": "true",
            "save_strategy": "no",
        ])
        for (key, value) in try #require(recorded?["arguments"]?.object) {
            settings[key] = value.string ?? value.serialized()
        }
        if name == "value head" { settings["dataset"] = "harbor_pairs" }
        let outcome = try Workplace().train(settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let found = outcome.output.split(separator: "\n").filter { $0.hasPrefix("name: ") }.map(String.init)
        #expect(found == lines)
    }

    /// In bfloat16 the weights of norms, and no others, are held in float32.
    @Test func upcastLayernormShowsInTheTypes() throws {
        let run = shortRun.with([
            "max_samples": "2", "max_steps": "1", "print_param_status": "true", "use_cpu": "true",
            "save_strategy": "no", "bf16": "true", "upcast_layernorm": "true",
            "upcast_lmhead_output": "true",
        ])
        let outcome = try Workplace().train(run)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.log.contains("Upcasting layernorm weights in float32."))
        #expect(outcome.log.contains("Upcasting lm_head outputs in float32."))
        let lines = outcome.output.split(separator: "\n").filter { $0.hasPrefix("name: ") }
        #expect(lines.count == 49)
        for line in lines {
            let isWide = line.contains("norm") || line.contains("lora_")
            #expect(line.contains(isWide ? "torch.float32" : "torch.bfloat16"), "\(line)")
        }
    }
}
