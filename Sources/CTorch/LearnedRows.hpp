// Rows of a stream that no loss learns from: their gradients are zero, so that backward passes need not multiply with them.
#pragma once
#include "Internal.hpp"

namespace lf {

/// How many of a stream's `rows`, the first ones, may have a gradient: what the pass that is being recorded was told, else all.
int64_t learned_rows(int64_t rows);

/// The first `count` rows of `x`.
inline at::Tensor first_rows(const at::Tensor &x, int64_t count) { return !x.defined() || x.size(0) == count ? x : x.narrow(0, 0, count); }

/// `x` with rows of zeros behind it, `rows` in all.
inline at::Tensor with_zero_rows(const at::Tensor &x, int64_t rows) {
    if (!x.defined() || x.size(0) == rows) return x;
    auto sizes = x.sizes().vec();
    sizes[0] = rows;
    auto result = at::empty(sizes, x.options());
    result.narrow(0, 0, x.size(0)).copy_(x);
    result.narrow(0, x.size(0), rows - x.size(0)).zero_();
    return result;
}

}  // namespace lf
