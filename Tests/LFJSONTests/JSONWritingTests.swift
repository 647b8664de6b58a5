import LFJSON
import Testing

/// Expected texts are what Python 3.11's `json.dumps` writes.
@Suite struct JSONWritingTests {
    private let value: JSONValue = [
        "b": [1, 2.0, true, .null], "a": ["é😀\u{7f}\"\\\n\u{1}", [], [:]], "c": .object(["k": "v"]),
    ]

    @Test func writesOneLine() {
        #expect(
            value.serialized()
                == #"{"b": [1, 2.0, true, null], "a": ["\u00e9\ud83d\ude00\u007f\"\\\n\u0001", [], {}], "c": {"k": "v"}}"#
        )
    }

    @Test func writesIndentedSortedUnescaped() {
        let expected = """
            {
              "a": [
                "é😀\u{7f}\\"\\\\\\n\\u0001",
                [],
                {}
              ],
              "b": [
                1,
                2.0,
                true,
                null
              ],
              "c": {
                "k": "v"
              }
            }
            """
        #expect(value.serialized(indent: 2, sortKeys: true, ensureASCII: false) == expected)
    }

    @Test func writesCompactly() {
        #expect(
            JSONValue.array([1, ["a": 2]]).serialized(itemSeparator: ",", keySeparator: ":")
                == #"[1,{"a":2}]"#)
    }

    @Test(arguments: [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (-1.5, "-1.5"), (0.1, "0.1"), (1e-4, "0.0001"),
        (0.0005, "0.0005"), (1e-5, "1e-05"), (1.25e-5, "1.25e-05"), (.leastNonzeroMagnitude, "5e-324"),
        (1e15, "1000000000000000.0"),
        (9_999_999_999_999_998.0, "9999999999999998.0"), (1e16, "1e+16"),
        (1.8014398509481984e16, "1.8014398509481984e+16"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (123456.789, "123456.789"), (100.0, "100.0"),
        (5e-5, "5e-05"), (0.30000000000000004, "0.30000000000000004"), (1e22, "1e+22"), (1e100, "1e+100"),
        (.nan, "NaN"), (.infinity, "Infinity"), (-.infinity, "-Infinity"), (0.00012345, "0.00012345"),
        (10.0, "10.0"),
    ]) func writesNumbersAsPythonDoes(number: Double, expected: String) {
        #expect(JSONValue.double(number).serialized() == expected)
    }

    @Test func writesIntegers() {
        #expect(
            JSONValue.array([.int(.max), .int(.min), 0]).serialized()
                == "[9223372036854775807, -9223372036854775808, 0]")
    }

    @Test func readsBackWhatItWrites() throws {
        for options in [(nil, true), (4, false)] as [(Int?, Bool)] {
            let text = value.serialized(indent: options.0, ensureASCII: options.1)
            #expect(try JSONValue.parse(text, source: "text") == value)
        }
    }

    /// Python's integers have no bounds; both readers keep the digits.
    @Test(arguments: [
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
        "12345678901234567890123",
    ])
    func integersOfAnySizeKeepTheirDigits(_ digits: String) throws {
        for text in ["{\"a\": [\(digits), 1.5]}", "{\"a\": [\(digits), NaN]}"] {
            let value = try JSONValue.parse(text, source: "test")
            #expect(value.serialized() == text)
            #expect(value["a"]?[0]?.double == Double(digits) && value["a"]?[0]?.int == nil)
            #expect(value["a"]?[0]?.kind == "an integer")
        }
    }
}
