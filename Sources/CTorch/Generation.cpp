// Decoding: keys and values in blocks that never move, and attention of single tokens over them.
#include "KeyValueCache.hpp"
#include "Lanes.hpp"
#include "Parallel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

void lf_kv_cache::complete(Layer &layer, const at::Tensor &k, const at::Tensor &v) const {
    while (layer.keys.size() < slabs.size()) {
        int64_t count = slabs[layer.keys.size()];
        auto add = [&](std::vector<at::Tensor> &list, std::vector<char *> &pointers, const at::Tensor &like) {
            auto slab = at::empty({count, like.size(1), block_size, like.size(2)}, like.options().requires_grad(false));
            size_t step = slab.stride(0) * slab.element_size();
            for (int64_t i = 0; i < count; ++i) pointers.push_back(static_cast<char *>(slab.data_ptr()) + i * step);
            list.push_back(std::move(slab));
        };
        add(layer.keys, layer.key_blocks, k);
        add(layer.values, layer.value_blocks, v);
    }
}

namespace lf {
namespace {

/// What makes weights of products, in the type that they are summed in; `sinks` and `slopes` of all heads, or null.
template <typename real> struct Scoring {
    real scale, softcap;
    const real *sinks, *slopes;
};

/// `row[t] = exp(row[t] - top)`; returns their sum.
LF_INLINE double raise(double *row, int64_t count, double top) {
    double sum = 0;
    for (int64_t t = 0; t < count; ++t) sum += row[t] = std::exp(row[t] - top);
    return sum;
}
LF_INLINE float raise(float *row, int64_t count, float top) {
    constexpr float per_ln2 = 1.4426950408889634f;
    lanes sums{}, x;
    for (int64_t t = 0; t < count; t += lane_count) {
        int64_t filled = std::min(lane_count, count - t);
        x = lanes{} - std::numeric_limits<float>::infinity();
        if (filled == lane_count) load(row + t, x);
        else __builtin_memcpy(&x, row + t, filled * sizeof(float));
        x = (x - top) * per_ln2;
        power_of_two(x);
        sums += x;
        if (filled == lane_count) store(x, row + t);
        else __builtin_memcpy(row + t, &x, filled * sizeof(float));
    }
    float sum = 0;
    for (int i = 0; i < lane_count; ++i) sum += sums[i];
    return sum;
}

/// One key-value head's queries of one token over its cached keys; `head` is the key-value head.
template <typename scalar>
inline __attribute__((always_inline)) void attend(const scalar *q, char *const *key_blocks, char *const *value_blocks, const int32_t *table,
                                                  int64_t head, int64_t groups, int64_t key_dim, int64_t value_dim, int64_t block_size, int64_t first,
                                                  int64_t length, const Scoring<accumulated<scalar>> &scoring,
                                                  accumulated<scalar> *scores, accumulated<scalar> *sums, scalar *out) {
#pragma clang fp reassociate(on) contract(fast)
    using real = accumulated<scalar>;
    int64_t count = length - first;
    for (int64_t block = first / block_size; block * block_size < length; ++block) {
        const scalar *keys = reinterpret_cast<const scalar *>(key_blocks[table[block]]) + head * block_size * key_dim;
        int64_t start = std::max(first, block * block_size), end = std::min(length, (block + 1) * block_size);
        for (int64_t t = start; t < end; ++t) {
            const scalar *key = keys + (t - block * block_size) * key_dim;
            for (int64_t g = 0; g < groups; ++g) {
                const scalar *query = q + g * key_dim;
                real dot = 0;
                for (int64_t i = 0; i < key_dim; ++i) dot += real(query[i]) * real(key[i]);
                dot *= scoring.scale;
                if (scoring.softcap > 0) dot = scoring.softcap * std::tanh(dot / scoring.softcap);
                if (scoring.slopes) dot += scoring.slopes[head * groups + g] * real(t - length + 1);
                scores[g * count + t - first] = dot;
            }
        }
    }
    for (int64_t g = 0; g < groups; ++g) {
        real *row = scores + g * count, top = -std::numeric_limits<real>::infinity(), total = 0;
        for (int64_t t = 0; t < count; ++t) top = std::max(top, row[t]);
        if (scoring.sinks) {
            real sink = scoring.sinks[head * groups + g];
            top = std::max(top, sink);
            total = std::exp(sink - top);
        }
        total += raise(row, count, top);
        real inverse = 1 / total;
        for (int64_t t = 0; t < count; ++t) row[t] *= inverse;
    }
    std::fill(sums, sums + groups * value_dim, real(0));
    for (int64_t block = first / block_size; block * block_size < length; ++block) {
        const scalar *values = reinterpret_cast<const scalar *>(value_blocks[table[block]]) + head * block_size * value_dim;
        int64_t start = std::max(first, block * block_size), end = std::min(length, (block + 1) * block_size);
        for (int64_t t = start; t < end; ++t) {
            const scalar *value = values + (t - block * block_size) * value_dim;
            for (int64_t g = 0; g < groups; ++g) {
                real weight = scores[g * count + t - first], *sum = sums + g * value_dim;
                for (int64_t i = 0; i < value_dim; ++i) sum[i] += weight * real(value[i]);
            }
        }
    }
    for (int64_t i = 0; i < groups * value_dim; ++i) out[i] = scalar(sums[i]);
}

#define LF_ATTEND_KERNEL(name, scalar)                                                                                                    \
    LF_SIMD void attend_##name(const scalar *q, char *const *key_blocks, char *const *value_blocks, const int32_t *table, int64_t head,    \
                               int64_t groups, int64_t key_dim, int64_t value_dim, int64_t block_size, int64_t first, int64_t length,     \
                               const Scoring<accumulated<scalar>> &scoring, accumulated<scalar> *scores, accumulated<scalar> *sums,       \
                               scalar *out) {                                                                                             \
        attend<scalar>(q, key_blocks, value_blocks, table, head, groups, key_dim, value_dim, block_size, first, length, scoring, scores,  \
                       sums, out);                                                                                                        \
    }
LF_ATTEND_KERNEL(f32, float)
LF_ATTEND_KERNEL(f64, double)
LF_ATTEND_KERNEL(bf16, c10::BFloat16)

// The kernel of a type.
inline auto kernel(float) { return attend_f32; }
inline auto kernel(double) { return attend_f64; }
inline auto kernel(c10::BFloat16) { return attend_bf16; }

template <typename scalar>
void run_attention(const lf_kv_cache &cache, const lf_kv_cache::Layer &layer, const at::Tensor &q, at::Tensor &out, const CachedRows &rows,
                   const AttentionOptions &options) {
    CachedAttention<scalar> attention(cache, layer, rows, q.size(1), options);
    const auto *queries = elements<scalar>(q);
    auto *result = mutable_elements<scalar>(out);
    parallel_for(attention.tasks(), 1, [&](int64_t begin, int64_t end) { attention.run(queries, result, begin, end); });
}

/// The same by libtorch's operations, for other devices and types: row by row.
void explicit_attention(const lf_kv_cache &cache, const lf_kv_cache::Layer &layer, const at::Tensor &q, at::Tensor &out, const CachedRows &rows,
                        const AttentionOptions &options) {
    int64_t heads = q.size(1), kv_heads = layer.keys[0].size(1), groups = heads / kv_heads;
    for (int64_t row = 0; row < rows.count; ++row) {
        int64_t first = rows.first(row), length = rows.lengths[row];
        std::vector<at::Tensor> keys, values;
        for (int64_t block = 0; block * cache.block_size < length; ++block) {
            auto [slab, index] = cache.place(rows.blocks[rows.starts[row] + block]);
            keys.push_back(layer.keys[slab].select(0, index));
            values.push_back(layer.values[slab].select(0, index));
        }
        auto key = at::cat(keys, 1).narrow(1, first, length - first).to(at::kFloat);
        auto value = at::cat(values, 1).narrow(1, first, length - first).to(at::kFloat);
        auto products = at::matmul(q.select(0, row).view({kv_heads, groups, q.size(2)}).to(at::kFloat), key.transpose(1, 2));
        auto distance = at::arange(first - length + 1, 1, products.options()).unsqueeze(0);
        auto weights = options.weights(products.view({heads, 1, length - first}), distance, at::Tensor());
        out.select(0, row).copy_(at::matmul(weights.view({kv_heads, groups, length - first}), value).reshape({heads, value.size(2)}));
    }
}

}  // namespace

