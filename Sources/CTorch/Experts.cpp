// Products of groups of rows with a matrix each: the experts of a mixture.
#include "ExpertProducts.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {
namespace {

/// The groups that have rows, those for the micro-kernels apart.
struct Groups {
    std::vector<RowGroup> few, many;

    /// `least` is how many rows are worth a vector of columns.
    Groups(const std::vector<int64_t> &counts, bool takes_few, int64_t least = 1) {
        int64_t row = 0;
        for (size_t matrix = 0; matrix < counts.size(); row += counts[matrix++]) {
            int64_t rows = counts[matrix];
            bool is_few = takes_few && rows >= least && rows <= few_rows_per_group;
            if (rows > 0) (is_few ? few : many).push_back({static_cast<int64_t>(matrix), row, rows});
        }
    }
};

at::Tensor as(const at::Tensor &tensor, const at::Tensor &like) {
    return tensor.scalar_type() == like.scalar_type() ? tensor : tensor.to(like.scalar_type());
}

at::Tensor rows_of(const at::Tensor &x, const RowGroup &group) { return x.narrow(0, group.row, group.rows); }

/// `x·w[g]ᵀ + bias[g]` group by group.
at::Tensor grouped_product(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &bias, const std::vector<int64_t> &counts,
                           bool is_recorded) {
    auto y = at::empty({x.size(0), w.size(1)}, x.options());
    Groups groups(counts, takes_expert_products(x, w), is_recorded ? 1 : 8);
    if (!groups.few.empty()) expert_outputs(groups.few, x, w, bias ? as(*bias, x).contiguous() : at::Tensor(), y);
    for (const auto &group : groups.many) {
        auto part = rows_of(x, group), matrix = as(w.select(0, group.matrix), x), target = rows_of(y, group);
        target.copy_(!is_recorded && has_few_rows(part, matrix) ? product_of_few_rows(part, matrix, std::nullopt) : product(part, matrix));
        if (bias) target.add_(bias->select(0, group.matrix));
    }
    return y;
}

struct GroupedLinear : Function<GroupedLinear> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &w, const std::optional<at::Tensor> &bias,
                              std::vector<int64_t> counts) {
        auto x = input.contiguous();
        auto y = grouped_product(x, w, bias, counts, true);
        // x is kept only when the weight is trained.
        context->save_for_backward({w.requires_grad() ? x : at::Tensor(), input.requires_grad() ? w : at::Tensor()});
        context->saved_data["weight_type"] = static_cast<int64_t>(w.scalar_type());
        context->saved_data["bias_type"] = bias ? static_cast<int64_t>(bias->scalar_type()) : int64_t(-1);
        context->saved_data["shape"] = w.sizes().vec();
        context->saved_data["counts"] = std::move(counts);
        return y;
    }

    static variable_list backward(AutogradContext *context, variable_list gradients) {
        auto saved = context->get_saved_variables();
        auto counts = context->saved_data["counts"].toIntVector();
        auto shape = context->saved_data["shape"].toIntVector();
        auto weight_type = static_cast<at::ScalarType>(context->saved_data["weight_type"].toInt());
        auto bias_type = context->saved_data["bias_type"].toInt();
        auto dy = gradients[0].contiguous();
        at::Tensor dx, dw, db;
        if (context->needs_input_grad(0)) dx = input_gradient(dy, saved[1], counts);
        if (context->needs_input_grad(1)) dw = weight_gradient(dy, saved[0], shape, weight_type, counts);
        if (bias_type >= 0 && context->needs_input_grad(2)) {
            db = at::zeros({shape[0], shape[1]}, dy.options().dtype(static_cast<at::ScalarType>(bias_type)));
            for (const auto &group : Groups(counts, false).many) db.select(0, group.matrix).copy_(rows_of(dy, group).sum(0));
        }
        return {dx, dw, db, at::Tensor()};
    }

