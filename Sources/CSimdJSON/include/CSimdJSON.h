#ifndef LF_CSIMDJSON_H
#define LF_CSIMDJSON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes that must be readable behind the text handed to `lf_json_parse`.
#define LF_JSON_PADDING 64

/// A reusable parser and the document that it parsed last.
typedef struct lf_json_parser *lf_json_parser_t;

/// Returns NULL when memory is short. Release with `lf_json_parser_free`.
lf_json_parser_t lf_json_parser_new(size_t max_depth);
void lf_json_parser_free(lf_json_parser_t parser);

/// Parses one document of strict JSON in UTF-8.
///
/// On success returns 0 and lends the document's tape (64-bit words: the type in the top byte, the payload below) and
/// its strings (32-bit length, bytes, NUL), both valid until the parser's next use. Any other value means that
/// simdjson refused the text; `lf_json_error_message` says why.
int lf_json_parse(
    lf_json_parser_t parser, const uint8_t *bytes, size_t count, const uint64_t **tape, const uint8_t **strings);

const char *lf_json_error_message(int error);

#ifdef __cplusplus
}
#endif

#endif