void CachedRows::check(const lf_kv_cache::Layer &layer, int64_t block_size) const {
    for (int64_t row = 0; row < count; ++row) {
        TORCH_CHECK(lengths[row] > 0, "a token sees at least itself");
        for (int64_t i = 0; i * block_size < lengths[row]; ++i) {
            int64_t block = blocks[starts[row] + i];
            TORCH_CHECK(block >= 0 && block < static_cast<int64_t>(layer.key_blocks.size()), "a block outside of the cache");
        }
    }
}

template <typename scalar>
CachedAttention<scalar>::CachedAttention(const lf_kv_cache &cache, const lf_kv_cache::Layer &layer, const CachedRows &rows, int64_t heads,
                                         const AttentionOptions &options)
    : cache(cache), layer(layer), rows(rows), scale(options.scale), softcap(options.softcap) {
    auto type = c10::CppTypeToScalarType<real>::value;
    sinks = options.per_head(options.sinks, type);
    slopes = options.per_head(options.slopes, type);
    kv_heads = layer.keys[0].size(1);
    groups = heads / kv_heads;
    key_dim = layer.keys[0].size(3);
    value_dim = layer.values[0].size(3);
    for (int64_t i = 0; i < rows.count; ++i) longest = std::max(longest, rows.lengths[i] - rows.first(i));
}

