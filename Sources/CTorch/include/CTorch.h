/// libtorch behind a plain C interface: opaque handles, status codes, out-parameters.
///
/// Every function returns a status; on failure `lf_last_error` tells what libtorch said. Handles written to out-parameters are owned by
/// the caller and released with the matching `…_free`. Only `LFTorch` includes this header.
#ifndef CTORCH_H
#define CTORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lf_tensor *lf_tensor_t;        // owned by the caller; release with lf_tensor_free
typedef struct lf_generator *lf_generator_t;  // a random stream of libtorch's
typedef struct lf_segments *lf_segments_t;    // who may see whom in a token stream
typedef struct lf_kv_cache *lf_kv_cache_t;    // keys and values of tokens that are computed

typedef enum { LF_OK, LF_INVALID, LF_OUT_OF_MEMORY, LF_INTERNAL } lf_status;

typedef enum {
    LF_FLOAT32, LF_FLOAT64, LF_FLOAT16, LF_BFLOAT16, LF_INT8, LF_UINT8, LF_INT16, LF_INT32, LF_INT64, LF_BOOL,
    LF_FLOAT8
} lf_dtype;

/// LF_STAND_IN: a device that tests register with libtorch (PrivateUse1).
typedef enum { LF_CPU, LF_CUDA, LF_STAND_IN } lf_device_type;

/// This thread's last failure; valid until its next.
const char *lf_last_error(void);
/// Records a failure of a callback's; returns `status`.
lf_status lf_fail_with(lf_status status, const char *message);

// --- process ---------------------------------------------------------------------------------------------------------

const char *lf_version(void);
/// Keeps freed memory in the process: glibc would unmap large tensors and fault them in again at every step.
void lf_keep_freed_memory(void);
/// Lets a freed tensor's memory take another of its size, which glibc's aligned blocks do not.
void lf_refill_freed_memory(void);
/// Asks the system for huge pages where large tensors lie, unless the user's environment says otherwise.
/// Has an effect only before the first tensor: libtorch reads THP_MEM_ALLOC_ENABLE once.
void lf_prefer_huge_pages(void);
/// Gives unused heap pages back to the system.
void lf_trim_memory(void);
void lf_set_threads(int count);
int lf_threads(void);
/// How many threads take a share of this library's own loops: as many as libtorch's, or 1 where its threads cannot be shared.
int lf_loop_threads(void);
bool lf_cuda_available(void);
/// How many devices of a type there are.
int lf_device_count(lf_device_type type);
/// From now on tensors that this process makes on such a device lie on its `index`-th, from 0; of a stand-in, those that this thread makes.
lf_status lf_choose_device(lf_device_type type, int index);
/// The bytes of the chosen device's memory that are free; false for the CPU and where the device does not say.
bool lf_free_memory(lf_device_type device, int64_t *bytes);
/// Whether float32 products on the CPU go to oneDNN rather than the BLAS that libtorch was built with.
bool lf_routes_float32_matmul(void);
void lf_set_routes_float32_matmul(bool routed);
bool lf_grad_mode(void);
/// Returns the previous mode.
bool lf_grad_mode_set(bool enabled);
lf_status lf_synchronize(lf_device_type device);

/// Tells what this thread records that of `rows[i]` rows of a stream only the first `learned[i]` may have a gradient: backward passes multiply with
/// those alone, whatever gradient the others are given. Returns what `lf_learned_rows_pop` takes to end it.
size_t lf_learned_rows_push(const int64_t *rows, const int64_t *learned, size_t count);
void lf_learned_rows_pop(size_t before);

// --- where time goes -------------------------------------------------------------------------------------------------

typedef struct lf_profile *lf_profile_t;  // a recording that has ended
typedef enum { LF_PROFILE_SCOPE, LF_PROFILE_OPERATION, LF_PROFILE_BACKWARD } lf_profile_kind;

/// A scope of this program's, an operation of libtorch's or a node of a backward pass; those that begin within it lie within it.
typedef struct {
    int32_t name;  // its number among the recording's names
    lf_profile_kind kind;
    int64_t begin, end;  // nanoseconds of the monotonic clock
    double operations;   // multiplications and additions of its own products, without those within it
} lf_profile_span;

