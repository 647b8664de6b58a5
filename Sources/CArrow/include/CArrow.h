// Tables in Apache Arrow's formats as lines of JSON, behind plain C.
#ifndef LF_CARROW_H
#define LF_CARROW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lf_table *lf_table_t;

typedef enum { LF_TABLE_PARQUET, LF_TABLE_ARROW } lf_table_format;

enum { LF_TABLE_ERROR_SIZE = 512 };

/// Opens a Parquet file, or an Arrow IPC file or stream. Returns null and fills `error` with a sentence without its full stop.
lf_table_t lf_table_open(const char *path, lf_table_format format, char error[LF_TABLE_ERROR_SIZE]);
void lf_table_free(lf_table_t table);

/// The next rows, one JSON object per line, valid until the next call; at most some megabytes are decoded at once.
/// Returns 1 with rows, 0 at the end, and -1 with `error` filled.
int lf_table_next(lf_table_t table, const char **text, size_t *count, char error[LF_TABLE_ERROR_SIZE]);

#ifdef __cplusplus
}
#endif
#endif
