// What is done to single rows between products, for those who share rows out among threads themselves; each as its operation does it.
#pragma once
#include "Internal.hpp"

namespace lf {

/// `y = x / sqrt(mean(x²) + eps) · w`.
void norm_row(const float *x, const float *w, float *y, int64_t width, double eps);
void norm_row(const c10::BFloat16 *x, const c10::BFloat16 *w, c10::BFloat16 *y, int64_t width, double eps);

/// A head turned by its token's position; `cos` and `sin` `[half]`. `y` is not `x`.
void rotate_head(const float *x, const float *cos, const float *sin, float *y, int64_t width, int64_t half, bool interleaved);
void rotate_head(const c10::BFloat16 *x, const float *cos, const float *sin, c10::BFloat16 *y, int64_t width, int64_t half, bool interleaved);

/// `y = silu(gate) ⊙ up`.
void gate_row(const float *gate, const float *up, float *y, int64_t width);
void gate_row(const c10::BFloat16 *gate, const c10::BFloat16 *up, c10::BFloat16 *y, int64_t width);

}  // namespace lf
