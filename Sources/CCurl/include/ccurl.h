#ifndef LF_CCURL_H
#define LF_CCURL_H

#include <stddef.h>
#include <stdint.h>

/* Both answer how many bytes they took; fewer than `count` ends the transfer. */
typedef size_t (*lf_http_sink)(char *bytes, size_t size, size_t count, void *context);

/* Asked about once a second; anything but 0 ends the transfer. */
typedef int (*lf_http_check)(void *context);

enum { LF_HTTP_CANCELLED = 42 /* libcurl's own */, LF_HTTP_NO_LIBRARY = -1, LF_HTTP_FILE = -2 /* the file could not be read, see `file_error` */,
       LF_HTTP_ERROR_SIZE = 256 };

typedef enum { LF_HTTP_GET, LF_HTTP_HEAD, LF_HTTP_POST, LF_HTTP_PUT } lf_http_method;

typedef struct {
    const char *url;
    lf_http_method method;
    /* "Name: value" lines, the last NULL. */
    const char *const *headers;
    /* What a POST sends. */
    const void *body;
    size_t body_size;
    /* What a PUT sends: `file_size` bytes of an open file from `file_offset` on. */
    int file;
    int64_t file_offset;
    int64_t file_size;
    /* Set where reading it failed: an errno, or 0 where the file has become shorter. */
    int file_error;
    /* Seconds without a byte after which the transfer is given up. */
    long patience;
    /* Whether the transfer should be given up; NULL for never. */
    lf_http_check is_cancelled;
} lf_http_message;

/*
 * One request by libcurl, which is opened at the first call: programs that never download do not pay for it.
 * Redirects are answered, not followed. Returns libcurl's code (0: an answer arrived whole), LF_HTTP_NO_LIBRARY or LF_HTTP_FILE;
 * on failure `error` holds a sentence.
 */
int lf_http_request(
    lf_http_message *message, lf_http_sink header_sink, lf_http_sink body_sink, void *context,
    char error[LF_HTTP_ERROR_SIZE]);

#endif
