// A pass of few rows through a model's blocks: operations that are noted one after the other and then done in one parallel region.
//
// As single operations a step of decoding spends a third of its time between the products: in calls, allocations and in waking threads. Here
// threads stay together from the first block to the last, and each does its share of every operation. The numbers are those of the single
// operations: the same loops over the same rows.
#include "Decoding.h"
#include "FewRows.hpp"
#include "KeyValueCache.hpp"
#include "Profile.hpp"
#include "RowKernels.hpp"
#include "Team.hpp"

#include <exception>
#include <functional>
#include <mutex>

using namespace lf;

/// What the C interface sees of a program, whatever its type of numbers. Matrices of its rows have numbers; 0 is the stream.
struct lf_row_program {
    virtual ~lf_row_program() = default;
    virtual bool takes(const at::Tensor &weight) const = 0;
    virtual void begin_block() = 0;
    virtual int64_t norm(int64_t x, const at::Tensor &w, double eps) = 0;
    virtual void products(int64_t x, const lf_linear_layer *layers, size_t count, int64_t *outs) = 0;
    virtual int64_t gated(int64_t x, const lf_linear_layer &gate, const lf_linear_layer &up) = 0;
    virtual int64_t attention(int64_t q, int64_t k, int64_t v, int64_t heads, const lf_head_preparation &how, size_t layer,
                              const lf_attention_options &options) = 0;
    virtual void add(int64_t x, double scale) = 0;
    virtual void add_linear(int64_t x, const lf_linear_layer &layer, double scale) = 0;
    virtual at::Tensor run() = 0;
};

