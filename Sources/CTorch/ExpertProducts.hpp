// Products of few rows with one matrix of many, on oneDNN's micro-kernels: what a mixture's experts do.
#pragma once
#include "Internal.hpp"

namespace lf {

/// Consecutive rows that one matrix multiplies.
struct RowGroup {
    int64_t matrix, row, rows;
};

/// Groups of at most this many rows go to the micro-kernels; larger ones fill a library's product.
constexpr int64_t few_rows_per_group = 192;

/// Whether the products below take these: float32 on a processor with micro-kernels. `w` is `[groups, out, in]`.
bool takes_expert_products(const at::Tensor &x, const at::Tensor &w);

/// `y = x·w[g]ᵀ + bias[g]` for the rows of each group; `bias` may be undefined.
void expert_outputs(const std::vector<RowGroup> &groups, const at::Tensor &x, const at::Tensor &w, const at::Tensor &bias, at::Tensor &y);
/// `dx = dy·w[g]`.
void expert_input_gradients(const std::vector<RowGroup> &groups, const at::Tensor &dy, const at::Tensor &w, at::Tensor &dx);
/// `dw[g] = dyᵀ·x`.
void expert_weight_gradients(const std::vector<RowGroup> &groups, const at::Tensor &dy, const at::Tensor &x, at::Tensor &dw);

}  // namespace lf
