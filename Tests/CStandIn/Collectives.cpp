// What NCCL does for GPUs, among stand-ins: each member begins an exchange and goes on, and the last one to begin carries it out for all.
#include "CTorch.h"
#include "StandIn.hpp"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace stand_in {
namespace {

enum Result { success = 0, internal_error = 3, wrong_argument = 4, remote_error = 6 };

/// What a member brings to an exchange.
struct Part {
    const void *from;
    void *to;
    c10::DeviceIndex device;
};

/// Exchanges have an order, and members come to them one after the other.
struct Exchange {
    std::string kind;
    size_t count = 0;
    at::ScalarType type = at::kFloat;
    int root = 0;
    std::map<int, Part> parts;
};

struct Group {
    explicit Group(int size) : size(size) {}

    const int size;
    std::mutex lock;
    int joined = 0;
    /// By their numbers in the order of exchanges.
    std::map<int64_t, Exchange> exchanges;
    bool is_ended = false;
};

struct Member {
    std::shared_ptr<Group> group;
    int rank;
    int64_t begun = 0;
};

std::mutex groups_lock;
std::map<std::string, std::shared_ptr<Group>> groups;

std::string name_of(const lf_collective_id &id) { return std::string(id.bytes, sizeof id.bytes); }

const char *error_text(int result) {
    switch (result) {
        case remote_error: return "remote process exited or there was a network error";
        case wrong_argument: return "invalid argument";
        default: return "internal error";
    }
}

int new_id(lf_collective_id *id) {
    static int64_t count = 0;
    std::lock_guard guard(groups_lock);
    std::memset(id->bytes, 0, sizeof id->bytes);
    std::string text = "stand-in " + std::to_string(++count);
    std::memcpy(id->bytes, text.data(), text.size());
    return success;
}

int join(void **out, int size, lf_collective_id id, int rank) {
    std::shared_ptr<Group> group;
    {
        std::lock_guard guard(groups_lock);
        auto &known = groups[name_of(id)];
        if (!known) known = std::make_shared<Group>(size);
        group = known;
    }
    {
        std::lock_guard guard(group->lock);
        ++group->joined;
    }
    for (;;) {  // without end, as the real one
        {
            std::lock_guard guard(group->lock);
            if (group->joined == size) break;
        }
        usleep(200);
    }
    *out = new Member{group, rank};
    return success;
}

std::optional<at::ScalarType> scalar_type(int type) {
    switch (type) {
        case 1: return at::kByte;
        case 2: return at::kInt;
        case 4: return at::kLong;
        case 6: return at::kHalf;
        case 7: return at::kFloat;
        case 8: return at::kDouble;
        case 9: return at::kBFloat16;
        default: return std::nullopt;
    }
}

at::Tensor host(const void *address, size_t count, at::ScalarType type) {
    return at::from_blob(host_address(const_cast<void *>(address)), {int64_t(count)}, at::TensorOptions().dtype(type));
}

void carry_out(const Exchange &exchange) {
    auto tensor = [&](const void *address, size_t count) { return host(address, count, exchange.type); };
    auto count = exchange.count;
    if (exchange.kind == "sum" || exchange.kind == "reduce") {
        auto total = tensor(exchange.parts.at(0).from, count).clone();
        for (const auto &[rank, part] : exchange.parts)
            if (rank > 0) total += tensor(part.from, count);
        for (const auto &[rank, part] : exchange.parts)
            if (exchange.kind == "sum" || rank == exchange.root) tensor(part.to, count).copy_(total);
    } else if (exchange.kind == "broadcast") {
        auto sent = tensor(exchange.parts.at(exchange.root).from, count);
        for (const auto &[rank, part] : exchange.parts)
            if (rank != exchange.root) tensor(part.to, count).copy_(sent);
    } else {
        auto size = exchange.parts.size();
        for (const auto &[taker, to] : exchange.parts)
            for (const auto &[giver, from] : exchange.parts)
                tensor(to.to, count * size).narrow(0, giver * int64_t(count), int64_t(count)).copy_(tensor(from.from, count));
    }
}

int begin(const std::string &kind, const void *from, void *to, size_t count, int type, int root, void *handle) {
    auto &member = *static_cast<Member *>(handle);
    auto &group = *member.group;
    auto known_type = scalar_type(type);
    if (!known_type) return wrong_argument;
    at::AutoDispatchBelowADInplaceOrView below;
    std::lock_guard guard(group.lock);
    if (group.is_ended) return remote_error;
    auto number = member.begun++;
    auto &exchange = group.exchanges[number];
    if (exchange.parts.empty()) {
        exchange.kind = kind;
        exchange.count = count;
        exchange.type = *known_type;
        exchange.root = root;
    }
    // The real one would hang or mix numbers.
    if (exchange.kind != kind || exchange.count != count || exchange.type != *known_type || exchange.root != root) return wrong_argument;
    exchange.parts[member.rank] = {from, to, device().index()};
    count_launch("collective " + kind);
    begin_waiting(device().index());
    if (int(exchange.parts.size()) < group.size) return success;
    carry_out(exchange);
    for (const auto &[rank, part] : exchange.parts) end_waiting(part.device);
    group.exchanges.erase(number);
    return success;
}

int sum(const void *from, void *to, size_t count, int type, int operation, void *group, void *) {
    return operation == 0 ? begin("sum", from, to, count, type, 0, group) : wrong_argument;
}
int reduce(const void *from, void *to, size_t count, int type, int operation, int root, void *group, void *) {
    return operation == 0 ? begin("reduce", from, to, count, type, root, group) : wrong_argument;
}
int broadcast(const void *from, void *to, size_t count, int type, int root, void *group, void *) {
    return begin("broadcast", from, to, count, type, root, group);
}
int gather(const void *from, void *to, size_t count, int type, void *group, void *) {
    return begin("gather", from, to, count, type, 0, group);
}

int state(void *handle, int *result) {
    auto &group = *static_cast<Member *>(handle)->group;
    std::lock_guard guard(group.lock);
    *result = group.is_ended ? remote_error : success;
    return success;
}

int abort(void *handle) {
    std::unique_ptr<Member> member(static_cast<Member *>(handle));
    auto &group = *member->group;
    std::lock_guard guard(group.lock);
    group.is_ended = true;
    // The others wait on: what this member has not begun never comes to its end.
    for (auto &[number, exchange] : group.exchanges)
        if (auto own = exchange.parts.find(member->rank); own != exchange.parts.end()) {
            end_waiting(own->second.device);
            exchange.parts.erase(own);
        }
    return success;
}

int leave(void *handle) {
    delete static_cast<Member *>(handle);
    return success;
}

const bool is_in_place = [] {
    lf_collectives calls{error_text, new_id, join, abort, leave, state, sum, reduce, broadcast, gather};
    lf_collectives_for_tests(&calls);
    return true;
}();

}  // namespace
}  // namespace stand_in