namespace lf {
namespace {

/// The tokens of the rows: where they are stored, and what they see.
struct Tokens {
    lf_kv_cache_t cache;
    std::vector<int64_t> slots, lengths, starts;
    std::vector<int32_t> blocks;
};

int64_t tiles(int64_t outputs) { return (outputs + few_rows_tile - 1) / few_rows_tile; }

/// `x += scale · y`, rounded as two operations would round it.
template <typename scalar> void add_scaled(scalar *x, const scalar *y, double scale, int64_t count) {
#pragma clang fp contract(off)
    if (scale == 1) {
        for (int64_t i = 0; i < count; ++i) x[i] = scalar(float(x[i]) + float(y[i]));
        return;
    }
    float factor = scale;
    for (int64_t i = 0; i < count; ++i) x[i] = scalar(float(x[i]) + float(scalar(float(y[i]) * factor)));
}

template <typename scalar> class RowProgram final : public lf_row_program {
    struct Matrix {
        scalar *data;
        int64_t width;
    };
    /// `y = x·wᵀ + bias`.
    struct Product {
        const scalar *x, *w, *bias;
        scalar *y;
        int64_t width, outputs;
    };
    /// What a member of the team does between two meetings.
    using Phase = std::function<void(const TeamMember &)>;

    at::Tensor stream, turned;
    int64_t rows;
    Tokens tokens;
    std::vector<Matrix> matrices;
    std::vector<Phase> phases;
    /// The matrices' memory, which every block uses anew.
    std::vector<at::Tensor> buffers;
    size_t used = 0;
    /// What phases read.
    std::vector<at::Tensor> held;
    /// Multiplications and additions of products.
    double operations = 0;

public:
    RowProgram(const at::Tensor &x, Tokens tokens) : stream(x.clone(at::MemoryFormat::Contiguous)), rows(x.size(0)), tokens(std::move(tokens)) {
        matrices.push_back({mutable_elements<scalar>(stream), x.size(1)});
    }

    bool takes(const at::Tensor &weight) const override {
        return weight.is_cpu() && weight.is_contiguous() && weight.scalar_type() == stream.scalar_type();
    }

    void begin_block() override { used = 0; }

    int64_t norm(int64_t x, const at::Tensor &w, double eps) override {
        auto from = matrix(x);
        TORCH_CHECK(takes(w) && w.dim() == 1 && w.size(0) > 0 && from.width % w.size(0) == 0, "the norm's weight does not fit the rows");
        int64_t width = w.size(0), count = rows * from.width / width, to = make(from.width);
        scalar *y = matrices[to].data;
        const scalar *weight = elements<scalar>(hold(w));
        phases.push_back([=](const TeamMember &member) {
            auto [begin, end] = member.share(count);
            for (int64_t i = begin; i < end; ++i) norm_row(from.data + i * width, weight, y + i * width, width, eps);
        });
        return to;
    }

    void products(int64_t x, const lf_linear_layer *layers, size_t count, int64_t *outs) override {
        std::vector<Product> all;
        for (size_t i = 0; i < count; ++i) {
            outs[i] = make(layers[i].w->value.size(0));
            all.push_back(product(x, layers[i], matrices[outs[i]]));
        }
        turn(x);
        phases.push_back([this, all](const TeamMember &member) {
            for (const auto &one : all) multiply(one, member);
        });
    }

    int64_t gated(int64_t x, const lf_linear_layer &gate, const lf_linear_layer &up) override {
        int64_t inner = gate.w->value.size(0);
        TORCH_CHECK(up.w->value.size(0) == inner, "gates of ", inner, " numbers do not fit values of ", up.w->value.size(0));
        int64_t gates = make(inner), values = make(inner), to = make(inner);
        auto first = product(x, gate, matrices[gates]), second = product(x, up, matrices[values]);
        scalar *y = matrices[to].data;
        turn(x);
        phases.push_back([this, first, second, y, inner](const TeamMember &member) {
            auto [begin, end] = multiply(first, member);
            multiply(second, member);
            if (begin == end) return;
            for (int64_t row = 0; row < rows; ++row)
                gate_row(first.y + row * inner + begin, second.y + row * inner + begin, y + row * inner + begin, end - begin);
        });
        return to;
    }

    int64_t attention(int64_t q, int64_t k, int64_t v, int64_t heads, const lf_head_preparation &how, size_t layer,
                      const lf_attention_options &options) override {
        auto queries = matrix(q), keys = matrix(k), values = matrix(v);
        TORCH_CHECK(heads > 0 && queries.width % heads == 0, "queries do not fit their heads");
        int64_t dim = queries.width / heads;
        TORCH_CHECK(keys.width % dim == 0 && heads % (keys.width / dim) == 0 && values.width % (keys.width / dim) == 0, "keys and values do not fit queries");
        int64_t kv_heads = keys.width / dim, value_dim = values.width / kv_heads;
        auto &held_layer = cache_layer(layer, kv_heads, dim, value_dim);
        Heads of_queries(*this, how.q_norm, how.q_epsilon, how, dim), of_keys(*this, how.k_norm, how.k_epsilon, how, dim);
        int64_t turned_queries = make(queries.width), spare = make(queries.width + keys.width), to = make(heads * value_dim);
        scalar *ready = matrices[turned_queries].data, *spares = matrices[spare].data, *out = matrices[to].data;
        auto *cache = tokens.cache;
        phases.push_back([=, this, &held_layer](const TeamMember &member) {
            auto [begin, end] = member.share(rows * (heads + kv_heads));
            for (int64_t unit = begin; unit < end; ++unit) {
                int64_t row = unit / (heads + kv_heads), head = unit % (heads + kv_heads), slot = tokens.slots[row];
                if (head < heads) {
                    int64_t place = (row * heads + head) * dim;
                    of_queries(queries.data + place, spares + unit * dim, ready + place, row);
                    continue;
                }
                head -= heads;
                auto *key = reinterpret_cast<scalar *>(cache->row(held_layer.key_blocks, slot, head, dim * sizeof(scalar)));
                of_keys(keys.data + (row * kv_heads + head) * dim, spares + unit * dim, key, row);
                std::memcpy(cache->row(held_layer.value_blocks, slot, head, value_dim * sizeof(scalar)),
                            values.data + (row * kv_heads + head) * value_dim, value_dim * sizeof(scalar));
            }
        });
        AttentionOptions checked(options, heads);
        CachedRows seen{tokens.lengths.data(), tokens.starts.data(), tokens.blocks.data(), rows, checked.window};
        seen.check(held_layer, cache->block_size);
        CachedAttention<scalar> attention(*cache, held_layer, seen, heads, checked);
        phases.push_back([=](const TeamMember &member) {
            auto [begin, end] = member.share(attention.tasks());
            if (begin < end) attention.run(ready, out, begin, end);
        });
        return to;
    }

    void add(int64_t x, double scale) override {
        auto from = matrix(x), to = matrices[0];
        TORCH_CHECK(from.width == to.width, "rows of ", from.width, " numbers do not fit a stream of ", to.width);
        int64_t count = rows * to.width;
        phases.push_back([=](const TeamMember &member) {
            auto [begin, end] = member.share(count);
            add_scaled(to.data + begin, from.data + begin, scale, end - begin);
        });
    }

    void add_linear(int64_t x, const lf_linear_layer &layer, double scale) override {
        auto to = matrices[0];
        TORCH_CHECK(layer.w->value.size(0) == to.width, "rows of ", layer.w->value.size(0), " numbers do not fit a stream of ", to.width);
        auto one = product(x, layer, matrices[make(to.width)]);
        turn(x);
        phases.push_back([=, this](const TeamMember &member) {
            auto [begin, end] = multiply(one, member);
            for (int64_t row = 0; row < rows; ++row) add_scaled(to.data + row * to.width + begin, one.y + row * to.width + begin, scale, end - begin);
        });
    }

    at::Tensor run() override {
        count_operations(operations);
        std::mutex mutex;
        std::exception_ptr error;
        in_team([&](const TeamMember &member) {
            for (const auto &phase : phases) {
                try {
                    phase(member);
                } catch (...) {
                    // The others wait for this member at every meeting.
                    std::lock_guard lock(mutex);
                    if (!error) error = std::current_exception();
                }
                member.meet();
            }
        });
        if (error) std::rethrow_exception(error);
        return stream;
    }

private:
    /// What becomes of a head before attention: normalised and turned by its token's position, or one of these, or neither.
    struct Heads {
        const scalar *weight = nullptr;
        double eps;
        const float *cos = nullptr, *sin = nullptr;
        int64_t half = 0, dim;
        bool interleaved, norm_comes_last;

        Heads(RowProgram &program, lf_tensor_t norm, double eps, const lf_head_preparation &how, int64_t dim)
            : eps(eps), dim(dim), interleaved(how.interleaved), norm_comes_last(how.norms_come_last) {
            if (norm) {
                TORCH_CHECK(program.takes(norm->value) && norm->value.dim() == 1 && norm->value.size(0) == dim, "the norm's weight does not fit a head");
                weight = elements<scalar>(program.hold(norm->value));
            }
            if (!how.cos) return;
            const auto &c = how.cos->value, &s = how.sin->value;
            TORCH_CHECK(c.dim() == 2 && c.size(0) == program.rows && 2 * c.size(1) <= dim && c.sizes() == s.sizes() && c.is_contiguous() && s.is_contiguous(),
                        "rotary tables do not fit the heads");
            half = c.size(1);
            cos = elements<float>(program.hold(c));
            sin = elements<float>(program.hold(s));
        }

        void operator()(const scalar *x, scalar *spare, scalar *y, int64_t row) const {
            auto turn = [&](const scalar *from, scalar *to) { rotate_head(from, cos + row * half, sin + row * half, to, dim, half, interleaved); };
            if (!weight && !cos) std::memcpy(y, x, dim * sizeof(scalar));
            else if (!weight) turn(x, y);
            else if (!cos) norm_row(x, weight, y, dim, eps);
            else if (norm_comes_last) turn(x, spare), norm_row(spare, weight, y, dim, eps);
            else norm_row(x, weight, spare, dim, eps), turn(spare, y);
        }
    };

    const at::Tensor &hold(const at::Tensor &tensor) {
        held.push_back(tensor);
        return held.back();
    }

    Matrix matrix(int64_t index) const {
        TORCH_CHECK(index >= 0 && index < static_cast<int64_t>(matrices.size()), "the program has no matrix ", index);
        return matrices[index];
    }

    /// A matrix that is a block's own.
    int64_t make(int64_t width) {
        if (used == buffers.size()) buffers.emplace_back();
        auto &buffer = buffers[used++];
        if (!buffer.defined() || buffer.numel() < rows * width) buffer = hold(at::empty({rows * width}, stream.options()));
        matrices.push_back({mutable_elements<scalar>(buffer), width});
        return matrices.size() - 1;
    }

    Product product(int64_t x, const lf_linear_layer &layer, const Matrix &to) {
        auto from = matrix(x);
        const auto &w = layer.w->value;
        TORCH_CHECK(!layer.a && takes(w) && w.dim() == 2 && w.size(1) == from.width, "rows of ", from.width, " numbers do not fit a weight of shape ",
                    w.sizes());
        TORCH_CHECK(!layer.bias || (layer.bias->value.dim() == 1 && layer.bias->value.size(0) == w.size(0)), "a bias does not fit its weight");
        operations += 2.0 * double(rows) * double(w.size(0)) * double(w.size(1));
        const scalar *bias = layer.bias ? elements<scalar>(hold(layer.bias->value.to(stream.scalar_type()).contiguous())) : nullptr;
        return {from.data, elements<scalar>(hold(w)), bias, to.data, from.width, w.size(0)};
    }

    /// Many rows are read turned.
    void turn(int64_t x) {
        if (!are_turned(rows)) return;
        auto from = matrix(x);
        if (!turned.defined() || turned.numel() < turned_size(from.width)) turned = at::empty({turned_size(from.width)}, stream.options().dtype(at::kFloat));
        phases.push_back([this, from](const TeamMember &member) {
            auto [first, last] = member.share(tiles(from.width));
            turn_few_rows(from.data, rows, from.width, mutable_elements<float>(turned), first, last);
        });
    }

    /// Computes a member's share of outputs, and returns which these are.
    std::pair<int64_t, int64_t> multiply(const Product &p, const TeamMember &member) const {
        auto [first, last] = member.share(tiles(p.outputs));
        int64_t begin = first * few_rows_tile, end = std::min(p.outputs, last * few_rows_tile);
        const float *inputs = are_turned(rows) ? elements<float>(turned) : nullptr;
        if (begin < end) multiply_few_rows(p.x, inputs, p.w, p.bias, p.y, rows, p.width, p.outputs, begin, end);
        return {std::min(begin, end), end};
    }

    lf_kv_cache::Layer &cache_layer(size_t layer, int64_t kv_heads, int64_t dim, int64_t value_dim) {
        auto &cache = *tokens.cache;
        TORCH_CHECK(layer < cache.layers.size(), "the cache has no layer ", layer);
        auto &found = cache.layers[layer];
        auto like = [&](int64_t width) { return at::empty({0, kv_heads, width}, stream.options()); };
        if (found.keys.size() < cache.slabs.size()) cache.complete(found, like(dim), like(value_dim));
        TORCH_CHECK(!found.keys.empty(), "the cache has no room");
        auto fits = [&](const at::Tensor &slab, int64_t width) {
            return slab.is_cpu() && slab.scalar_type() == stream.scalar_type() && slab.size(1) == kv_heads && slab.size(3) == width;
        };
        TORCH_CHECK(fits(found.keys[0], dim) && fits(found.values[0], value_dim), "keys and values differ from those that the cache holds");
        for (int64_t slot : tokens.slots) TORCH_CHECK(slot >= 0 && slot < cache.blocks * cache.block_size, "a slot outside of the cache");
        return found;
    }
};

}  // namespace
}  // namespace lf