/// Whether this thread records.
bool lf_profile_records(void);
/// Records what this thread does from now on: scopes, and with `operations` libtorch's operations and the nodes of backward passes too.
lf_status lf_profile_start(bool operations);
/// Ends this thread's recording and hands it out; NULL without one. Spans that are open end now.
lf_profile_t lf_profile_stop(void);
void lf_profile_free(lf_profile_t profile);
/// A scope of this thread; nothing without a recording.
void lf_profile_begin(const char *name);
void lf_profile_end(void);
/// The spans in the order in which they began.
size_t lf_profile_count(lf_profile_t profile);
const lf_profile_span *lf_profile_spans(lf_profile_t profile);
size_t lf_profile_name_count(lf_profile_t profile);
const char *lf_profile_name(lf_profile_t profile, size_t number);
/// Rows, inner size and columns, `[3 · count]`, of the products that took the most operations in all, the most first.
///
/// Returns how many there are, at most `count`.
size_t lf_profile_products(lf_profile_t profile, int64_t *sizes, size_t count);
/// Tells this thread's recording that of `computed` rows, or terms of a sum over rows, only `needed` count; the others fill a stream up.
void lf_profile_needed_rows(int64_t computed, int64_t needed);

// --- several processes -----------------------------------------------------------------------------------------------

typedef struct lf_store *lf_store_t;                  // texts and counters by key, which the processes of a run share
typedef struct lf_process_group *lf_process_group_t;  // processes that train together
typedef struct lf_gradient_buckets *lf_gradient_buckets_t;  // gradients that leave for the other processes while others are made

/// Where a process stands among those that train together.
typedef struct {
    int rank, size;
    const char *master_address;  // where process 0's store answers
    int master_port;
    bool serves_store;              // whether process 0 opens the store itself; torchrun's agent may hold it
    const char *network_interface;  // such as eth0; NULL takes the one that leads to the master
    const char *run_name;           // keys of one attempt; a restart takes another
    double timeout_seconds;         // of every exchange
    double rendezvous_seconds;      // until the store answers, and until the processes have connected to one another
    double heartbeat_seconds;       // between two signs of life
    double silence_seconds;         // without a sign of life until a process counts as gone
    lf_device_type device;          // where the process computes: the chosen one of this type
} lf_process_place;

/// Names a group of devices, as `ncclUniqueId`.
typedef struct { char bytes[128]; } lf_collective_id;

/// What NCCL's functions of the same order do, by their binary interface: 0 is success, types and operations are NCCL's numbers.
typedef struct {
    const char *(*error_text)(int result);
    int (*new_id)(lf_collective_id *id);
    int (*join)(void **group, int size, lf_collective_id id, int rank);
    int (*abort)(void *group);
    int (*leave)(void *group);
    int (*state)(void *group, int *result);
    int (*sum)(const void *from, void *to, size_t count, int type, int operation, void *group, void *stream);
    int (*reduce)(const void *from, void *to, size_t count, int type, int operation, int root, void *group, void *stream);
    int (*broadcast)(const void *from, void *to, size_t count, int type, int root, void *group, void *stream);
    int (*gather)(const void *from, void *to, size_t count, int type, void *group, void *stream);
} lf_collectives;

/// What serves LF_STAND_IN in the place of NCCL.
void lf_collectives_for_tests(const lf_collectives *calls);

/// What a process sees of the others.
typedef struct {
    int32_t silent_rank;    // the process that gives no more sign of life; -1 where all do
    double silent_seconds;  // for how long
    bool is_cut;            // whether the store does not answer any more
    bool has_failures;      // whether a process has told of a failure: the counter `failures` is not 0
} lf_watch;

/// Opens the run's store: process 0 serves it, the others connect to it. All calls may come from any thread, and none waits longer than
/// the silence that a place allows. From then on the counter `heartbeat/RANK` grows.
lf_status lf_store_open(const lf_process_place *place, lf_store_t *out);
void lf_store_free(lf_store_t store);
/// Adds to a counter, which begins at 0, and tells its new value.
lf_status lf_store_add(lf_store_t store, const char *key, int64_t amount, int64_t *total);
lf_status lf_store_set(lf_store_t store, const char *key, const char *text);
/// Copies the beginning of a text; `length` is 0 where the key is not set.
lf_status lf_store_get(lf_store_t store, const char *key, char *text, size_t capacity, size_t *length);
/// What the heartbeats and `failures` say at this moment; asks nobody.
lf_watch lf_store_watch(lf_store_t store);
/// From now on this process gives no sign of life.
void lf_store_fall_silent(lf_store_t store);

