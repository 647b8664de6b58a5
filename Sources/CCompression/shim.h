#ifndef LF_CCOMPRESSION_H
#define LF_CCOMPRESSION_H

#include <zlib.h>
#include <zstd.h>

/* `inflateInit2` is a macro, which Swift does not see; 16 more than the largest window asks for gzip's header. */
static inline int lf_inflate_gzip_init(z_stream *stream) { return inflateInit2(stream, 16 + MAX_WBITS); }

#endif
