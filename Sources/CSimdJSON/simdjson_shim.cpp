#include "CSimdJSON.h"

#if __has_include(<simdjson.h>)
#include <simdjson.h>
#else
#error "simdjson.h is missing: run `make setup`, which installs libsimdjson-dev"
#endif

#include <new>

static_assert(LF_JSON_PADDING >= simdjson::SIMDJSON_PADDING, "simdjson reads further past the end than promised");

struct lf_json_parser {
    simdjson::dom::parser parser;
    size_t max_depth;
};

lf_json_parser_t lf_json_parser_new(size_t max_depth) {
    auto *made = new (std::nothrow) lf_json_parser();
    if (made) { made->max_depth = max_depth; }
    return made;
}

void lf_json_parser_free(lf_json_parser_t parser) { delete parser; }

int lf_json_parse(
    lf_json_parser_t parser, const uint8_t *bytes, size_t count, const uint64_t **tape, const uint8_t **strings) {
    if (count > parser->parser.capacity() || parser->parser.max_depth() != parser->max_depth) {
        // The depth is a property of the allocation, so both are settled here and not by the parse below. The room
        // grows by half at least, because line after line of slowly rising length would otherwise allocate each time.
        size_t room = count < 4096 ? 4096 : count;
        size_t grown = parser->parser.capacity() + parser->parser.capacity() / 2;
        if (grown > room && grown <= simdjson::SIMDJSON_MAXSIZE_BYTES) { room = grown; }
        auto error = parser->parser.allocate(room, parser->max_depth);
        if (error) { return error; }
    }
    auto result = parser->parser.parse(bytes, count, false);
    if (result.error()) { return result.error(); }
    *tape = parser->parser.doc.tape.get();
    *strings = parser->parser.doc.string_buf.get();
    return 0;
}

const char *lf_json_error_message(int error) {
    return simdjson::error_message(static_cast<simdjson::error_code>(error));
}
