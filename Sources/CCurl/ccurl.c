#include "ccurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* libcurl's option numbers: part of its stable binary interface. */
enum {
    OPT_WRITEDATA = 10001, OPT_POSTFIELDS = 10015, OPT_POSTFIELDSIZE = 30120, OPT_URL = 10002, OPT_ERRORBUFFER = 10010, OPT_HTTPHEADER = 10023, OPT_HEADERDATA = 10029,
    OPT_WRITEFUNCTION = 20011, OPT_HEADERFUNCTION = 20079,
    OPT_LOW_SPEED_LIMIT = 19, OPT_LOW_SPEED_TIME = 20, OPT_NOBODY = 44, OPT_POST = 47, OPT_CONNECTTIMEOUT = 78, OPT_NOSIGNAL = 99,
    OPT_PROTOCOLS = 181, OPT_UPLOAD = 46, OPT_READFUNCTION = 20012, OPT_READDATA = 10009, OPT_INFILESIZE_LARGE = 30115, OPT_NOPROGRESS = 43, OPT_XFERINFODATA = 10057, OPT_XFERINFOFUNCTION = 20219,
    PROTOCOLS_HTTP_HTTPS = 3,
    GLOBAL_DEFAULT = 3
};

static struct {
    int (*global_init)(long);
    void *(*easy_init)(void);
    int (*easy_setopt)(void *, int, ...);
    int (*easy_perform)(void *);
    void (*easy_cleanup)(void *);
    const char *(*easy_strerror)(int);
    void *(*slist_append)(void *, const char *);
    void (*slist_free_all)(void *);
    int ready;
} curl;

static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_library(void) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
#define FIND(member, name) \
    if (!(*(void **)&curl.member = dlsym(library, name))) return
    FIND(global_init, "curl_global_init");
    FIND(easy_init, "curl_easy_init");
    FIND(easy_setopt, "curl_easy_setopt");
    FIND(easy_perform, "curl_easy_perform");
    FIND(easy_cleanup, "curl_easy_cleanup");
    FIND(easy_strerror, "curl_easy_strerror");
    FIND(slist_append, "curl_slist_append");
    FIND(slist_free_all, "curl_slist_free_all");
#undef FIND
    curl.ready = curl.global_init(GLOBAL_DEFAULT) == 0;
}

typedef struct {
    lf_http_check check;
    void *context;
} progress_check;

static int ask(void *data, int64_t to_receive, int64_t received, int64_t to_send, int64_t sent) {
    (void)to_receive, (void)received, (void)to_send, (void)sent;
    progress_check *progress = data;
    return progress->check(progress->context);
}

typedef struct {
    int file;
    int64_t next;
    int64_t end;
    int is_broken;
    int error;
} upload;

enum { READ_ABORT = 0x10000000 /* libcurl's own */ };

/* Hands out the next bytes of a PUT; a file that has become shorter ends the transfer. */
static size_t read_file(char *bytes, size_t size, size_t count, void *data) {
    upload *sent = data;
    size_t room = size * count;
    if ((int64_t)room > sent->end - sent->next) room = (size_t)(sent->end - sent->next);
    if (room == 0) return 0;
    ssize_t got = pread(sent->file, bytes, room, sent->next);
    if (got <= 0) {
        sent->is_broken = 1;
        sent->error = got < 0 ? errno : 0;
        return READ_ABORT;
    }
    sent->next += got;
    return (size_t)got;
}

int lf_http_request(
    lf_http_message *message, lf_http_sink header_sink, lf_http_sink body_sink, void *context,
    char error[LF_HTTP_ERROR_SIZE]) {
    error[0] = 0;
    pthread_once(&opened, open_library);
    void *handle = curl.ready ? curl.easy_init() : NULL;
    if (!handle) {
        snprintf(error, LF_HTTP_ERROR_SIZE, "libcurl could not be opened");
        return LF_HTTP_NO_LIBRARY;
    }
    void *list = NULL;
    for (const char *const *header = message->headers; *header; header++) {
        void *longer = curl.slist_append(list, *header);
        if (longer) list = longer;
    }
    curl.easy_setopt(handle, OPT_URL, message->url);
    curl.easy_setopt(handle, OPT_PROTOCOLS, (long)PROTOCOLS_HTTP_HTTPS);
    curl.easy_setopt(handle, OPT_NOSIGNAL, 1L);
    curl.easy_setopt(handle, OPT_CONNECTTIMEOUT, 10L);
    curl.easy_setopt(handle, OPT_LOW_SPEED_LIMIT, 1L);
    curl.easy_setopt(handle, OPT_LOW_SPEED_TIME, message->patience);
    if (message->method == LF_HTTP_HEAD) curl.easy_setopt(handle, OPT_NOBODY, 1L);
    if (message->method == LF_HTTP_POST) {
        curl.easy_setopt(handle, OPT_POST, 1L);
        curl.easy_setopt(handle, OPT_POSTFIELDSIZE, (int64_t)message->body_size);
        curl.easy_setopt(handle, OPT_POSTFIELDS, message->body ? message->body : "");
    }
    upload sent = {message->file, message->file_offset, message->file_offset + message->file_size, 0, 0};
    if (message->method == LF_HTTP_PUT) {
        curl.easy_setopt(handle, OPT_UPLOAD, 1L);
        curl.easy_setopt(handle, OPT_INFILESIZE_LARGE, message->file_size);
        curl.easy_setopt(handle, OPT_READFUNCTION, read_file);
        curl.easy_setopt(handle, OPT_READDATA, &sent);
    }
    curl.easy_setopt(handle, OPT_HTTPHEADER, list);
    curl.easy_setopt(handle, OPT_HEADERFUNCTION, header_sink);
    curl.easy_setopt(handle, OPT_HEADERDATA, context);
    curl.easy_setopt(handle, OPT_WRITEFUNCTION, body_sink);
    curl.easy_setopt(handle, OPT_WRITEDATA, context);
    curl.easy_setopt(handle, OPT_ERRORBUFFER, error);
    progress_check progress = {message->is_cancelled, context};
    if (progress.check) {
        curl.easy_setopt(handle, OPT_NOPROGRESS, 0L);
        curl.easy_setopt(handle, OPT_XFERINFOFUNCTION, ask);
        curl.easy_setopt(handle, OPT_XFERINFODATA, &progress);
    }
    int code = curl.easy_perform(handle);
    if (code && !error[0]) snprintf(error, LF_HTTP_ERROR_SIZE, "%s", curl.easy_strerror(code));
    curl.slist_free_all(list);
    curl.easy_cleanup(handle);
    message->file_error = sent.error;
    return sent.is_broken ? LF_HTTP_FILE : code;
}
