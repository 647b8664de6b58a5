// Element-wise operations, reductions, indexing; differentiable through libtorch's own autograd.
#include "Internal.hpp"

using namespace lf;

lf_status lf_binary(lf_binary_op op, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &x = a->value, &y = b->value;
        switch (op) {
            case LF_ADD: return x + y;
            case LF_SUB: return x - y;
            case LF_MUL: return x * y;
            case LF_DIV: return x / y;
            case LF_MAXIMUM: return at::maximum(x, y);
            case LF_MINIMUM: return at::minimum(x, y);
        }
        throw std::runtime_error("unknown binary operation");
    });
}

lf_status lf_binary_scalar(lf_binary_op op, lf_tensor_t a, double b, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &x = a->value;
        switch (op) {
            case LF_ADD: return x + b;
            case LF_SUB: return x - b;
            case LF_MUL: return x * b;
            case LF_DIV: return x / b;
            case LF_MAXIMUM: return at::clamp_min(x, b);
            case LF_MINIMUM: return at::clamp_max(x, b);
        }
        throw std::runtime_error("unknown binary operation");
    });
}

lf_status lf_compare(lf_compare_op op, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &x = a->value, &y = b->value;
        switch (op) {
            case LF_GT: return x > y;
            case LF_GE: return x >= y;
            case LF_LT: return x < y;
            case LF_LE: return x <= y;
            case LF_EQ: return x == y;
            case LF_NE: return x != y;
        }
        throw std::runtime_error("unknown comparison");
    });
}

lf_status lf_compare_scalar(lf_compare_op op, lf_tensor_t a, double b, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &x = a->value;
        switch (op) {
            case LF_GT: return x > b;
            case LF_GE: return x >= b;
            case LF_LT: return x < b;
            case LF_LE: return x <= b;
            case LF_EQ: return x == b;
            case LF_NE: return x != b;
        }
        throw std::runtime_error("unknown comparison");
    });
}

lf_status lf_unary(lf_unary_op op, lf_tensor_t a, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        const auto &x = a->value;
        switch (op) {
            case LF_NEG: return -x;
            case LF_EXP: return at::exp(x);
            case LF_LOG: return at::log(x);
            case LF_LOG1P: return at::log1p(x);
            case LF_EXPM1: return at::expm1(x);
            case LF_SQRT: return at::sqrt(x);
            case LF_RSQRT: return at::rsqrt(x);
            case LF_ABS: return at::abs(x);
            case LF_SIGMOID: return at::sigmoid(x);
            case LF_LOG_SIGMOID: return at::log_sigmoid(x);
            case LF_RELU: return at::relu(x);
            case LF_SILU: return at::silu(x);
            case LF_TANH: return at::tanh(x);
            case LF_GELU: return at::gelu(x);
            case LF_GELU_TANH: return at::gelu(x, "tanh");
            case LF_SQUARE: return at::square(x);
            case LF_RECIPROCAL: return at::reciprocal(x);
            case LF_COS: return at::cos(x);
            case LF_SIN: return at::sin(x);
            case LF_IS_FINITE: return at::isfinite(x);
            case LF_LOGICAL_NOT: return at::logical_not(x);
        }
        throw std::runtime_error("unknown unary operation");
    });
}

lf_status lf_clamp(lf_tensor_t a, const double *low, const double *high, lf_tensor_t *out) {
    return returning(out, [&] {
        std::optional<at::Scalar> lower, upper;
        if (low) lower = *low;
        if (high) upper = *high;
        return at::clamp(a->value, lower, upper);
    });
}

lf_status lf_where(lf_tensor_t condition, lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out) {
    return returning(out, [&] { return at::where(condition->value, a->value, b->value); });
}

lf_status lf_reduce(lf_reduce_op op, lf_tensor_t a, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        switch (op) {
            case LF_SUM: return a->value.sum();
            case LF_MEAN: return a->value.mean();
            case LF_AMAX: return a->value.max();
            case LF_AMIN: return a->value.min();
        }
        throw std::runtime_error("unknown reduction");
    });
}

