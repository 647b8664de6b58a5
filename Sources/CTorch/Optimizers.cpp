// What optimizers do to all parameters at once.
#include "Lanes.hpp"
#include "Parallel.hpp"

#include <algorithm>
#include <cmath>

namespace lf {
namespace {

/// A step's numbers: those of AdamW, and what gradients are multiplied by before they are used.
struct AdamW {
    float gradient_scale, decay, first_share, second_decay, second_share, step_size, root_of_correction, epsilon;
};

template <typename scalar>
LF_INLINE void update_lanes(const AdamW &by, scalar *parameter, const scalar *gradient, scalar *first, scalar *second) {
#pragma clang fp contract(fast)
    lanes p, g, m, v;
    load(parameter, p);
    load(gradient, g);
    load(first, m);
    load(second, v);
    g *= by.gradient_scale;
    round_as(g, gradient);
    p *= by.decay;
    m += by.first_share * (g - m);
    v = by.second_decay * v + by.second_share * g * g;
    p -= by.step_size * m / (__builtin_elementwise_sqrt(v) / by.root_of_correction + by.epsilon);
    store_rounded(p, parameter);
    store_rounded(m, first);
    store_rounded(v, second);
}

template <typename scalar>
LF_INLINE void update_all(const AdamW &by, scalar *parameter, const scalar *gradient, scalar *first, scalar *second, int64_t count) {
    int64_t i = 0;
    for (; i + lane_count <= count; i += lane_count) update_lanes(by, parameter + i, gradient + i, first + i, second + i);
    if (i == count) return;
    scalar rest[4][lane_count] = {};
    scalar *from[4] = {parameter + i, const_cast<scalar *>(gradient) + i, first + i, second + i};
    for (int part = 0; part < 4; ++part) std::copy_n(from[part], count - i, rest[part]);
    update_lanes(by, rest[0], rest[1], rest[2], rest[3]);
    for (int part : {0, 2, 3}) std::copy_n(rest[part], count - i, from[part]);
}

LF_SIMD void update(const AdamW &by, float *parameter, const float *gradient, float *first, float *second, int64_t count) {
    update_all(by, parameter, gradient, first, second, count);
}
LF_SIMD void update(const AdamW &by, c10::BFloat16 *parameter, const c10::BFloat16 *gradient, c10::BFloat16 *first, c10::BFloat16 *second,
                    int64_t count) {
    update_all(by, parameter, gradient, first, second, count);
}

/// A parameter with all that belongs to it.
struct Member {
    at::Tensor parameter, gradient, first, second, steps;

    bool has_kernel() const {
        auto type = parameter.scalar_type();
        auto fits = [&](const at::Tensor &x) { return x.is_cpu() && x.scalar_type() == type && x.is_contiguous() && x.numel() == parameter.numel(); };
        return (type == at::kFloat || type == at::kBFloat16) && fits(parameter) && fits(gradient) && fits(first) && fits(second) && steps.is_cpu() &&
               steps.scalar_type() == at::kFloat;
    }
};

/// Some of a member's numbers.
struct Piece {
    size_t member;
    int64_t begin, end;
};

template <typename scalar> void update_piece(const AdamW &by, const Member &of, const Piece &piece) {
    update(by, mutable_elements<scalar>(of.parameter) + piece.begin, elements<scalar>(of.gradient) + piece.begin,
           mutable_elements<scalar>(of.first) + piece.begin, mutable_elements<scalar>(of.second) + piece.begin, piece.end - piece.begin);
}

/// All members in one parallel loop, and each number read once.
void update_members(const std::vector<Member> &members, double gradient_scale, double learning_rate, double beta1, double beta2, double weight_decay,
                    double epsilon) {
    constexpr int64_t numbers = 8192;
    std::vector<AdamW> settings;
    std::vector<Piece> pieces;
    for (size_t i = 0; i < members.size(); ++i) {
        double steps = mutable_elements<float>(members[i].steps)[0] += 1;
        settings.push_back({float(gradient_scale), float(1 - learning_rate * weight_decay), float(1 - beta1), float(beta2),
                            float(1 - beta2), float(learning_rate / (1 - std::pow(beta1, steps))), float(std::sqrt(1 - std::pow(beta2, steps))), float(epsilon)});
        int64_t count = members[i].parameter.numel();
        for (int64_t begin = 0; begin < count; begin += numbers) pieces.push_back({i, begin, std::min(begin + numbers, count)});
    }
    parallel_for(pieces.size(), 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const auto &member = members[pieces[i].member];
            if (member.parameter.scalar_type() == at::kFloat) update_piece<float>(settings[pieces[i].member], member, pieces[i]);
            else update_piece<c10::BFloat16>(settings[pieces[i].member], member, pieces[i]);
        }
    });
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_total_norm(const lf_tensor_t *tensors, size_t count, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        if (count == 0) return at::zeros({});
        auto norms = at::_foreach_norm(list(tensors, count), 2);
        for (auto &norm : norms) norm = norm.to(at::kFloat);
        return at::linalg_vector_norm(at::stack(norms), 2);
    });
}

lf_status lf_scale_all(const lf_tensor_t *tensors, size_t count, lf_tensor_t factor) {
    return guarded([&] {
        WithoutGrad scope;
        if (count > 0) at::_foreach_mul_(list(tensors, count), factor->value);
    });
}

lf_status lf_adamw_step(const lf_tensor_t *parameters, const lf_tensor_t *gradients, const lf_tensor_t *first_moments,
                        const lf_tensor_t *second_moments, const lf_tensor_t *steps, size_t count, lf_tensor_t gradient_scale, double learning_rate,
                        double beta1, double beta2, double weight_decay, double epsilon) {
    return guarded([&] {
        WithoutGrad scope;
        if (count == 0) return;
        std::vector<Member> members;
        bool has_kernel = !gradient_scale || gradient_scale->value.is_cpu();
        for (size_t i = 0; i < count; ++i) {
            members.push_back({parameters[i]->value, gradients[i]->value, first_moments[i]->value, second_moments[i]->value, steps[i]->value});
            has_kernel = has_kernel && members.back().has_kernel();
        }
        if (has_kernel) {
            double scale = gradient_scale ? gradient_scale->value.item<double>() : 1;
            return update_members(members, scale, learning_rate, beta1, beta2, weight_decay, epsilon);
        }
        if (gradient_scale) at::_foreach_mul_(list(gradients, count), gradient_scale->value);
        auto step_counts = list(steps, count);
        at::_foreach_add_(step_counts, 1);
        at::_fused_adamw_(list(parameters, count), list(gradients, count), list(first_moments, count), list(second_moments, count), {},
                          step_counts, learning_rate, beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false);
    });
}