template <typename scalar> void CachedAttention<scalar>::run(const scalar *q, scalar *out, int64_t begin, int64_t end) const {
    Scoring<real> scoring{scale, softcap, sinks.defined() ? elements<real>(sinks) : nullptr, slopes.defined() ? elements<real>(slopes) : nullptr};
    std::vector<real> scores(groups * longest), sums(groups * value_dim);
    for (int64_t task = begin; task < end; ++task) {
        int64_t row = task / kv_heads, head = task % kv_heads;
        kernel(scalar())(q + (row * kv_heads + head) * groups * key_dim, layer.key_blocks.data(), layer.value_blocks.data(),
                         rows.blocks + rows.starts[row], head, groups, key_dim, value_dim, cache.block_size, rows.first(row), rows.lengths[row], scoring,
                         scores.data(), sums.data(), out + (row * kv_heads + head) * groups * value_dim);
    }
}

template class CachedAttention<float>;
template class CachedAttention<double>;
template class CachedAttention<c10::BFloat16>;

}  // namespace lf

using namespace lf;

lf_status lf_kv_cache_create(size_t layers, int64_t block_size, lf_kv_cache_t *out) {
    return guarded([&] {
        TORCH_CHECK(block_size > 0, "a block holds at least one token");
        auto result = std::make_unique<lf_kv_cache>();
        result->block_size = block_size;
        result->layers.resize(layers);
        *out = result.release();
    });
}

void lf_kv_cache_free(lf_kv_cache_t cache) { delete cache; }

lf_status lf_kv_cache_reserve(lf_kv_cache_t cache, int64_t blocks) {
    return guarded([&] {
        if (blocks <= cache->blocks) return;
        // A slab for what is new: nothing that is held is copied.
        cache->slabs.push_back(blocks - cache->blocks);
        cache->blocks = blocks;
    });
}

int64_t lf_kv_cache_blocks(lf_kv_cache_t cache) { return cache->blocks; }

lf_status lf_kv_cache_write(lf_kv_cache_t cache, size_t layer, lf_tensor_t k, lf_tensor_t v, const int64_t *slots, size_t count) {
    return guarded([&] {
        WithoutGrad scope;
        auto keys = k->value.contiguous(), values = v->value.contiguous();
        TORCH_CHECK(layer < cache->layers.size() && keys.dim() == 3 && values.dim() == 3 && keys.size(0) >= static_cast<int64_t>(count) &&
                        values.size(0) == keys.size(0) && values.size(1) == keys.size(1),
                    "keys and values do not fit the cache");
        auto &held = cache->layers[layer];
        cache->complete(held, keys, values);
        auto fits = [](const at::Tensor &slab, const at::Tensor &x) {
            return slab.scalar_type() == x.scalar_type() && slab.size(1) == x.size(1) && slab.size(3) == x.size(2);
        };
        TORCH_CHECK(count == 0 || (!held.keys.empty() && fits(held.keys[0], keys) && fits(held.values[0], values)),
                    "keys and values differ from those that the cache holds");
        for (size_t row = 0; row < count; ++row) TORCH_CHECK(slots[row] >= 0 && slots[row] < cache->blocks * cache->block_size, "a slot outside of the cache");
        auto store = [&](const at::Tensor &x, const std::vector<at::Tensor> &slabs, const std::vector<char *> &blocks) {
            if (x.is_cpu()) {
                size_t width = x.size(2) * x.element_size();
                const char *source = static_cast<const char *>(x.const_data_ptr());
                for (size_t row = 0; row < count; ++row) {
                    char *block = blocks[slots[row] / cache->block_size];
                    for (int64_t head = 0; head < x.size(1); ++head, source += width)
                        std::memcpy(block + (head * cache->block_size + slots[row] % cache->block_size) * width, source, width);
                }
                return;
            }
            for (size_t row = 0; row < count; ++row) {
                auto [slab, index] = cache->place(slots[row] / cache->block_size);
                slabs[slab].select(0, index).select(1, slots[row] % cache->block_size).copy_(x.select(0, row));
            }
        };
        store(keys, held.keys, held.key_blocks);
        store(values, held.values, held.value_blocks);
    });
}

