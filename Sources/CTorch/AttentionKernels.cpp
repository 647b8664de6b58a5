// Attention off the CPU by the shim's own kernels: a launch forward and two backward, whatever the number of segments.
#include "KernelLayers.hpp"

#include "Kernels/Machine.hpp"
#include "Kernels/Attention.hpp"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace lf {

using kernels::data;
using kernels::launch;
using kernels::type_name;

namespace {

/// What kernels read of a stream's segments, in one tensor on the device.
struct KernelTables {
    at::Tensor all;
    int64_t segments, query_tiles, key_tiles, runs;  // where each begins, in numbers
    int64_t query_tile_count = 0, key_tile_count = 0;

    KernelTables(const lf_segments &of, int tile, const at::Device &device) {
        std::vector<int32_t> numbers;
        auto put = [&](std::initializer_list<int64_t> values) {
            for (int64_t value : values) numbers.push_back(int32_t(value));
        };
        segments = 0;
        for (const auto &segment : of.list) put({segment.start, segment.length, segment.prefix, segment.offset});
        query_tiles = numbers.size();
        // Which runs see a segment: those of the segment itself, and of all that continue it.
        std::vector<std::vector<lf_machine::QueryRun>> seeing(of.list.size());
        int64_t row = 0;
        for (const auto &run : of.queries) {
            const auto &segment = of.list[run.segment];
            int64_t place = segment.offset + run.start - segment.start;
            for (int64_t s = run.segment; s >= 0; s = of.list[s].prefix) seeing[s].push_back({int(row), int(run.length), int(place)});
            for (int64_t first = 0; first < run.length; first += tile, ++query_tile_count)
                put({row + first, std::min<int64_t>(tile, run.length - first), run.segment, place + first});
            row += run.length;
        }
        key_tiles = numbers.size();
        int64_t first_run = 0;
        for (size_t s = 0; s < of.list.size(); ++s) {
            const auto &segment = of.list[s];
            int64_t count = seeing[s].size();
            for (int64_t first = 0; first < segment.length; first += tile, ++key_tile_count)
                put({segment.start + first, std::min<int64_t>(tile, segment.length - first), segment.offset + first, first_run, count});
            first_run += count;
        }
        runs = numbers.size();
        for (const auto &list : seeing)
            for (const auto &run : list) put({run.row, run.count, run.place});
        all = at::from_blob(numbers.data(), {int64_t(numbers.size())}, at::kInt).to(device, /*non_blocking=*/true);
    }
};

/// What a layer's kernels are called with.
struct Setup : torch::CustomClassHolder {
    std::shared_ptr<KernelTables> tables;
    double scale, softcap;
    int64_t window;
    at::Tensor slopes;

