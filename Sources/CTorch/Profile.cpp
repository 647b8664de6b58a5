// What time is spent on: spans of this program's scopes, of libtorch's operations and of the nodes of a backward pass, on the thread that records.

// libtorch is built with it, and a recorded function has one more member without.
#ifndef NDEBUG
#define NDEBUG
#endif
#include "Profile.hpp"
#include "Internal.hpp"

#include <ATen/record_function.h>
#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <memory>
#include <unordered_map>

struct lf_profile {
    std::vector<lf_profile_span> spans;
    std::vector<size_t> open;
    std::vector<std::string> names;
    std::unordered_map<std::string, int32_t> numbers;
    /// Operations of all products of the same rows, inner size and columns.
    std::map<std::array<int64_t, 3>, double> products;
    /// How many rows of a stream somebody needs, by how many are computed.
    std::unordered_map<int64_t, int64_t> needed;
    bool follows_operations = false;
    at::CallbackHandle callback = 0;

    int32_t number(const char *name) {
        auto [entry, is_new] = numbers.try_emplace(name, static_cast<int32_t>(names.size()));
        if (is_new) names.emplace_back(name);
        return entry->second;
    }

    void begin(const char *name, lf_profile_kind kind) {
        open.push_back(spans.size());
        spans.push_back({number(name), kind, 0, 0, 0});
        spans.back().begin = now();
    }

    void end() {
        if (open.empty()) return;
        spans[open.back()].end = now();
        open.pop_back();
    }

    /// Rows that fill a stream up are rows in one product, and summed over in another.
    double of_needed(int64_t rows) const {
        auto entry = needed.find(rows);
        return double(entry == needed.end() ? rows : entry->second);
    }

    void count_product(int64_t rows, int64_t inner, int64_t columns, int64_t batches = 1) {
        double operations = 2.0 * of_needed(rows) * of_needed(inner) * double(columns) * double(batches);
        if (batches == 1) products[{rows, inner, columns}] += operations;
        if (!open.empty()) spans[open.back()].operations += operations;
    }

    static int64_t now() {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
    }
};

namespace lf {
namespace {

thread_local lf_profile *recording = nullptr;

/// The matrices of the operations that multiply, by the places of their factors among the inputs.
void count_product(lf_profile &profile, const char *name, c10::ArrayRef<const c10::IValue> inputs) {
    auto factors = [&](size_t left, size_t right, bool turned) {
        if (inputs.size() <= right || !inputs[left].isTensor() || !inputs[right].isTensor()) return;
        const auto &x = inputs[left].toTensor(), &y = inputs[right].toTensor();
        if (x.dim() < 2 || y.dim() < 2 || x.size(-1) == 0) return;
        int64_t batches = y.dim() == 3 ? y.size(0) : 1;
        profile.count_product(x.numel() / x.size(-1) / batches, x.size(-1), turned ? y.size(0) : y.size(-1), batches);
    };
    std::string_view operation(name);
    if (operation == "aten::mm" || operation == "aten::bmm") factors(0, 1, false);
    else if (operation == "aten::addmm" || operation == "aten::addmm_" || operation == "aten::baddbmm") factors(1, 2, false);
    // Plain, or with a tensor that is added.
    else if (operation == "mkldnn::_linear_pointwise") factors(0, inputs.size() == 5 ? 2 : 1, true);
}

std::unique_ptr<at::ObserverContext> begin_operation(const at::RecordFunction &function) {
    if (!recording) return nullptr;
    bool is_backward = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
    recording->begin(function.name(), is_backward ? LF_PROFILE_BACKWARD : LF_PROFILE_OPERATION);
    if (!is_backward) count_product(*recording, function.name(), function.inputs());
    return nullptr;
}

void end_operation(const at::RecordFunction &, at::ObserverContext *) {
    if (recording) recording->end();
}

}  // namespace

void count_operations(double operations) {
    if (recording && !recording->open.empty()) recording->spans[recording->open.back()].operations += operations;
}

void count_product(int64_t rows, int64_t inner, int64_t columns) {
    if (recording) recording->count_product(rows, inner, columns);
}

}  // namespace lf

using namespace lf;

bool lf_profile_records(void) { return recording != nullptr; }

lf_status lf_profile_start(bool operations) {
    return guarded([&] {
        TORCH_CHECK(!recording, "a recording is going on already");
        auto profile = std::make_unique<lf_profile>();
        profile->spans.reserve(1 << 16);
        profile->follows_operations = operations;
        if (operations)
            profile->callback = at::addThreadLocalCallback(at::RecordFunctionCallback(begin_operation, end_operation)
                                                               .needsInputs(true)
                                                               .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
        recording = profile.release();
    });
}

lf_profile_t lf_profile_stop(void) {
    auto *profile = recording;
    if (!profile) return nullptr;
    while (!profile->open.empty()) profile->end();
    if (profile->follows_operations) at::removeCallback(profile->callback);
    recording = nullptr;
    return profile;
}

void lf_profile_free(lf_profile_t profile) { delete profile; }

void lf_profile_begin(const char *name) {
    if (recording) recording->begin(name, LF_PROFILE_SCOPE);
}
void lf_profile_end(void) {
    if (recording) recording->end();
}

size_t lf_profile_count(lf_profile_t profile) { return profile->spans.size(); }
const lf_profile_span *lf_profile_spans(lf_profile_t profile) { return profile->spans.data(); }
size_t lf_profile_name_count(lf_profile_t profile) { return profile->names.size(); }
const char *lf_profile_name(lf_profile_t profile, size_t number) { return profile->names[number].c_str(); }

size_t lf_profile_products(lf_profile_t profile, int64_t *sizes, size_t count) {
    std::vector<std::pair<double, std::array<int64_t, 3>>> order;
    for (const auto &[product, operations] : profile->products) order.push_back({operations, product});
    std::sort(order.rbegin(), order.rend());
    count = std::min(count, order.size());
    for (size_t i = 0; i < count; ++i) std::copy_n(order[i].second.begin(), 3, sizes + 3 * i);
    return count;
}

void lf_profile_needed_rows(int64_t computed, int64_t needed) {
    if (recording) recording->needed[computed] = needed;
}
