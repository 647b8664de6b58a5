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
            var pattern = pattern
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