bool lf_row_program_fits(lf_tensor_t x) {
    const auto &stream = x->value;
    return stream.is_cpu() && stream.dim() == 2 && stream.size(0) > 0 && stream.size(0) <= most_few_rows &&
           (stream.scalar_type() == at::kFloat || stream.scalar_type() == at::kBFloat16);
}

lf_status lf_row_program_create(lf_tensor_t x, lf_kv_cache_t cache, const int64_t *slots, const int64_t *lengths, const int64_t *starts,
                                const int32_t *blocks, size_t block_count, lf_row_program_t *out) {
    return guarded([&] {
        WithoutGrad scope;
        TORCH_CHECK(lf_row_program_fits(x), "a program does not take rows of shape ", x->value.sizes());
        size_t rows = x->value.size(0);
        Tokens tokens{cache, {slots, slots + rows}, {lengths, lengths + rows}, {starts, starts + rows}, {blocks, blocks + block_count}};
        if (x->value.scalar_type() == at::kFloat) *out = new RowProgram<float>(x->value, std::move(tokens));
        else *out = new RowProgram<c10::BFloat16>(x->value, std::move(tokens));
    });
}
void lf_row_program_free(lf_row_program_t program) { delete program; }
bool lf_row_program_takes(lf_row_program_t program, lf_tensor_t weight) { return program->takes(weight->value); }
void lf_row_program_begin_block(lf_row_program_t program) { program->begin_block(); }
lf_status lf_row_program_norm(lf_row_program_t program, int64_t x, lf_tensor_t w, double eps, int64_t *out) {
    return guarded([&] { *out = program->norm(x, w->value, eps); });
}
lf_status lf_row_program_linears(lf_row_program_t program, int64_t x, const lf_linear_layer *layers, size_t count, int64_t *outs) {
    return guarded([&] { program->products(x, layers, count, outs); });
}
lf_status lf_row_program_gated(lf_row_program_t program, int64_t x, const lf_linear_layer *gate, const lf_linear_layer *up, int64_t *out) {
    return guarded([&] { *out = program->gated(x, *gate, *up); });
}
lf_status lf_row_program_attention(lf_row_program_t program, int64_t q, int64_t k, int64_t v, int64_t heads, const lf_head_preparation *preparation,
                                   size_t layer, const lf_attention_options *options, int64_t *out) {
    return guarded([&] {
        WithoutGrad scope;
        *out = program->attention(q, k, v, heads, *preparation, layer, *options);
    });
}
lf_status lf_row_program_add(lf_row_program_t program, int64_t x, double scale) {
    return guarded([&] { program->add(x, scale); });
}
lf_status lf_row_program_add_linear(lf_row_program_t program, int64_t x, const lf_linear_layer *layer, double scale) {
    return guarded([&] { program->add_linear(x, *layer, scale); });
}
lf_status lf_row_program_run(lf_row_program_t program, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        return program->run();
    });
}