/// Connects the processes with one another through their store, which must outlive the group: over Gloo for the CPU's tensors and, where the
/// place names a device, over NCCL for that one's. This, and every exchange, ends with an error as soon as a process is gone or tells of a
/// failure (`lf_watch`). An exchange of the device's tensors returns when it is done there.
lf_status lf_process_group_join(lf_store_t store, const lf_process_place *place, lf_process_group_t *out);
void lf_process_group_free(lf_process_group_t group);
/// Closes the connections, so that the exchanges of the others end.
void lf_process_group_sever(lf_process_group_t group);
/// Replaces each tensor by its sum over all processes. All processes pass tensors of the same types and shapes in the same order.
lf_status lf_process_group_sum(lf_process_group_t group, const lf_tensor_t *tensors, size_t count);
/// The same for process `roots[i]` of each tensor alone; what the others hold in it afterwards is undefined.
lf_status lf_process_group_reduce(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count);
/// Replaces each tensor by that of process `roots[i]`, whose own is only read.
lf_status lf_process_group_broadcast(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count);
/// The tensors of all processes, which have one shape: `[…]` gives `[size, …]`.
lf_status lf_process_group_gather(lf_process_group_t group, lf_tensor_t tensor, lf_tensor_t *out);
/// Waits until all processes are here.
lf_status lf_process_group_barrier(lf_process_group_t group);

/// Buckets of the gradients of some weights, which are told of every gradient that a backward pass makes. A bucket holds about `bytes` (0: as
/// much as other messages) and leaves when its gradients and all buckets before it are there.
lf_status lf_gradient_buckets_make(
    const lf_tensor_t *weights, size_t count, int64_t bytes, lf_gradient_buckets_t *out);
void lf_gradient_buckets_free(lf_gradient_buckets_t buckets);
/// Gradients that are made from now on are the last of a step. The group must be there until the buckets have settled.
lf_status lf_gradient_buckets_open(lf_gradient_buckets_t buckets, lf_process_group_t group);
/// The passes have ended: sends what has not left, and takes the gradients out of their weights. By weight it says whether this process has a
/// gradient, and whether that came after its bucket had left; `early` counts the buckets that left before.
lf_status lf_gradient_buckets_close(
    lf_gradient_buckets_t buckets, lf_process_group_t group, bool *has_gradient, bool *is_late, size_t *early);
/// Waits until the sums are there, which become the gradients of the `learned` weights; adds those that were `late` in some process. Both
/// must be the same in all processes.
lf_status lf_gradient_buckets_settle(
    lf_gradient_buckets_t buckets, lf_process_group_t group, const bool *learned, const bool *late);

// --- random streams --------------------------------------------------------------------------------------------------

lf_status lf_generator_create(uint64_t seed, lf_device_type device, lf_generator_t *out);
void lf_generator_free(lf_generator_t generator);
lf_status lf_generator_seed(lf_generator_t generator, uint64_t seed);
/// The stream's state as a byte tensor `[n]`, fit for lf_generator_set_state.
lf_status lf_generator_state(lf_generator_t generator, lf_tensor_t *out);
lf_status lf_generator_set_state(lf_generator_t generator, lf_tensor_t state);
lf_status lf_randperm(int64_t count, lf_generator_t generator, lf_tensor_t *out);
lf_status lf_fill_uniform(lf_tensor_t tensor, double low, double high, lf_generator_t generator);
lf_status lf_fill_normal(lf_tensor_t tensor, double mean, double deviation, lf_generator_t generator);
/// A mask of `1 / (1 - p)` with probability `1 - p`, else 0, shaped like `like`.
lf_status lf_dropout_mask(lf_tensor_t like, double p, lf_generator_t generator, lf_tensor_t *out);
/// Draws one index per row of `probabilities [n, k]`; `[n]` int64.
lf_status lf_multinomial(lf_tensor_t probabilities, lf_generator_t generator, lf_tensor_t *out);

// --- creation, storage -----------------------------------------------------------------------------------------------