    lf_machine::AttentionCall call(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) const {
        lf_machine::AttentionCall result{};
        result.q = data(q), result.k = data(k), result.v = data(v), result.slopes = data(slopes);
        const auto *numbers = data<const int32_t>(tables->all);
        result.segments = reinterpret_cast<const lf_machine::AttentionSegment *>(numbers + tables->segments);
        result.query_tiles = reinterpret_cast<const lf_machine::QueryTile *>(numbers + tables->query_tiles);
        result.key_tiles = reinterpret_cast<const lf_machine::KeyTile *>(numbers + tables->key_tiles);
        result.runs = reinterpret_cast<const lf_machine::QueryRun *>(numbers + tables->runs);
        result.heads = int(q.size(1)), result.kv_heads = int(k.size(1)), result.d = int(q.size(2)), result.e = int(v.size(2));
        result.window = int(window), result.rows = int(q.size(0)), result.scale = scale, result.softcap = softcap;
        return result;
    }
};

at::ScalarType wide_type(const at::Tensor &x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }
const char *wide_name(const at::Tensor &x) { return x.scalar_type() == at::kDouble ? "double" : "float"; }

std::string instance(const char *kernel, const at::Tensor &q, const at::Tensor &v) {
    int64_t width = std::max(q.size(2), v.size(2));
    return c10::str("attention_", kernel, "<", type_name(q.scalar_type()), ", ", wide_name(q), ", ", width <= 64 ? 64 : width <= 128 ? 128 : 256, ">");
}

struct KernelAttention : Function<KernelAttention> {
    static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const std::optional<at::Tensor> &sinks,
                              c10::intrusive_ptr<Setup> setup) {
        auto queries = q.contiguous(), keys = k.contiguous(), values = v.contiguous();
        auto logits = sinks ? sinks->to(wide_type(q)).contiguous() : at::Tensor();
        auto result = at::empty({q.size(0), q.size(1), v.size(2)}, q.options());
        auto logarithms = at::empty({q.size(0), q.size(1)}, q.options().dtype(wide_type(q)));
        auto call = setup->call(queries, keys, values);
        call.out = data(result), call.logarithms = data(logarithms), call.sinks = data(logits);
        launch(instance("forward", q, v), q, setup->tables->query_tile_count * q.size(1), call);
        context->save_for_backward({queries, keys, values, result, logarithms, logits});
        context->saved_data["setup"] = c10::IValue::make_capsule(setup);
        context->saved_data["sink_type"] = sinks ? static_cast<int64_t>(sinks->scalar_type()) : int64_t(-1);
        return result;
    }

    static variable_list backward(AutogradContext *context, variable_list grads) {
        auto saved = context->get_saved_variables();
        const auto &q = saved[0], &k = saved[1], &v = saved[2], &y = saved[3], &logarithms = saved[4], &sinks = saved[5];
        auto setup = c10::static_intrusive_pointer_cast<Setup>(context->saved_data["setup"].toCapsule());
        auto dy = grads[0].to(q.scalar_type()).contiguous();
        auto dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v), dots = at::empty_like(logarithms);
        auto call = setup->call(q, k, v);
        call.y = data(y), call.dy = data(dy), call.dq = data(dq), call.dk = data(dk), call.dv = data(dv);
        call.logarithms = data(logarithms), call.dots = data(dots), call.sinks = data(sinks);
        launch(instance("query_gradient", q, v), q, setup->tables->query_tile_count * q.size(1), call);
        launch(instance("key_gradient", q, v), q, setup->tables->key_tile_count * k.size(1), call);
        at::Tensor dsinks;
        if (sinks.defined() && context->needs_input_grad(3)) {
            dsinks = at::empty_like(sinks);
            launch(c10::str("attention_sink_gradient<", wide_name(q), ">"), q, q.size(1), call, data(dsinks));
            dsinks = dsinks.to(static_cast<at::ScalarType>(context->saved_data["sink_type"].toInt()));
        }
        return {dq, dk, dv, dsinks, at::Tensor()};
    }
};

}  // namespace

bool takes_kernel_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
    auto type = q.scalar_type();
    return kernels::run_on(q) && k.scalar_type() == type && v.scalar_type() == type && !type_name(type).empty() && q.size(2) <= 256 && v.size(2) <= 256 &&
           q.size(2) > 0 && v.size(2) > 0;
}

at::Tensor kernel_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const lf_segments &segments, const AttentionOptions &options) {
    int tile = q.scalar_type() == at::kDouble ? lf_machine::TileSizes<double>::tile : lf_machine::TileSizes<float>::tile;
    auto setup = c10::make_intrusive<Setup>();
    setup->tables = segments.tables->get<KernelTables>(c10::str("attention's kernels, ", tile, ", ", q.device()), [&] {
        ++segments.tables->built;
        return std::make_shared<KernelTables>(segments, tile, q.device());
    });
    setup->scale = options.scale, setup->softcap = options.softcap, setup->window = options.window;
    if (options.slopes.defined()) setup->slopes = options.slopes.detach().to(wide_type(q)).contiguous();
    return KernelAttention::apply(q, k, v, options.sinks.defined() ? std::optional(options.sinks) : std::nullopt, setup);
}

}  // namespace lf