lf_status lf_kv_cache_copy_block(lf_kv_cache_t cache, int64_t from, int64_t to) {
    return guarded([&] {
        WithoutGrad scope;
        TORCH_CHECK(from >= 0 && to >= 0 && from < cache->blocks && to < cache->blocks, "a block outside of the cache");
        auto [source_slab, source] = cache->place(from);
        auto [target_slab, target] = cache->place(to);
        for (auto &layer : cache->layers) {
            if (layer.keys.empty()) continue;
            cache->complete(layer, layer.keys[0].select(0, 0).transpose(0, 1), layer.values[0].select(0, 0).transpose(0, 1));
            layer.keys[target_slab].select(0, target).copy_(layer.keys[source_slab].select(0, source));
            layer.values[target_slab].select(0, target).copy_(layer.values[source_slab].select(0, source));
        }
    });
}

lf_status lf_kv_cache_attention(lf_kv_cache_t cache, size_t layer, lf_tensor_t q, const int64_t *lengths, const int64_t *starts,
                                const int32_t *blocks, size_t count, const lf_attention_options *options, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        auto query = q->value.contiguous();
        TORCH_CHECK(layer < cache->layers.size() && !cache->layers[layer].keys.empty(), "the cache holds nothing for this layer");
        const auto &held = cache->layers[layer];
        const auto &key = held.keys[0];
        TORCH_CHECK(query.dim() == 3 && query.size(0) >= static_cast<int64_t>(count) && query.size(1) % key.size(1) == 0 &&
                        query.size(2) == key.size(3) && query.scalar_type() == key.scalar_type(),
                    "queries do not fit the cached keys");
        AttentionOptions how(*options, query.size(1));
        CachedRows rows{lengths, starts, blocks, static_cast<int64_t>(count), how.window};
        rows.check(held, cache->block_size);
        auto result = at::zeros({query.size(0), query.size(1), held.values[0].size(3)}, query.options());
        if (!query.is_cpu()) explicit_attention(*cache, held, query, result, rows, how);
        else if (query.scalar_type() == at::kFloat) run_attention<float>(*cache, held, query, result, rows, how);
        else if (query.scalar_type() == at::kDouble) run_attention<double>(*cache, held, query, result, rows, how);
        else if (query.scalar_type() == at::kBFloat16) run_attention<c10::BFloat16>(*cache, held, query, result, rows, how);
        else explicit_attention(*cache, held, query, result, rows, how);
        return result;
    });
}

lf_status lf_kv_cache_prefix_attention(lf_kv_cache_t cache, size_t layer, lf_tensor_t q, lf_tensor_t k, lf_tensor_t v, const int64_t *slots, size_t count,
                                       lf_segments_t segments, const lf_attention_options *options, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        TORCH_CHECK(layer < cache->layers.size() && !cache->layers[layer].keys.empty(), "the cache holds nothing for this layer");
        TORCH_CHECK(segments->held_tokens == static_cast<int64_t>(count), "the segments hold ", segments->held_tokens, " tokens, ", count, " slots are given");
        const auto &held = cache->layers[layer];
        for (size_t i = 0; i < count; ++i)
            TORCH_CHECK(slots[i] >= 0 && slots[i] < static_cast<int64_t>(held.key_blocks.size()) * cache->block_size, "a slot outside of the cache");
        auto with_held = [&](const at::Tensor &x, const std::vector<at::Tensor> &slabs, const std::vector<char *> &blocks) {
            TORCH_CHECK(x.dim() == 3 && slabs[0].size(1) == x.size(1) && slabs[0].size(3) == x.size(2) && slabs[0].scalar_type() == x.scalar_type(),
                        "keys and values differ from those that the cache holds");
            auto all = at::empty({static_cast<int64_t>(count) + x.size(0), x.size(1), x.size(2)}, x.options().requires_grad(false));
            all.narrow(0, count, x.size(0)).copy_(x);
            if (x.is_cpu()) {
                size_t width = x.size(2) * x.element_size();
                char *target = static_cast<char *>(all.mutable_data_ptr());
                for (size_t row = 0; row < count; ++row) {
                    const char *block = blocks[slots[row] / cache->block_size];
                    for (int64_t head = 0; head < x.size(1); ++head, target += width)
                        std::memcpy(target, block + (head * cache->block_size + slots[row] % cache->block_size) * width, width);
                }
                return all;
            }
            // Runs of neighbouring slots are copied at once: `[kvHeads, run, d]` to `[run, kvHeads, d]`.
            for (size_t row = 0; row < count;) {
                int64_t place = slots[row] % cache->block_size, run = 1;
                while (row + run < count && place + run < cache->block_size && slots[row + run] == slots[row] + run) ++run;
                auto [slab, index] = cache->place(slots[row] / cache->block_size);
                all.narrow(0, row, run).copy_(slabs[slab].select(0, index).narrow(1, place, run).transpose(0, 1));
                row += run;
            }
            return all;
        };
        return segment_attention(q->value, with_held(k->value, held.keys, held.key_blocks), with_held(v->value, held.values, held.value_blocks), *segments,
                                 AttentionOptions(*options, q->value.size(1)));
    });
}
