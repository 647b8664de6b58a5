import Testing

/// People ask for help, and mistype, more often than they train.
@Suite struct StartTimeTests {
    private static let commands: [([String], Int32)] = [
        (["version"], 0), (["--help"], 0), (["train", "--help"], 0), ([], 0), (["train"], 64),
        (["train", "lora_rnak=8"], 64), (["trian"], 64), (["webui"], 64),
    ]

    @Test(arguments: commands)
    func answersAtOnce(_ arguments: [String], _ status: Int32) throws {
        let workplace = try Workplace()
        var best = Double.infinity
        for _ in 0..<5 {
            let outcome = try Program.run(arguments, in: workplace.path)
            #expect(outcome.status == status)
            #expect(outcome.output.isEmpty == (status != 0) && outcome.errors.isEmpty == (status == 0))
            best = min(best, outcome.processorSeconds)
            if best < 0.3 { break }
        }
        // Processor time, for other tests run beside this one; about 0.16 of it is the loading of libtorch.
        #expect(best < 0.3)
    }

    @Test func mistypedCommandsAreExplained() throws {
        let workplace = try Workplace()
        #expect(
            try Program.run(["trian"], in: workplace.path).problems
                == ["Unknown command: trian. Did you mean \"train\"?"])
        #expect(
            try Program.run(["webui"], in: workplace.path).problems.first?.hasPrefix(
                "The command \"webui\" is not supported yet.") == true)
        #expect(try Program.run(["version"], in: workplace.path).output.hasPrefix("LlamaFactory for Swift "))
        #expect(try Program.run(["train", "--help"], in: workplace.path).output.contains("pref_beta"))
    }
}
