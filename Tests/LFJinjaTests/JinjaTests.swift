import Foundation
import LFDiagnostics
import LFJSON
import LFJinja
import Testing

private let golden = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/golden").path

@Suite struct JinjaTests {
    private func render(_ source: String, _ variables: JSONObject = [:]) throws(UserError) -> String {
        try JinjaTemplate(source, name: "template").render(variables) { "<\($0)>" }
    }

    private func message(_ source: String, _ variables: JSONObject = [:]) -> String {
        do throws(UserError) {
            return "rendered " + (try render(source, variables))
        } catch {
            return error.description
        }
    }

    /// Compares with Jinja 3.1.6 in the settings of transformers 5.5.4 (`Tools/jinja/record_cases.py`).
    @Test func rendersAsJinjaDoes() throws {
        let recorded = try JSONValue.read(path: "\(golden)/jinja.json")
        let variables = try #require(recorded["variables"]?.object)
        let cases = try #require(recorded["cases"]?.array)
        #expect(cases.count > 40)
        for entry in cases {
            let source = try #require(entry["template"]?.string)
            do throws(UserError) {
                let text = try JinjaTemplate(source, name: "template").render(variables) { _ in "TIME" }
                #expect(JSONValue.string(text) == entry["text"], "\(source)\n\(text)")
            } catch {
                #expect(entry["error"] != nil, "\(source)\n\(error)")
            }
        }
    }

    @Test func saysWhereAndWhy() {
        let cases = [
            ("a\n{% if x %}", "template:2: endif is missing."),
            ("{% for x in l %}\n{% endif %}", "template:2: endif stands where endfor is needed."),
            ("\n\n{{ a b }}", "template:3: \"b\" stands where the tag should end."),
            ("{{ x.y.z }}", "template:1: \"x\" is undefined, so that it has no \"y\"."),
            ("{{ d.y.z }}", "template:1: \"d.y\" is undefined, so that it has no \"z\"."),
            ("{{ nothing(1) }}", "template:1: there is no function \"nothing\"."),
            ("{{ 'a'.nothing() }}", "template:1: a string has no method \"nothing\"."),
            ("{{ [1].append(2) }}", "template:1: a template must not change a list with \"append\"."),
            ("{{ 1 / 0 }}", "template:1: a division by zero."),
            ("{{ 1 | nothing }}", "template:1: there is no filter \"nothing\"."),
            ("{{ 1 is nothing }}", "template:1: there is no test \"nothing\", or it needs a value."),
            ("{% include 'x' %}", "template:1: the block \"include\" is not supported."),
            ("{{ 'open }}", "template:1: a string is not closed."),
            ("{# open", "template:1: a comment is not closed."),
            (
                "{{ raise_exception('roles!') }}",
                "template:1: the chat template refuses this conversation: \"roles!\"."
            ),
        ]
        for (source, expected) in cases {
            let found = message(source, ["l": [1], "d": .object([:])])
            #expect(found.hasPrefix(expected), "\(found)")
        }
    }

    /// Values of Python's `%`.
    @Test(arguments: [
        ("'%05.2f|%5d|%03d|%5s|%.3s' % (3.14159, 42, 7, 'cd', 'abcdef')", "03.14|   42|007|   cd|abc"),
        ("'%-5s|%-4d|%5.1f|' % ('ab', 3, 2.25)", "ab   |3   |  2.2|"),
        ("'%+d|%+d|% d|%06d|%-06d|' % (3, -3, 4, -12, -12)", "+3|-3| 4|-00012|-12   |"),
        ("'%05s|%5.1s|%.0s|' % ('ab', 'xyz', 'q')", "   ab|    x||"),
        ("'%.3d|%8.3d|%.1f|%.0f' % (7, 7, -0.05, 2.5)", "007|     007|-0.1|2"),
        ("'%d%%' % 5", "5%"), ("'%3r|%s' % ('a', none)", "'a'|None"), ("'é%3s' % 'å'", "é  å"),
    ])
    func formatsFields(_ expression: String, _ expected: String) throws {
        #expect(try render("{{ \(expression) }}") == expected)
    }

    @Test func formatsTime() throws {
        #expect(try render("{{ strftime_now('%d %b %Y') }}") == "<%d %b %Y>")
        #expect(JinjaTemplate.formatNow("%Y").count == 4)
        #expect(JinjaTemplate.formatNow("") == "")
    }

    /// Templates that would run, or nest, without an end are stopped.
    @Test func stopsWhatDoesNotEnd() {
        #expect(
            message("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains(
                "macros call one another without an end"))
        #expect(message("{{ range(1000000000) }}").contains("range has more than 100,000 numbers"))
        let loops =
            String(repeating: "{% for a in range(99999) %}", count: 3)
            + String(repeating: "{% endfor %}", count: 3)
        #expect(message(loops).contains("the template does not come to an end"))
        #expect(message("{{ 'x' * 99999999999 }}").contains("the text is too long"))
        for (opening, closing) in [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("{1:", "}")] {
            let nested =
                "{{ " + String(repeating: opening, count: 5000) + "1"
                + String(repeating: closing, count: 5000) + " }}"
            #expect(message(nested).contains("nest too deep"), "\(opening)")
        }
        let blocks =
            String(repeating: "{% if 1 %}", count: 5000) + String(repeating: "{% endif %}", count: 5000)
        #expect(message(blocks).contains("blocks nest too deep"))
    }

    /// Damaged templates render or fail with a sentence.
    @Test func survivesDamage() throws {
        let recorded = try JSONValue.read(path: "\(golden)/jinja.json")
        let variables = try #require(recorded["variables"]?.object)
        var state: UInt64 = 5
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for entry in try #require(recorded["cases"]?.array) {
            let source = Array(try #require(entry["template"]?.string).unicodeScalars)
            for _ in 0..<40 where !source.isEmpty {
                var damaged = source
                for _ in 0...random(3) {
                    let place = random(damaged.count)
                    if random(2) == 0, damaged.count > 1 {
                        damaged.remove(at: place)
                    } else {
                        damaged.insert(source[random(source.count)], at: place)
                    }
                }
                var view = String.UnicodeScalarView()
                view.append(contentsOf: damaged)
                do throws(UserError) {
                    _ = try JinjaTemplate(String(view), name: "template").render(variables) { _ in "" }
                } catch {
                    #expect(!error.problem.isEmpty)
                }
            }
        }
    }
}
