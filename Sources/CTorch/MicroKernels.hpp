// Small matrix products on one thread, by oneDNN's micro-kernels out of libtorch.
#pragma once
#include "Internal.hpp"

namespace lf {

/// Whether `multiply` runs at full speed for this type on this processor, with this libtorch.
bool has_micro_kernels(at::ScalarType type);

/// `c = a·b`, or `c += a·b` where `adds`: `a [m, k]`, `b [k, n]`, `c [m, n]`, rows `lda`, `ldb` and `ldc` apart.
void multiply(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool adds, const float *a, const float *b, float *c);
/// The same of bfloat16 with sums in float32. `b` is in pairs: `[k / 2, n, 2]`, k even; `ldb` counts pairs.
void multiply(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool adds, const c10::BFloat16 *a, const c10::BFloat16 *b, float *c);
/// Ends a thread's series of products: processors with matrix registers get them back.
void end_of_products(at::ScalarType type);

}  // namespace lf
