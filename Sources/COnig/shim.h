#ifndef LF_CONIG_H
#define LF_CONIG_H

#include <oniguruma.h>
#include <stddef.h>

/* The library's encodings and syntaxes are mutable globals, which Swift 6 does not let anyone touch: these functions do. */

static inline int lf_onig_initialize(void) {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    return onig_initialize(encodings, 1);
}

/* Compiles a pattern in UTF-8; returns ONIG_NORMAL, or an error that lf_onig_error explains. */
static inline int lf_onig_new(regex_t **regex, const unsigned char *pattern, size_t count, OnigErrorInfo *info) {
    return onig_new(regex, pattern, pattern + count, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_ONIGURUMA, info);
}

/* Writes the error's text, at most ONIG_MAX_ERROR_MESSAGE_LEN bytes, and returns its length. */
static inline int lf_onig_error(unsigned char *message, int code, OnigErrorInfo *info) {
    return onig_error_code_to_str(message, code, info);
}

/* Finds the first match from `start` on; returns its position, or ONIG_MISMATCH, or another error below it. */
static inline long lf_onig_search(
    regex_t *regex, const unsigned char *text, size_t count, size_t start, OnigRegion *region, long *end) {
    long found = onig_search(regex, text, text + count, text + start, text + count, region, ONIG_OPTION_NONE);
    if (found >= 0) { *end = region->end[0]; }
    return found;
}

#endif