void lf_tensor_free(lf_tensor_t tensor);
lf_status lf_zeros(const int64_t *shape, size_t rank, lf_dtype dtype, lf_device_type device, lf_tensor_t *out);
lf_status lf_full(const int64_t *shape, size_t rank, double value, lf_dtype dtype, lf_device_type device, lf_tensor_t *out);
lf_status lf_arange(int64_t count, lf_dtype dtype, lf_device_type device, lf_tensor_t *out);
lf_status lf_from_bytes(const void *bytes, const int64_t *shape, size_t rank, lf_dtype dtype, lf_tensor_t *out);
/// Wraps memory without copying; `release(owner)` runs when the last tensor on it is gone.
lf_status lf_wrap_bytes(void *bytes, const int64_t *shape, size_t rank, lf_dtype dtype, void *owner, void (*release)(void *), lf_tensor_t *out);
/// Copies a tensor's contiguous CPU image into `bytes`; `size` must match.
lf_status lf_copy_bytes(lf_tensor_t tensor, void *bytes, size_t size);
lf_status lf_empty_like(lf_tensor_t tensor, lf_tensor_t *out);
lf_status lf_zeros_like(lf_tensor_t tensor, lf_tensor_t *out);

size_t lf_rank(lf_tensor_t tensor);
int64_t lf_dim(lf_tensor_t tensor, int64_t dim);
int64_t lf_numel(lf_tensor_t tensor);
lf_dtype lf_dtype_of(lf_tensor_t tensor);
lf_device_type lf_device_of(lf_tensor_t tensor);
bool lf_is_contiguous(lf_tensor_t tensor);
lf_status lf_item(lf_tensor_t tensor, double *out);
lf_status lf_to_dtype(lf_tensor_t tensor, lf_dtype dtype, lf_tensor_t *out);
lf_status lf_to_device(lf_tensor_t tensor, lf_device_type device, lf_tensor_t *out);
lf_status lf_contiguous(lf_tensor_t tensor, lf_tensor_t *out);
lf_status lf_detach(lf_tensor_t tensor, lf_tensor_t *out);
lf_status lf_clone(lf_tensor_t tensor, lf_tensor_t *out);
/// Another handle of the same tensor.
lf_status lf_alias(lf_tensor_t tensor, lf_tensor_t *out);
/// All bytes equal, NaNs included.
lf_status lf_identical(lf_tensor_t a, lf_tensor_t b, bool *out);

// --- autograd --------------------------------------------------------------------------------------------------------

bool lf_requires_grad(lf_tensor_t tensor);
lf_status lf_set_requires_grad(lf_tensor_t tensor, bool enabled);
/// NULL when there is none yet.
lf_status lf_grad(lf_tensor_t tensor, lf_tensor_t *out);
/// NULL clears.
lf_status lf_set_grad(lf_tensor_t tensor, lf_tensor_t grad);
lf_status lf_backward(lf_tensor_t scalar);
/// Backward from a non-scalar with the given gradient of it.
lf_status lf_backward_with(lf_tensor_t tensor, lf_tensor_t grad);

/// Most tensors that a recomputed region returns.
enum { LF_REGION_OUTPUTS = 8 };
/// Writes the region's results into `outs`, which has LF_REGION_OUTPUTS places, all NULL.
typedef lf_status (*lf_checkpoint_body)(void *context, lf_tensor_t input, lf_tensor_t *outs);
/// Runs `body(input)` without keeping its activations; the backward runs it again, gradients of what `body` closes over included.
/// `after(context)`, which may be NULL, runs when the region's own backward is done, and `release(context)` when the graph is gone.
/// `outs` has LF_REGION_OUTPUTS places; those without a result become NULL.
lf_status lf_checkpoint(
    lf_tensor_t input, lf_checkpoint_body body, lf_status (*after)(void *), void *context, void (*release)(void *),
    lf_tensor_t *outs);

// --- operations ------------------------------------------------------------------------------------------------------

typedef enum { LF_ADD, LF_SUB, LF_MUL, LF_DIV, LF_MAXIMUM, LF_MINIMUM } lf_binary_op;
lf_status lf_binary(lf_binary_op op, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out);
lf_status lf_binary_scalar(lf_binary_op op, lf_tensor_t a, double b, lf_tensor_t *out);

