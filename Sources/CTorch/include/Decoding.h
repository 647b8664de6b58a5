/// Passes of few rows, as answers that are written have them.
#ifndef CTORCH_DECODING_H
#define CTORCH_DECODING_H

#include "CTorch.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lf_row_program *lf_row_program_t;  // what a pass of few rows computes

/// Copies tensors on the CPU into one piece of memory, on huge pages where the system has them; `outs` receives `count` tensors.
lf_status lf_lay_together(const lf_tensor_t *tensors, size_t count, lf_tensor_t *outs);

/// What becomes of the heads of queries and keys before attention; NULL leaves a part out.
typedef struct {
    lf_tensor_t q_norm, k_norm;  // [headDim]: weights of RMS norms of each head
    double q_epsilon, k_epsilon;
    bool norms_come_last;        // behind the rotation
    lf_tensor_t cos, sin;        // [rows, rotaryDim / 2] float32
    bool interleaved;            // whether a pair is two neighbours
} lf_head_preparation;

/// Whether a program takes the stream `x [rows, hidden]`: up to 16 rows in float32 or bfloat16 on a CPU.
bool lf_row_program_fits(lf_tensor_t x);
/// Notes what a pass of few rows computes, to do it in one parallel region; nothing is recorded for autograd. Each row is a token of its own, stored in
/// `slots[row]`, which sees of the cache what `lf_kv_cache_attention` says. Matrices of its rows have numbers: 0 is the stream, which begins as `x`.
/// Weights have the stream's type. The cache outlives the program.
lf_status lf_row_program_create(lf_tensor_t x, lf_kv_cache_t cache, const int64_t *slots, const int64_t *lengths, const int64_t *starts,
                                const int32_t *blocks, size_t block_count, lf_row_program_t *out);
void lf_row_program_free(lf_row_program_t program);
/// Whether a weight has the stream's type and lies in one piece on the CPU.
bool lf_row_program_takes(lf_row_program_t program, lf_tensor_t weight);
/// Matrices but for the stream end with the block that made them.
void lf_row_program_begin_block(lf_row_program_t program);
/// As `lf_rms_norm` of pieces as wide as `w`; `out` receives the result's number.
lf_status lf_row_program_norm(lf_row_program_t program, int64_t x, lf_tensor_t w, double eps, int64_t *out);
/// As `lf_linear_group` of layers without adapters.
lf_status lf_row_program_linears(lf_row_program_t program, int64_t x, const lf_linear_layer *layers, size_t count, int64_t *outs);
/// `silu(gate(x)) ⊙ up(x)`.
lf_status lf_row_program_gated(lf_row_program_t program, int64_t x, const lf_linear_layer *gate, const lf_linear_layer *up, int64_t *out);
/// Prepares the heads of `q` and `k`, stores keys and values, and attends as `lf_kv_cache_attention`.
lf_status lf_row_program_attention(lf_row_program_t program, int64_t q, int64_t k, int64_t v, int64_t heads, const lf_head_preparation *preparation,
                                   size_t layer, const lf_attention_options *options, int64_t *out);
/// Adds `scale · x` to the stream.
lf_status lf_row_program_add(lf_row_program_t program, int64_t x, double scale);
/// Adds `scale · layer(x)` to the stream.
lf_status lf_row_program_add_linear(lf_row_program_t program, int64_t x, const lf_linear_layer *layer, double scale);
/// Does what was noted; returns the stream.
lf_status lf_row_program_run(lf_row_program_t program, lf_tensor_t *out);

#ifdef __cplusplus
}
#endif
#endif
