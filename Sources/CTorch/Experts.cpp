// Products of groups of rows with a matrix each: the experts of a mixture.
#include "Internal.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

/// Calls `body(group, first row, rows)` for every group that has rows.
template <typename Body> void for_groups(const std::vector<int64_t> &counts, Body &&body) {
    int64_t row = 0;
    for (size_t group = 0; group < counts.size(); row += counts[group++])
        if (counts[group] > 0) body(static_cast<int64_t>(group), row, counts[group]);
}

at::Tensor as(const at::Tensor &tensor, const at::Tensor &like) {
    return tensor.scalar_type() == like.scalar_type() ? tensor : tensor.to(like.scalar_type());
}

/// `x·w[g]ᵀ + bias[g]` group by group.
at::Tensor grouped_product(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias, const std::vector<int64_t> &counts) {
    auto y = at::empty({x.size(0), w.size(1)}, x.options());
    for_groups(counts, [&](int64_t group, int64_t row, int64_t rows) {
        auto part = x.narrow(0, row, rows), matrix = as(w.select(0, group), x);
        auto target = y.narrow(0, row, rows);
        target.copy_(has_few_rows(part, matrix) ? product_of_few_rows(part, matrix, std::nullopt) : product(part, matrix));
        if (bias) target.add_(bias->select(0, group));
    });
    return y;
}

struct GroupedLinear : Function<GroupedLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias,
                              std::vector<int64_t> counts) {
        auto y = grouped_product(x, w, bias, counts);
        // x is kept only when the weight is trained.
        context->save_for_backward({w.requires_grad() ? x : at::Tensor(), x.requires_grad() ? w : at::Tensor()});
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        context->saved_data["shape"] = w.sizes().vec();
        context->saved_data["counts"] = std::move(counts);
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        auto saved = context->get_saved_variables();
        const auto &x = saved[0], &w = saved[1];
        auto counts = context->saved_data["counts"].toIntVector();
        auto shape = context->saved_data["shape"].toIntVector();
        auto bias_type = context->saved_data["bias_type"].toInt();
        auto dy = gradients[0].contiguous();
        auto typed = [&](int64_t type) { return dy.options().dtype(static_cast<at::ScalarType>(type)); };
        at::Tensor dx, dw, db;
        if (context->needs_input_grad(0)) dx = at::empty({dy.size(0), shape[2]}, dy.options());
        if (context->needs_input_grad(1)) dw = at::empty(shape, typed(context->saved_data["weight_type"].toInt()));
        if (bias_type >= 0 && context->needs_input_grad(2)) db = at::zeros({shape[0], shape[1]}, typed(bias_type));
        for_groups(counts, [&](int64_t group, int64_t row, int64_t rows) {
            auto part = dy.narrow(0, row, rows);
            if (dx.defined()) dx.narrow(0, row, rows).copy_(product(part, as(w.select(0, group), dy).t()));
            if (dw.defined()) dw.select(0, group).copy_(product(part.t(), x.narrow(0, row, rows).t()));
            if (db.defined()) db.select(0, group).copy_(part.sum(0));
        });
        // Experts that no token chose.
        for (size_t group = 0; dw.defined() && group < counts.size(); ++group)
            if (counts[group] == 0) dw.select(0, static_cast<int64_t>(group)).zero_();
        return {dx, dw, db, at::Tensor()};
    }
};

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_grouped_linear(lf_tensor_t x, lf_tensor_t w, lf_tensor_t bias, const int64_t *counts, size_t groups, lf_tensor_t *out) {
    return returning(out, [&] {
        std::vector<int64_t> rows(counts, counts + groups);
        int64_t sum = 0;
        for (int64_t count : rows) sum += count;
        const auto &input = x->value, &weight = w->value;
        TORCH_CHECK(input.dim() == 2 && weight.dim() == 3 && input.size(1) == weight.size(2) && static_cast<int64_t>(groups) == weight.size(0) &&
                        sum == input.size(0),
                    "an input of shape ", input.sizes(), " in ", groups, " groups of ", sum, " rows does not fit weights of shape ", weight.sizes());
        TORCH_CHECK(!bias || (bias->value.dim() == 2 && bias->value.size(0) == weight.size(0) && bias->value.size(1) == weight.size(1)),
                    "a bias does not fit weights of shape ", weight.sizes());
        return GroupedLinear::apply(input, weight, bias ? std::optional<at::Tensor>(bias->value) : std::nullopt, std::move(rows));
    });
}