typedef enum { LF_GT, LF_GE, LF_LT, LF_LE, LF_EQ, LF_NE } lf_compare_op;
lf_status lf_compare(lf_compare_op op, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out);
lf_status lf_compare_scalar(lf_compare_op op, lf_tensor_t a, double b, lf_tensor_t *out);

typedef enum {
    LF_NEG, LF_EXP, LF_LOG, LF_LOG1P, LF_EXPM1, LF_SQRT, LF_RSQRT, LF_ABS, LF_SIGMOID, LF_LOG_SIGMOID, LF_RELU, LF_SILU, LF_TANH,
    LF_GELU, LF_GELU_TANH, LF_SQUARE, LF_RECIPROCAL, LF_COS, LF_SIN, LF_IS_FINITE, LF_LOGICAL_NOT
} lf_unary_op;
lf_status lf_unary(lf_unary_op op, lf_tensor_t a, lf_tensor_t *out);
lf_status lf_clamp(lf_tensor_t a, const double *low, const double *high, lf_tensor_t *out);
lf_status lf_where(lf_tensor_t condition, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out);

typedef enum { LF_SUM, LF_MEAN, LF_AMAX, LF_AMIN } lf_reduce_op;
lf_status lf_reduce(lf_reduce_op op, lf_tensor_t a, lf_tensor_t *out);
lf_status lf_reduce_dim(lf_reduce_op op, lf_tensor_t a, int64_t dim, bool keep, lf_tensor_t *out);
lf_status lf_argmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out);
lf_status lf_softmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out);
lf_status lf_log_softmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out);
lf_status lf_logsumexp(lf_tensor_t a, int64_t dim, bool keep, lf_tensor_t *out);
lf_status lf_cumsum(lf_tensor_t a, int64_t dim, lf_tensor_t *out);
lf_status lf_topk(lf_tensor_t a, int64_t k, int64_t dim, lf_tensor_t *values, lf_tensor_t *indices);
lf_status lf_sort(lf_tensor_t a, int64_t dim, bool descending, lf_tensor_t *values, lf_tensor_t *indices);

lf_status lf_matmul(lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out);
lf_status lf_reshape(lf_tensor_t a, const int64_t *shape, size_t rank, lf_tensor_t *out);
lf_status lf_transpose(lf_tensor_t a, int64_t dim0, int64_t dim1, lf_tensor_t *out);
lf_status lf_expand(lf_tensor_t a, const int64_t *shape, size_t rank, lf_tensor_t *out);
lf_status lf_narrow(lf_tensor_t a, int64_t dim, int64_t start, int64_t length, lf_tensor_t *out);
lf_status lf_index_select(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t *out);
/// `out[index[i]] += source[i]` over dimension 0 of a zero tensor of `count` rows: sums per group.
lf_status lf_group_sum(lf_tensor_t source, lf_tensor_t index, int64_t count, lf_tensor_t *out);
lf_status lf_gather(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t *out);
lf_status lf_scatter(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t source, lf_tensor_t *out);
lf_status lf_cat(const lf_tensor_t *tensors, size_t count, int64_t dim, lf_tensor_t *out);
lf_status lf_stack(const lf_tensor_t *tensors, size_t count, int64_t dim, lf_tensor_t *out);
lf_status lf_embedding(lf_tensor_t weight, lf_tensor_t ids, lf_tensor_t *out);

// --- in place (optimizers, initializers) -----------------------------------------------------------------------------

lf_status lf_copy_in_place(lf_tensor_t target, lf_tensor_t source);
lf_status lf_fill_in_place(lf_tensor_t target, double value);
lf_status lf_add_in_place(lf_tensor_t target, lf_tensor_t source, double scale);
lf_status lf_mul_in_place(lf_tensor_t target, double factor);

// --- optimizers ------------------------------------------------------------------------------------------------------