private:
    static at::Tensor input_gradient(const at::Tensor &dy, const at::Tensor &w, const std::vector<int64_t> &counts) {
        auto dx = at::empty({dy.size(0), w.size(2)}, dy.options());
        Groups groups(counts, takes_expert_products(dy, w));
        if (!groups.few.empty()) expert_input_gradients(groups.few, dy, w, dx);
        for (const auto &group : groups.many) rows_of(dx, group).copy_(product(rows_of(dy, group), as(w.select(0, group.matrix), dy).t()));
        return dx;
    }

    static at::Tensor weight_gradient(const at::Tensor &dy, const at::Tensor &x, at::IntArrayRef shape, at::ScalarType type,
                                      const std::vector<int64_t> &counts) {
        auto dw = at::empty(shape, dy.options().dtype(type));
        Groups groups(counts, takes_expert_products(x, dw) && dy.scalar_type() == at::kFloat);
        if (!groups.few.empty()) expert_weight_gradients(groups.few, dy, x, dw);
        for (const auto &group : groups.many) dw.select(0, group.matrix).copy_(product(rows_of(dy, group).t(), rows_of(x, group).t()));
        // Experts that no token chose.
        for (size_t matrix = 0; matrix < counts.size(); ++matrix)
            if (counts[matrix] == 0) dw.select(0, static_cast<int64_t>(matrix)).zero_();
        return dw;
    }
};

/// The token of each sorted row, and the sorted row of each choice.
std::pair<at::Tensor, at::Tensor> order_on_device(const at::Tensor &table, int64_t *counts, size_t experts) {
    auto choices = table.reshape({-1});
    auto order = at::argsort(choices, /*stable=*/true, 0, /*descending=*/false);
    auto places = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), order.options()));
    auto sums = at::zeros({static_cast<int64_t>(experts)}, choices.options()).scatter_add_(0, choices, at::ones_like(choices)).cpu();
    std::copy_n(sums.const_data_ptr<int64_t>(), experts, counts);
    return {at::floor_divide(order, table.size(1)), places};
}

std::pair<at::Tensor, at::Tensor> order_here(const at::Tensor &table, int64_t *counts, size_t experts) {
    auto choices = table.cpu().contiguous();
    auto rows = at::empty({choices.numel()}, choices.options()), places = at::empty_like(rows);
    const int64_t *expert = choices.const_data_ptr<int64_t>();
    int64_t *row = rows.mutable_data_ptr<int64_t>(), *place = places.mutable_data_ptr<int64_t>();
    std::fill_n(counts, experts, 0);
    for (int64_t choice = 0; choice < choices.numel(); ++choice) {
        TORCH_CHECK(expert[choice] >= 0 && expert[choice] < static_cast<int64_t>(experts), "expert ", expert[choice], " of ", experts, " was chosen");
        ++counts[expert[choice]];
    }
    std::vector<int64_t> next(experts, 0);
    for (size_t i = 1; i < experts; ++i) next[i] = next[i - 1] + counts[i - 1];
    for (int64_t choice = 0; choice < choices.numel(); ++choice) {
        place[choice] = next[expert[choice]]++;
        row[place[choice]] = choice / choices.size(1);
    }
    return {rows.to(table.device()), places.to(table.device())};
}

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
        auto added = bias ? std::optional<at::Tensor>(bias->value) : std::nullopt;
        if (!c10::GradMode::is_enabled()) return grouped_product(input.contiguous(), weight, added, rows, false);
        return GroupedLinear::apply(input, weight, added, std::move(rows));
    });
}

lf_status lf_expert_order(lf_tensor_t chosen, bool on_device, int64_t *counts, size_t experts, lf_tensor_t *tokens, lf_tensor_t *places) {
    return guarded([&] {
        WithoutGrad scope;
        const auto &table = chosen->value;
        TORCH_CHECK(table.dim() == 2 && table.scalar_type() == at::kLong && table.size(1) > 0 && experts > 0, "choices of experts have the shape ",
                    table.sizes(), " and the type ", table.scalar_type());
        auto [rows, sorted_rows] = on_device ? order_on_device(table, counts, experts) : order_here(table, counts, experts);
        *tokens = adopt(rows);
        *places = adopt(sorted_rows);
    });
}