lf_status lf_reduce_dim(lf_reduce_op op, lf_tensor_t a, int64_t dim, bool keep, lf_tensor_t *out) {
    return returning(out, [&]() -> at::Tensor {
        switch (op) {
            case LF_SUM: return a->value.sum(dim, keep);
            case LF_MEAN: return a->value.mean(dim, keep);
            case LF_AMAX: return a->value.amax(dim, keep);
            case LF_AMIN: return a->value.amin(dim, keep);
        }
        throw std::runtime_error("unknown reduction");
    });
}

lf_status lf_argmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.argmax(dim); });
}
lf_status lf_softmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return at::softmax(a->value, dim); });
}
lf_status lf_log_softmax(lf_tensor_t a, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return at::log_softmax(a->value, dim); });
}
lf_status lf_logsumexp(lf_tensor_t a, int64_t dim, bool keep, lf_tensor_t *out) {
    return returning(out, [&] { return at::logsumexp(a->value, dim, keep); });
}
lf_status lf_cumsum(lf_tensor_t a, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return at::cumsum(a->value, dim); });
}
lf_status lf_topk(lf_tensor_t a, int64_t k, int64_t dim, lf_tensor_t *values, lf_tensor_t *indices) {
    return guarded([&] {
        auto [top, where] = at::topk(a->value, k, dim);
        *values = adopt(top);
        *indices = adopt(where);
    });
}
lf_status lf_sort(lf_tensor_t a, int64_t dim, bool descending, lf_tensor_t *values, lf_tensor_t *indices) {
    return guarded([&] {
        auto [sorted, where] = at::sort(a->value, dim, descending);
        *values = adopt(sorted);
        *indices = adopt(where);
    });
}

lf_status lf_matmul(lf_tensor_t a, lf_tensor_t b, lf_tensor_t *out) {
    return returning(out, [&] { return at::matmul(a->value, b->value); });
}
lf_status lf_reshape(lf_tensor_t a, const int64_t *shape, size_t rank, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.reshape({shape, rank}); });
}
lf_status lf_transpose(lf_tensor_t a, int64_t dim0, int64_t dim1, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.transpose(dim0, dim1); });
}
lf_status lf_expand(lf_tensor_t a, const int64_t *shape, size_t rank, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.expand({shape, rank}); });
}
lf_status lf_narrow(lf_tensor_t a, int64_t dim, int64_t start, int64_t length, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.narrow(dim, start, length); });
}
lf_status lf_index_select(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.index_select(dim, index->value); });
}
lf_status lf_group_sum(lf_tensor_t source, lf_tensor_t index, int64_t count, lf_tensor_t *out) {
    return returning(out, [&] {
        auto sizes = source->value.sizes().vec();
        TORCH_CHECK(!sizes.empty(), "group sums need at least one dimension");
        sizes[0] = count;
        return at::zeros(sizes, source->value.options()).index_add(0, index->value, source->value);
    });
}
lf_status lf_gather(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.gather(dim, index->value); });
}
lf_status lf_scatter(lf_tensor_t a, int64_t dim, lf_tensor_t index, lf_tensor_t source, lf_tensor_t *out) {
    return returning(out, [&] { return a->value.scatter(dim, index->value, source->value); });
}
lf_status lf_cat(const lf_tensor_t *tensors, size_t count, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return at::cat(list(tensors, count), dim); });
}
lf_status lf_stack(const lf_tensor_t *tensors, size_t count, int64_t dim, lf_tensor_t *out) {
    return returning(out, [&] { return at::stack(list(tensors, count), dim); });
}
lf_status lf_embedding(lf_tensor_t weight, lf_tensor_t ids, lf_tensor_t *out) {
    return returning(out, [&] { return at::embedding(weight->value, ids->value); });
}

// --- in place

lf_status lf_copy_in_place(lf_tensor_t target, lf_tensor_t source) {
    return guarded([&] {
        WithoutGrad scope;
        target->value.copy_(source->value);
    });
}
lf_status lf_fill_in_place(lf_tensor_t target, double value) {
    return guarded([&] {
        WithoutGrad scope;
        target->value.fill_(value);
    });
}
lf_status lf_add_in_place(lf_tensor_t target, lf_tensor_t source, double scale) {
    return guarded([&] {
        WithoutGrad scope;
        target->value.add_(source->value, scale);
    });
}
lf_status lf_mul_in_place(lf_tensor_t target, double factor) {
    return guarded([&] {
        WithoutGrad scope;
        target->value.mul_(factor);
    });
}