/// The Euclidean norm of all tensors together, float32 `[]`.
lf_status lf_total_norm(const lf_tensor_t *tensors, size_t count, lf_tensor_t *out);
lf_status lf_scale_all(const lf_tensor_t *tensors, size_t count, lf_tensor_t factor);
/// One step of AdamW (Loshchilov & Hutter 2017, arXiv 1711.05101, algorithm 2). `steps` are `[]` float32 counters, advanced here. Gradients are
/// multiplied by `gradient_scale`, `[]` float32, unless that is NULL; what they hold afterwards is undefined then.
lf_status lf_adamw_step(const lf_tensor_t *parameters, const lf_tensor_t *gradients, const lf_tensor_t *first_moments,
                        const lf_tensor_t *second_moments, const lf_tensor_t *steps, size_t count, lf_tensor_t gradient_scale, double learning_rate,
                        double beta1, double beta2, double weight_decay, double epsilon);

// --- fused layers ----------------------------------------------------------------------------------------------------

/// `x·wᵀ + bias`; `x [T, in]`, `w [out, in]`. A weight of another type is converted to x's. `bias` may be NULL.
lf_status lf_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t *out);
/// `x·wᵀ + bias + scale·(x·Aᵀ)·Bᵀ` (Hu et al. 2021, arXiv 2106.09685, eq. 3); `A [r, in]`, `B [out, r]`.
lf_status lf_lora_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t a, lf_tensor_t b, double scale, lf_tensor_t *out);
/// Adds `scale·(x·Aᵀ)·B` to groups of rows of `y [T, out]`, in place: rows `begins[g]` up to `ends[g]` of `x [T, in]` with `a[g] [r, in]` and
/// `b[g] [r, out]`. Rows of no group stay as they are. Records nothing.
lf_status lf_add_low_rank(lf_tensor_t y, lf_tensor_t x, const int64_t *begins, const int64_t *ends, const lf_tensor_t *a, const lf_tensor_t *b,
                          const double *scales, size_t groups);
/// One of several linear layers: as in `lf_linear`, or where `a` and `b` are not NULL as in `lf_lora_linear`.
typedef struct {
    lf_tensor_t w, bias, a, b;
    double scale;
} lf_linear_layer;
/// The layer's output for `silu(gate) ⊙ up`, both `[T, in]`, which is formed again in the backward pass instead of being kept.
lf_status lf_gated_linear(lf_tensor_t gate, lf_tensor_t up, const lf_linear_layer *layer, lf_tensor_t *out);
/// Layers of one input `x [T, in]`, which is read once for all adapters and whose gradient is summed in place; `outs` receives `count` tensors.
lf_status lf_linear_group(lf_tensor_t x, const lf_linear_layer *layers, size_t count, lf_tensor_t *outs);
/// Microscaling 4-bit floats (OCP MX 1.0) as bfloat16: `blocks [..., G, 16]` of two numbers a byte, the first in the low half, `scales [..., G]` powers of
/// two with a bias of 127; both uint8. Returns `[..., 32 * G]`.
lf_status lf_unpack_mxfp4(lf_tensor_t blocks, lf_tensor_t scales, lf_tensor_t *out);
/// Rows of `x` `[N, in]` in consecutive groups of `counts[g]`, each multiplied by its matrix `w[g]ᵀ`, `w [G, out, in]`, plus `bias[g]`,
/// `[G, out]`, which may be NULL: `[N, out]`.
lf_status lf_grouped_linear(
    lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, const int64_t *counts, size_t groups, lf_tensor_t *out);
/// Sorts choices of experts, `chosen` int64 `[T, width]`, by expert, those of one expert in their order: `tokens [T · width]` receives the token of each
/// sorted row, `places [T · width]` the sorted row of each choice, `counts[experts]` the rows of each expert. `on_device` sorts where the choices lie, so that
/// the counts alone are waited for; else they are read and sorted here, which is quicker where nothing is waited for.
lf_status lf_expert_order(lf_tensor_t chosen, bool on_device, int64_t *counts, size_t experts, lf_tensor_t *tokens, lf_tensor_t *places);
/// `x / sqrt(mean(x²) + eps) · (w + offset)`, computed in float32 over the last dimension (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4).
lf_status lf_rms_norm(lf_tensor_t x, lf_tensor_t w, double offset, double eps, lf_tensor_t *out);
/// `(x - mean(x)) / sqrt(var(x) + eps) · w + bias` over the last dimension (Ba et al. 2016, arXiv 1607.06450); `w` and `bias` may be NULL.
lf_status lf_layer_norm(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, double eps, lf_tensor_t *out);
/// `silu(gate) ⊙ up` (Shazeer 2020, arXiv 2002.05202).
lf_status lf_silu_mul(lf_tensor_t gate, lf_tensor_t up, lf_tensor_t *out);
/// Rotates pairs `(i, i + d/2)` of each head, or `(2i, 2i + 1)` where they are interleaved; `x [T, heads, headDim]`, `cos`, `sin` `[T, d/2]` float32,
/// d ≤ headDim (Su et al. 2021, arXiv 2104.09864, eq. 34).
lf_status lf_rope(lf_tensor_t x, lf_tensor_t cos, lf_tensor_t sin, bool interleaved, lf_tensor_t *out);

