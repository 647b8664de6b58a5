// Products with the factors of an adapter: one side is short.
#pragma once
#include "Internal.hpp"

namespace lf {

/// Whether the products below take these: tokens in rows, and a short side of `rank`.
bool takes_low_rank(const at::Tensor &x, int64_t rank);
/// `scale · x·m`, `x [T, K]`, `m [K, rank]` of any type and strides: `[T, rank]` in x's type.
at::Tensor low_rank_down(const at::Tensor &x, const at::Tensor &m, double scale);
/// `y += d·m` in place, `d [T, rank]`, `m [rank, N]` of any type and strides; y contiguous, in d's type.
void add_low_rank(at::Tensor &y, const at::Tensor &d, const at::Tensor &m);
/// `dᵀ·x`, `d [T, rank]`, `x [T, N]`: `[rank, N]` in float32.
at::Tensor low_rank_gradient(const at::Tensor &d, const at::Tensor &x);

}  // namespace lf
