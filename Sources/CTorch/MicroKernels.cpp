#include "MicroKernels.hpp"

#include <ATen/Context.h>
#include <ATen/native/CPUBlas.h>

// libtorch says in its header which of these products it has.
#if defined(CPUBLAS_BRGEMM_F32F32F32) && defined(CPUBLAS_BRGEMM_BF16BF16F32) && defined(__x86_64__)
#define LF_HAS_MICRO_KERNELS 1
#endif

namespace lf {

bool has_micro_kernels(at::ScalarType type) {
#ifdef LF_HAS_MICRO_KERNELS
    if (!at::globalContext().userEnabledMkldnn()) return false;
    static const bool has_wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    static const bool has_pairs = __builtin_cpu_supports("avx512bf16");
    return type == at::kFloat ? has_wide : type == at::kBFloat16 && has_pairs;
#else
    return false;
#endif
}

void multiply(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool adds, const float *a, const float *b, float *c) {
#ifdef LF_HAS_MICRO_KERNELS
    at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, adds, a, b, c, /*is_vnni=*/false);
#endif
}

void multiply(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool adds, const c10::BFloat16 *a, const c10::BFloat16 *b,
              float *c) {
#ifdef LF_HAS_MICRO_KERNELS
    at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, adds, a, b, c, /*is_vnni=*/true);
#endif
}

void end_of_products(at::ScalarType type) {
#ifdef LF_HAS_MICRO_KERNELS
    at::native::cpublas::brgemm_release(/*is_vnni=*/type == at::kBFloat16);
#endif
}

}  // namespace lf