/// Segment i covers `[starts[i], ends[i])` of the stream and continues segment `prefixes[i]` (-1: none, else < i). The first `held` segments are keys and
/// values alone: nothing is asked from there. Queries come from the rows `[query_starts[i], query_ends[i])`, ascending runs within one segment each, one
/// behind the other; `query_starts` NULL: from all rows of the segments that are not held.
lf_status lf_segments_create(const int64_t *starts, const int64_t *ends, const int64_t *prefixes, size_t count, size_t held,
                             const int64_t *query_starts, const int64_t *query_ends, size_t query_count, lf_segments_t *out);
void lf_segments_free(lf_segments_t segments);
/// How many tables layers have had built of these segments so far: what they share is built once.
int64_t lf_segments_built_tables(lf_segments_t segments);
/// What makes attention's weights of the products of queries and keys. A query at place i of its sequence and a key at place j ≤ i score
/// `softcap·tanh(scale·q·k / softcap) + slope·(j − i)`; the softmax runs over the keys that are seen and the head's sink. 0 and NULL leave a part out.
typedef struct {
    double scale;
    int64_t window;      // > 0: a token sees itself and the window-1 tokens before it
    double softcap;      // > 0: bounds the scores
    lf_tensor_t sinks;   // [heads]: a logit per head that takes its share of the weights and has no value; may be trained
    lf_tensor_t slopes;  // [heads]: what a key loses per token of distance (ALiBi, Press et al. 2021, arXiv 2108.12409); gets no gradient
} lf_attention_options;

/// Causal attention within segments and onto their prefixes. `q [R, heads, d]`, R the rows that queries come from, `k [T, kvHeads, d]`,
/// `v [T, kvHeads, e]`; kvHeads divides heads, and each key-value head serves consecutive heads. Returns `[R, heads, e]`.
lf_status lf_segment_attention(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_segments_t segments, const lf_attention_options *options,
                               lf_tensor_t *out);

// --- recurrence ------------------------------------------------------------------------------------------------------

/// A causal convolution of each channel over its sequence: `y[t, c] = Σⱼ w[c, K-1-j]·x[p(t, j), c]`, p(t, j) the j-th predecessor of token t in its own
/// sequence; nothing comes before a sequence. `x [T, C]`, `w [C, K]` or `[C, 1, K]`.
lf_status lf_segment_convolution(lf_tensor_t x, lf_tensor_t w, lf_segments_t segments, lf_tensor_t *out);
/// The gated delta rule (Yang et al. 2024, arXiv 2412.06464): with keys and queries of length 1, S ← exp(g)·S; S ← S + k (β (v − kᵀS)); y = qᵀS / √d. `q`, `k` `[T, keyHeads, d]`,
/// `v [T, heads, e]`, `g`, `beta` `[T, heads]`; keyHeads divides heads, each serving consecutive ones. A segment begins with the state of the one that it continues.
/// Returns `[T, heads, e]`. `states`, unless NULL, receives the segments' last states, `[segments, heads, d, e]` float32 (float64 for float64), and nothing is recorded;
/// `initial`, which may be NULL, is then what the segments that continue none begin with, in their order.
lf_status lf_gated_delta_rule(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_tensor_t g, lf_tensor_t beta, lf_segments_t segments, lf_tensor_t initial,
                              lf_tensor_t *out, lf_tensor_t *states);
/// One token of each of n sequences, of states `[n, heads, d, e]`: their outputs `[n, heads, e]` and next states. Records nothing.
lf_status lf_gated_delta_step(lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, lf_tensor_t g, lf_tensor_t beta, lf_tensor_t state, lf_tensor_t *out,
                              lf_tensor_t *next);

