// Adapters of a batch whose rows have different ones: low-rank updates by groups of rows.
#include "Internal.hpp"
#include "Lanes.hpp"
#include "Parallel.hpp"
#include "Profile.hpp"

#include <algorithm>

namespace lf {
namespace {

/// Rows of a group up to which its update is bound by reading A and B.
constexpr int64_t few_rows_of_update = 16;

template <typename scalar> LF_INLINE float scalar_product(const scalar *x, const scalar *w, int64_t width) {
#pragma clang fp reassociate(on) contract(fast)
    lanes sums{}, inputs, weights;
    int64_t k = 0;
    for (; k + lane_count <= width; k += lane_count) {
        load(x + k, inputs);
        load(w + k, weights);
        sums += inputs * weights;
    }
    float sum = 0;
    for (int i = 0; i < lane_count; ++i) sum += sums[i];
    for (; k < width; ++k) sum += float(x[k]) * float(w[k]);
    return sum;
}

LF_INLINE void add(const lanes &addend, float *y) {
    lanes sum;
    load(y, sum);
    sum += addend;
    store(sum, y);
}
LF_INLINE void add(const lanes &addend, c10::BFloat16 *y) {
    lanes sum;
    load(y, sum);
    sum += addend;
    word_lanes halves;
    round_to_halves(sum, halves);
    store_halves(halves, reinterpret_cast<uint16_t *>(y));
}

/// `y += (scale·x·Aᵀ)·B` of one row; `a [rank, width]`, `b [rank, outputs]`. The numbers between are float32.
template <typename scalar>
LF_INLINE void update_row(const scalar *x, const scalar *a, const scalar *b, float scale, scalar *y, int64_t rank, int64_t width,
                          int64_t outputs, float *down) {
    for (int64_t r = 0; r < rank; ++r) down[r] = scale * scalar_product(x, a + r * width, width);
    int64_t n = 0;
    for (; n + lane_count <= outputs; n += lane_count) {
        lanes sums{}, weights;
        for (int64_t r = 0; r < rank; ++r) {
            load(b + r * outputs + n, weights);
            sums += down[r] * weights;
        }
        add(sums, y + n);
    }
    for (; n < outputs; ++n) {
        float sum = 0;
        for (int64_t r = 0; r < rank; ++r) sum += down[r] * float(b[r * outputs + n]);
        y[n] = scalar(float(y[n]) + sum);
    }
}

#define LF_UPDATE_KERNEL(name, scalar)                                                                                                  \
    LF_SIMD void update_row_##name(const scalar *x, const scalar *a, const scalar *b, float scale, scalar *y, int64_t rank, int64_t width, \
                                   int64_t outputs, float *down) {                                                                     \
        update_row<scalar>(x, a, b, scale, y, rank, width, outputs, down);                                                             \
    }
LF_UPDATE_KERNEL(f32, float)
LF_UPDATE_KERNEL(bf16, c10::BFloat16)

/// A group's rows and what is added to them.
struct Update {
    int64_t begin, end;
    at::Tensor a, b;
    double scale;

    bool has_few_rows(const at::Tensor &x) const {
        bool is_known = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
        return is_known && x.is_cpu() && x.is_contiguous() && end - begin <= few_rows_of_update;
    }
};

/// The groups of few rows, in one loop over all of their rows.
template <typename scalar, typename Kernel>
void update_rows(const std::vector<Update> &updates, const at::Tensor &x, const at::Tensor &y, Kernel kernel) {
    std::vector<std::pair<int64_t, const Update *>> rows;
    int64_t rank = 1, cost = 1, width = x.size(1), outputs = y.size(1);
    for (const auto &update : updates) {
        for (int64_t row = update.begin; row < update.end; ++row) rows.emplace_back(row, &update);
        rank = std::max(rank, update.a.size(0));
        count_operations(2.0 * double(update.end - update.begin) * double(update.a.size(0)) * double(width + outputs));
    }
    cost = rank * (width + outputs);
    parallel_for(rows.size(), std::max<int64_t>(1, 65536 / std::max<int64_t>(1, cost)), [&](int64_t begin, int64_t end) {
        std::vector<float> down(rank);
        for (int64_t i = begin; i < end; ++i) {
            const auto &[row, update] = rows[i];
            kernel(elements<scalar>(x) + row * width, elements<scalar>(update->a), elements<scalar>(update->b), float(update->scale),
                   mutable_elements<scalar>(y) + row * outputs, update->a.size(0), width, outputs, down.data());
        }
    });
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_add_low_rank(lf_tensor_t y, lf_tensor_t x, const int64_t *begins, const int64_t *ends, const lf_tensor_t *a, const lf_tensor_t *b,
                          const double *scales, size_t groups) {
    return guarded([&] {
        WithoutGrad scope;
        const auto &input = x->value, &output = y->value;
        TORCH_CHECK(input.dim() == 2 && output.dim() == 2 && input.size(0) == output.size(0) && input.scalar_type() == output.scalar_type(),
                    "updates of rows of ", output.sizes(), " cannot be made of ", input.sizes());
        TORCH_CHECK(output.is_contiguous(), "rows that are updated lie one behind the other");
        std::vector<Update> few;
        for (size_t i = 0; i < groups; ++i) {
            Update update{begins[i], ends[i], a[i]->value.to(input.scalar_type()).contiguous(), b[i]->value.to(input.scalar_type()).contiguous(),
                          scales[i]};
            TORCH_CHECK(0 <= update.begin && update.begin <= update.end && update.end <= input.size(0), "rows ", update.begin, " to ",
                        update.end, " of ", input.size(0));
            TORCH_CHECK(update.a.dim() == 2 && update.b.dim() == 2 && update.a.size(0) == update.b.size(0) &&
                            update.a.size(1) == input.size(1) && update.b.size(1) == output.size(1),
                        "an adapter of shapes ", update.a.sizes(), " and ", update.b.sizes(), " does not fit rows of ", input.size(1), " and ",
                        output.size(1));
            if (update.begin == update.end) continue;
            if (update.has_few_rows(input)) {
                few.push_back(std::move(update));
                continue;
            }
            int64_t count = update.end - update.begin;
            auto down = product(input.narrow(0, update.begin, count), update.a).mul_(update.scale);
            output.narrow(0, update.begin, count).add_(product(down, update.b.t()));
        }
        if (few.empty()) return;
        if (input.scalar_type() == at::kFloat) update_rows<float>(few, input, output, update_row_f32);
        else update_rows<c10::BFloat16>(few, input, output, update_row_bf16);
    });
}
