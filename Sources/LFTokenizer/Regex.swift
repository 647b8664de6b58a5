import COnig
import LFDiagnostics
import Synchronization

/// A regular expression of Oniguruma, the engine that Hugging Face's `tokenizers` uses.
///
/// Unchecked Sendable: a compiled expression is only read, and every search has a region of its own.
final class OnigurumaRegex: @unchecked Sendable {
    private let regex: OnigRegex

    /// Compiling touches the library's global tables.
    private static let compiling = Mutex<Bool>(false)

    /// - Throws: What the engine says about an invalid pattern.
    init(_ pattern: String, source: String) throws(UserError) {
        var compiled: OnigRegex?
        var information = OnigErrorInfo()
        let code: Int32 = Self.compiling.withLock { isInitialized in
            if !isInitialized { isInitialized = lf_onig_initialize() == ONIG_NORMAL }
            var pattern = Self.expandingCategories(in: pattern)
            return pattern.withUTF8 { lf_onig_new(&compiled, $0.baseAddress, $0.count, &information) }
        }
        guard code == ONIG_NORMAL, let compiled else {
            var message = [UInt8](repeating: 0, count: Int(ONIG_MAX_ERROR_MESSAGE_LEN))
            let count = lf_onig_error(&message, code, &information)
            throw UserError(
                .failedRun,
                "the regular expression \"\(pattern)\" is invalid: \(String(decoding: message[..<Int(count)], as: UTF8.self)).",
                at: source, remedy: "Correct the pattern or download the file again.")
        }
        regex = compiled
    }

    deinit { onig_free(regex) }

    /// Writes out `\p{L}` and its like as ranges, so that every installed version of Oniguruma has the categories of
    /// the one in `tokenizers`.
    static func expandingCategories(in pattern: String) -> String {
        let input = Array(pattern.unicodeScalars)
        var output = String.UnicodeScalarView()
        var classDepth = 0
        var position = 0
        while position < input.count {
            let scalar = input[position]
            if scalar == "\\", position + 1 < input.count {
                if let (text, end) = expandedProperty(input, at: position, insideClass: classDepth > 0) {
                    output.append(contentsOf: text.unicodeScalars)
                    position = end
                } else {
                    output.append(contentsOf: input[position...position + 1])
                    position += 2
                }
                continue
            }
            if scalar == "[", classDepth > 0, position + 1 < input.count, input[position + 1] == ":" {
                // A POSIX bracket opens no class.
                while position < input.count, input[position] != "]" {
                    output.append(input[position])
                    position += 1
                }
                continue
            }
            if scalar == "[" { classDepth += 1 }
            if scalar == "]", classDepth > 0 { classDepth -= 1 }
            output.append(scalar)
            position += 1
        }
        return String(output)
    }

    /// The ranges of `\p{..}` or `\P{..}` at `start` and where it ends; nil for anything else.
    private static func expandedProperty(
        _ input: [Unicode.Scalar], at start: Int, insideClass: Bool
    ) -> (text: String, end: Int)? {
        guard input[start + 1] == "p" || input[start + 1] == "P", start + 2 < input.count,
            input[start + 2] == "{",
            let close = input[start...].firstIndex(of: "}")
        else { return nil }
        var name = String(String.UnicodeScalarView(input[start + 3..<close]))
        var isNegated = input[start + 1] == "P"
        if name.hasPrefix("^") {
            name.removeFirst()
            isNegated.toggle()
        }
        guard let categories = GeneralCategory.named(name) else { return nil }
        var ranges: [(UInt32, UInt32)] = []
        var runStart: UInt32?
        for codePoint in UInt32(0)...0x110000 {
            let isIn =
                codePoint < 0x110000 && !(0xD800..<0xE000).contains(codePoint)
                && categories.contains(CharacterClasses.ofScalar(codePoint) & CharacterClasses.categoryMask)
                    != (isNegated && insideClass)
            if isIn, runStart == nil { runStart = codePoint }
            if !isIn, let first = runStart {
                ranges.append((first, codePoint - 1))
                runStart = nil
            }
        }
        let text = ranges.map { "\\x{\(String($0, radix: 16))}-\\x{\(String($1, radix: 16))}" }.joined()
        return (insideClass ? text : isNegated ? "[^\(text)]" : "[\(text)]", close + 1)
    }

    /// All matches from left to right; an empty match right behind the match before is skipped.
    func matches(in text: UTF8Text) -> [Range<Int>] {
        var found: [Range<Int>] = []
        guard let region = onig_region_new() else { return found }
        defer { onig_region_free(region, 1) }
        var position = 0
        var lastEnd: Int?
        while position <= text.count {
            var end = 0
            let start = lf_onig_search(regex, text.base, text.count, position, region, &end)
            guard start >= 0 else { break }
            if start == end, lastEnd == end {
                position = end < text.count ? end + UTF8Text.length(ofLead: text[end]) : end + 1
                continue
            }
            found.append(start..<end)
            position = end
            lastEnd = end
        }
        return found
    }
}