// --- decoding --------------------------------------------------------------------------------------------------------

/// An empty cache for `layers` layers, in blocks of `block_size` tokens.
lf_status lf_kv_cache_create(size_t layers, int64_t block_size, lf_kv_cache_t *out);
void lf_kv_cache_free(lf_kv_cache_t cache);
/// Room for at least `blocks` blocks; what is held does not move.
lf_status lf_kv_cache_reserve(lf_kv_cache_t cache, int64_t blocks);
/// How many blocks there is room for.
int64_t lf_kv_cache_blocks(lf_kv_cache_t cache);
/// Stores the first `count` rows of `k [T, kvHeads, d]` and `v [T, kvHeads, e]`; slot = block · block_size + place. A layer's first write
/// settles its shapes and type.
lf_status lf_kv_cache_write(lf_kv_cache_t cache, size_t layer, lf_tensor_t k, lf_tensor_t v, const int64_t *slots, size_t count);
/// Copies a block in all layers.
lf_status lf_kv_cache_copy_block(lf_kv_cache_t cache, int64_t from, int64_t to);
/// Attention of `q [T, heads, d]` over cached tokens; returns `[T, heads, e]`, zeros from row `count` on. Row i is the last of the first `lengths[i]` tokens
/// of the blocks listed from `blocks[starts[i]]` on, and sees them, with a window the last of them. Records nothing.
lf_status lf_kv_cache_attention(lf_kv_cache_t cache, size_t layer, lf_tensor_t q, const int64_t *lengths, const int64_t *starts,
                                const int32_t *blocks, size_t count, const lf_attention_options *options, lf_tensor_t *out);
/// Attention of whole pieces of sequences that the cache holds the beginnings of: `q`, `k`, `v` as for `lf_segment_attention`. `segments` begin with those
/// that are held, whose keys and values lie in `slots`, `count` of them in all. Records nothing.
lf_status lf_kv_cache_prefix_attention(lf_kv_cache_t cache, size_t layer, lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, const int64_t *slots, size_t count,
                                       lf_segments_t segments, const lf_attention_options *options, lf_tensor_t *out);

// --- head ------------------------------------------------------------------------------------------------------------

/// Log-probabilities of `ids [N]` under `softmax(h[rows]·wᵀ + bias)`, float32 (float64 for float64 input) `[N]`, without ever holding more than
/// a chunk of the logits. `h [T, hidden]`, `w [vocab, hidden]`, `bias [vocab]` or NULL, `rows`, `ids` int64 `[N]`. `correct`, unless NULL, receives a bool `[N]`: whether
/// the id has the greatest logit. `entropy`, unless NULL, receives the entropy in nats of the `entropy_count` greatest probabilities, normalised among
/// themselves, `[N]` without gradient. `softcap` > 0 caps the logits as in lf_segment_attention; `logit_scale` multiplies them. `widens` makes float32 of
/// what the product gives, before anything else. Only the first `learned` results pass gradients on; all where it is negative.
/// `expected [N]`, unless NULL, says what the results' gradients will be up to a factor, 1 for a plain sum: a trained head forms its own in the forward
/// pass then, and no logits wait for the backward. Other gradients cost it the logits a second time.
lf_status lf_head_log_probs(lf_tensor_t h, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t rows, lf_tensor_t ids, double logit_scale, double softcap,
                            bool widens, int64_t learned, lf_tensor_t expected, lf_tensor_t *out, lf_tensor_t *correct, int64_t entropy_count, lf_tensor_t *entropy);
/// `KL(q ‖ p)` of the rows `rows [N]`, float32 (float64 for float64 input) `[N]`: p from `h [T, hidden]`, `w [vocab, hidden]` and `bias [vocab]`, which
/// get gradients, q from the other three, which do not. Both biases may be NULL.
lf_status lf_head_divergence(lf_tensor_t h, lf_tensor_t w, lf_tensor_t bias, lf_tensor_t other_h, lf_tensor_t other_w, lf_tensor_t other_bias,
                             lf_tensor_t rows, double logit_scale, double softcap, bool widens, lf_tensor_t *out);

#ifdef __cplusplus
}
#endif

#ifndef __cplusplus
#include "Decoding.h"  // C++ files name it where they need it
#endif
#endif
