import Foundation
import LFConfig
import LFData
import LFDiagnostics
import LFJSON
import LFTemplate
import Testing

/// The files of MMLU, C-Eval and CMMLU, and what is asked and counted.
@Suite struct BenchmarkTests {
    private typealias Benchmark = EvaluationArguments.Benchmark

    private static let evaluation =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden/evaluation"

    /// Makes task files in a folder of its own.
    private func withTasks<Result>(
        _ files: [String: String], _ body: (String) throws -> Result
    ) throws -> Result {
        let folder = NSTemporaryDirectory() + "lf-tasks-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, text) in files {
            let path = folder + "/" + name
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        }
        return try body(folder)
    }

    /// The questions of the subject `law` of a file, or what is said of it.
    private func questions(
        _ benchmark: Benchmark, _ split: EvaluationArguments.Split, _ text: String
    ) throws -> (found: [BenchmarkQuestion], problem: String) {
        let folders: [EvaluationArguments.Split: String] = [.train: "dev", .validation: "val", .test: "test"]
        let part = folders[split] ?? ""
        let name = benchmark == .cmmlu ? "law.csv" : "law_\(part).csv"
        let files = [
            "\(benchmark.rawValue)/mapping.json": #"{"law": {"name": "the law", "category": "Humanities"}}"#,
            "\(benchmark.rawValue)/dev/.keep": "", "\(benchmark.rawValue)/\(part)/\(name)": text,
        ]
        return try withTasks(files) { folder in
            let tasks = try BenchmarkFolder(benchmark, in: folder)
            do {
                return (try tasks.questions(of: tasks.subjects[0], split), "")
            } catch let error as UserError {
                return ([], error.description.replacingOccurrences(of: folder + "/", with: ""))
            }
        }
    }

    /// Fields are what stands there: nothing is taken for a number or for a missing value.
    @Test func everyLayoutIsRead() throws {
        let mmlu = try questions(
            .mmlu, .test, "\u{FEFF}\"Who, then?\nNobody \"\"here\"\"\",1.50,None,007,,D\r\n\r\nq,a,b,c,d,A")
        #expect(
            mmlu.found == [
                BenchmarkQuestion(
                    text: "Who, then?\nNobody \"here\"", choices: ["1.50", "None", "007", ""], answer: "D"),
                BenchmarkQuestion(text: "q", choices: ["a", "b", "c", "d"], answer: "A"),
            ], "\(mmlu.problem)")
        let asked = [BenchmarkQuestion(text: "q", choices: ["a", "b", "c", "d"], answer: "C")]
        #expect(
            try questions(.ceval, .validation, "id,question,A,B,C,D,answer,explanation\n0,q,a,b,c,d,C,why\n")
                .found
                == asked)
        #expect(try questions(.cmmlu, .test, ",Question,A,B,C,D,Answer\n0,q,a,b,c,d,C\n").found == asked)
        let secret = try questions(.ceval, .test, "id,question,A,B,C,D\n0,q,a,b,c,d\n1,r,a,b,c,d\n")
        #expect(secret.found.map(\.answer) == [nil, nil] && secret.found.map(\.text) == ["q", "r"])
        #expect(
            try questions(.ceval, .test, "id,question,A,B,C,D,answer\n0,q,a,b,c,d,\n").found[0].answer == nil)
    }

    @Test func whatIsWrongIsSaidByRow() throws {
        let good = "\"q\n\",a,b,c,d,A\n"
        let header = "id,question,A,B,C,D,answer\n"
        for (benchmark, split, text, words) in [
            (
                Benchmark.mmlu, EvaluationArguments.Split.test, good + "q,a,b,c,A\n",
                "mmlu/test/law_test.csv: row 2, line 3: The row has 5 fields; a question has six"
            ),
            (.mmlu, .test, good + "q,a,b,c,d,A,A\n", "row 2, line 3: The row has 7 fields"),
            (.mmlu, .test, good + "q,a,b,c,d,E\n", "row 2, line 3: The answer is \"E\". Write A, B, C or D."),
            (.mmlu, .test, good + "q,a,b,c,d,a\n", "The answer is \"a\"."),
            (.mmlu, .test, good + "q,a,b,c,d,\n", "The answer is empty."),
            (.mmlu, .test, ",a,b,c,d,A\n", "row 1, line 1: The question is empty."),
            (.mmlu, .test, "", "mmlu/test/law_test.csv: The file holds no question."),
            (.mmlu, .test, "\"q,a,b,c,d,A\n", "line 1: A quoted field is never closed."),
            (.ceval, .validation, "", "The file holds no question."),
            (.ceval, .validation, header, "The file holds no question."),
            (
                .ceval, .validation, "id,question,A,B,C,D\n0,q,a,b,c,d\n",
                "ceval/val/law_val.csv: line 1: There is no column \"answer\"."
            ),
            (.ceval, .train, "id,A,B,C,D,answer\n0,a,b,c,d,A\n", "line 1: There is no column \"question\"."),
            (
                .ceval, .test, header + "0,q,a,b,c,d,A\n1,q,a,b,c,d,\n",
                "ceval/test/law_test.csv: row 2, line 3: Some questions have answers, and this one has none."
            ),
            (.ceval, .test, header + "0,q,a,b,c,d,\n1,q,a,b,c,d,A\n", "and this one does."),
            (
                .ceval, .validation, header + "0,q,a,b,c,d\n",
                "row 1, line 2: The row has 6 fields; the first line names 7 columns."
            ),
            (.cmmlu, .test, "q,a,b,c,d,A\n", "cmmlu/test/law.csv: line 1: There is no column \"question\"."),
        ] {
            let problem = try questions(benchmark, split, text).problem
            #expect(problem.contains(words), "\(problem)")
        }
    }

    @Test func foldersAreChecked() throws {
        func problem(_ files: [String: String]) throws -> String {
            try withTasks(files) { folder in
                do {
                    let tasks = try BenchmarkFolder(.mmlu, in: folder)
                    _ = try tasks.questions(of: tasks.subjects[0], .validation)
                    return ""
                } catch {
                    return "\(error)".replacingOccurrences(of: folder, with: "tasks")
                }
            }
        }
        let mapping = "mmlu/mapping.json", dev = ["mmlu/dev/law_dev.csv": ""]
        let law = [mapping: #"{"law": {"name": "law", "category": "Other"}}"#]
        for (files, words) in [
            (["ceval/mapping.json": "{}"], "task_dir is \"tasks\", which has no folder \"mmlu\"."),
            (dev, "tasks/mmlu/mapping.json"),
            ([mapping: "[]"], "tasks/mmlu/mapping.json: The file does not hold an object."),
            ([mapping: "{}"], "tasks/mmlu/mapping.json: The file names no subject."),
            ([mapping: #"{"law": {"name": "law"}}"#], "The subject \"law\" has no name or no category."),
            (
                [mapping: #"{"law": {"name": "law", "category": "Arts"}}"#],
                "The subject \"law\" has the category \"Arts\". Use one of STEM, Social Sciences, Humanities, Other."
            ),
            (law, "tasks/mmlu: There is no folder \"dev\" with examples, nor \"data/dev\"."),
            (
                law.merging(["mmlu/mmlu.zip": ""]) { $1 },
                "The questions are still packed in tasks/mmlu/mmlu.zip. Run `unzip tasks/mmlu/mmlu.zip -d tasks/mmlu`."
            ),
            (law.merging(dev) { $1 }, "The file tasks/mmlu/val/law_val.csv cannot be read: No such file"),
        ] {
            let found = try problem(files)
            #expect(found.contains(words), "\(found)")
        }
    }

    /// Recorded from `datasets` (`Tools/golden/record_evaluation.py`): beyond the generator's first 624 words, too.
    @Test func examplesAreDrawnAsUpstreamDrawsThem() throws {
        let recorded = try #require(JSONValue.read(path: Self.evaluation + "/expected.json")["draws"])
        let sizes = try #require(recorded["sizes"]?.array).compactMap(\.int)
        let orders = try #require(recorded["orders"]?.array)
        #expect(sizes.count == orders.count && sizes.count > 320)
        var draw = ExampleDraw(seed: UInt32(recorded["seed"]?.int ?? 0))
        #expect(draw.next(5, of: 0).isEmpty, "no examples draw nothing")
        for (size, order) in zip(sizes, orders) {
            #expect(draw.next(size, of: size) == order.array?.compactMap(\.int))
        }
    }

    @Test func promptsAreUpstreams() {
        let example = BenchmarkQuestion(text: "1+1?", choices: ["1", "2", "3", "4"], answer: "B")
        let question = BenchmarkQuestion(text: "2+2?", choices: ["4", "3", "", "1"], answer: "A")
        let messages = QuestionPrompt(.english).messages(question, after: [example], about: "sums")
        #expect(messages.map(\.role) == [.user, .assistant, .user])
        #expect(
            messages.map(\.content) == [
                "The following are multiple choice questions (with answers) about sums.\n\n1+1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:",
                "B", "2+2?\nA. 4\nB. 3\nC. \nD. 1\nAnswer:",
            ])
        #expect(
            QuestionPrompt(.chinese).messages(question, after: [], about: "加法").map(\.content) == [
                "以下是中国关于加法考试的单项选择题，请选出其中的正确答案。\n\n2+2?\nA. 4\nB. 3\nC. \nD. 1\n答案："
            ])
    }

    @Test func scoresAreCounted() {
        func subject(
            _ key: String, _ category: String, _ answers: String, _ solutions: String
        ) -> BenchmarkScores.Subject {
            .init(
                subject: BenchmarkSubject(key: key, name: key, category: category),
                answers: answers.map(String.init),
                solutions: solutions.map { $0 == "-" ? nil : String($0) })
        }
        var scores = BenchmarkScores()
        #expect(!scores.hasSolutions && scores.summary.isEmpty)
        scores.append(subject("law", "Humanities", "ABCDA", "ABCAB"))
        scores.append(subject("physics_of_ice", "STEM", "AB", "BA"))
        scores.append(subject("art", "Humanities", "A", "A"))
        #expect(scores.summary == "        Average: 50.00\n           STEM: 0.00\n     Humanities: 66.67")
        #expect(
            scores.table == [
                "subject         questions  correct", "law                     5    60.00",
                "physics_of_ice          2     0.00", "art                     1   100.00",
            ])
        var secret = BenchmarkScores()
        secret.append(subject("law", "Humanities", "AB", "--"))
        #expect(!secret.hasSolutions && secret.table[1] == "law              2        -")
        #expect(secret.json == "{\n  \"law\": {\n    \"0\": \"A\",\n    \"1\": \"B\"\n  }\n}")
    }
}
