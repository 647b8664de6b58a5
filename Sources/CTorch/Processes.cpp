// Several processes that train together: c10d's groups over Gloo, out of libtorch.
#define USE_C10D_GLOO 1
#include "Internal.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <netdb.h>
#include <sys/socket.h>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <unistd.h>

struct lf_store {
    /// What the heartbeat's thread holds: it may outlive the store by an answer that never comes.
    struct Heartbeat {
        c10::intrusive_ptr<c10d::Store> store;
        std::mutex mutex;
        std::condition_variable changed;
        bool stops = false, has_ended = false;

        void run(const std::string &key, std::chrono::duration<double> interval) {
            std::unique_lock<std::mutex> lock(mutex);
            while (!stops) {
                lock.unlock();
                // Where the process that serves the store is gone, this one's next exchange says so.
                bool failed = false;
                try { store->add(key, 1); } catch (...) { failed = true; }
                lock.lock();
                if (failed) break;
                changed.wait_for(lock, interval, [&] { return stops; });
            }
            has_ended = true;
            changed.notify_all();
        }
    };

    c10::intrusive_ptr<c10d::Store> value;
    std::shared_ptr<Heartbeat> heartbeat;

    void stop_heartbeat() {
        if (!heartbeat) return;
        std::unique_lock<std::mutex> lock(heartbeat->mutex);
        heartbeat->stops = true;
        heartbeat->changed.notify_all();
        heartbeat->changed.wait_for(lock, std::chrono::seconds(1), [&] { return heartbeat->has_ended; });
    }
    ~lf_store() { stop_heartbeat(); }
};

struct lf_process_group {
    c10::intrusive_ptr<c10d::ProcessGroup> value;
};

namespace lf {
namespace {

/// Messages are about this large: small gradients travel together, large ones in pieces that are in flight at once.
constexpr int64_t bucket_bytes = 25 << 20;

/// This host's address on the way to the first process. Gloo's own choice is what the host's name resolves to, which on Debian
/// is a loopback address that no other host reaches.
std::string address_towards(const std::string &host, int port) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_DGRAM;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
    std::string result;
    for (auto *entry = found; entry && result.empty(); entry = entry->ai_next) {
        int probe = socket(entry->ai_family, SOCK_DGRAM, 0);
        if (probe < 0) continue;
        // Connecting a datagram socket sends nothing; it only chooses the route.
        sockaddr_storage own{};
        socklen_t size = sizeof own;
        char text[NI_MAXHOST];
        if (connect(probe, entry->ai_addr, entry->ai_addrlen) == 0 &&
            getsockname(probe, reinterpret_cast<sockaddr *>(&own), &size) == 0 &&
            getnameinfo(reinterpret_cast<sockaddr *>(&own), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
            result = text;
        close(probe);
    }
    freeaddrinfo(found);
    return result;
}

c10::intrusive_ptr<c10d::Backend> gloo_backend(
    const c10::intrusive_ptr<c10d::Store> &store, const lf_process_place &place, std::chrono::milliseconds limit) {
    using Gloo = c10d::ProcessGroupGloo;
    auto options = Gloo::Options::create(limit);
    options->threads = 2;
    if (place.network_interface) {
        options->devices.push_back(Gloo::createDeviceForInterface(place.network_interface));
    } else {
        auto address = address_towards(place.master_address, place.master_port);
        TORCH_CHECK(!address.empty(), "no route to ", place.master_address);
        options->devices.push_back(Gloo::createDeviceForHostname(address));
    }
    return c10::make_intrusive<Gloo>(store, place.rank, place.size, options);
}

/// Tensors of one type that travel in one flat message.
struct Message {
    std::vector<at::Tensor> flat;
    std::vector<at::Tensor> parts;
    c10::intrusive_ptr<c10d::Work> work;
};

/// Carries tensors of one type in messages of about `bucket_bytes`, all in flight at once, and copies what has arrived back into them.
void carry(
    const std::vector<at::Tensor> &tensors,
    const std::function<c10::intrusive_ptr<c10d::Work>(std::vector<at::Tensor> &)> &start,
    std::vector<Message> &messages) {
    auto send = [&](std::vector<at::Tensor> parts) {
        std::vector<at::Tensor> rows;
        for (const auto &part : parts) rows.push_back(part.reshape({-1}));
        Message message{{rows.size() == 1 && parts[0].is_contiguous() ? rows[0] : at::cat(rows)}, std::move(parts), {}};
        message.work = start(message.flat);
        messages.push_back(std::move(message));
    };
    std::vector<at::Tensor> waiting;
    int64_t bytes = 0;
    for (const auto &tensor : tensors) {
        if (bytes > 0 && bytes + int64_t(tensor.nbytes()) > bucket_bytes) {
            send(std::exchange(waiting, {}));
            bytes = 0;
        }
        waiting.push_back(tensor);
        bytes += tensor.nbytes();
    }
    if (!waiting.empty()) send(std::move(waiting));
}

/// Waits for messages; what has arrived goes back into the tensors where `takes`.
void settle(std::vector<Message> &messages, const std::function<bool(size_t)> &takes) {
    for (size_t index = 0; index < messages.size(); ++index) {
        auto &message = messages[index];
        message.work->wait();
        if (!takes(index)) continue;
        int64_t start = 0;
        for (auto &part : message.parts) {
            auto values = message.flat[0].narrow(0, start, part.numel());
            start += part.numel();
            if (values.data_ptr() != part.data_ptr()) part.copy_(values.view(part.sizes()));
        }
    }
}

/// Tensors that can share messages: of one type and, where each has a process of its own, of one process.
struct Kind {
    at::ScalarType type;
    int root;
    std::vector<at::Tensor> tensors;
};

std::vector<Kind> kinds_of(const lf_tensor_t *tensors, const int32_t *roots, size_t count) {
    std::vector<Kind> kinds;
    auto all = list(tensors, count);
    for (size_t index = 0; index < count; ++index) {
        auto plain = all[index].detach();
        auto type = plain.scalar_type();
        int root = roots ? roots[index] : 0;
        auto place = std::find_if(
            kinds.begin(), kinds.end(), [&](auto &kind) { return kind.type == type && kind.root == root; });
        if (place == kinds.end()) place = kinds.insert(kinds.end(), {type, root, {}});
        place->tensors.push_back(plain);
    }
    return kinds;
}

/// Sends all kinds and waits for them; `takes(root)` says whether what has arrived is wanted here.
template <typename Start, typename Takes>
void carry_kinds(const std::vector<Kind> &kinds, Start start, Takes takes) {
    std::vector<Message> messages;
    std::vector<int> roots;
    for (const auto &kind : kinds) {
        carry(kind.tensors, [&](std::vector<at::Tensor> &flat) { return start(flat, kind.root); }, messages);
        roots.resize(messages.size(), kind.root);
    }
    settle(messages, [&](size_t index) { return takes(roots[index]); });
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_store_open(const lf_process_place *place, lf_store_t *out) {
    return guarded([&] {
        c10d::TCPStoreOptions options;
        options.port = uint16_t(place->master_port);
        options.isServer = place->rank == 0 && place->serves_store;
        options.numWorkers = place->size;
        options.waitWorkers = false;
        options.timeout = std::chrono::milliseconds(int64_t(place->rendezvous_seconds * 1000));
        auto store = c10::make_intrusive<c10d::TCPStore>(place->master_address, options);
        auto result = std::make_unique<lf_store>();
        result->value = c10::make_intrusive<c10d::PrefixStore>(place->run_name, store);
        *out = result.release();
    });
}

void lf_store_free(lf_store_t store) { delete store; }

lf_status lf_store_add(lf_store_t store, const char *key, int64_t amount, int64_t *total) {
    return guarded([&] { *total = store->value->add(key, amount); });
}

lf_status lf_store_set(lf_store_t store, const char *key, const char *text) {
    return guarded([&] { store->value->set(key, std::string(text)); });
}

lf_status lf_store_get(lf_store_t store, const char *key, char *text, size_t capacity, size_t *length) {
    return guarded([&] {
        *length = 0;
        if (!store->value->check({key})) return;
        auto bytes = store->value->get(key);
        *length = std::min(bytes.size(), capacity);
        std::copy_n(bytes.begin(), *length, text);
    });
}

lf_status lf_store_start_heartbeat(lf_store_t store, const char *key, double seconds) {
    return guarded([&] {
        store->heartbeat = std::make_shared<lf_store::Heartbeat>();
        store->heartbeat->store = store->value;
        std::thread([heartbeat = store->heartbeat, key = std::string(key), seconds] {
            heartbeat->run(key, std::chrono::duration<double>(seconds));
        }).detach();
    });
}

void lf_store_stop_heartbeat(lf_store_t store) { store->stop_heartbeat(); }

lf_status lf_process_group_join(lf_store_t store, const lf_process_place *place, lf_process_group_t *out) {
    return guarded([&] {
        auto limit = std::chrono::milliseconds(int64_t(place->timeout_seconds * 1000));
        auto group = c10::make_intrusive<c10d::ProcessGroup>(store->value, place->rank, place->size);
        group->setBackend(
            c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo_backend(store->value, *place, limit));
        group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
        group->setGroupName("default");
        *out = new lf_process_group{std::move(group)};
    });
}

void lf_process_group_free(lf_process_group_t group) { delete group; }

lf_status lf_process_group_sum(lf_process_group_t group, const lf_tensor_t *tensors, size_t count) {
    return guarded([&] {
        WithoutGrad scope;
        carry_kinds(
            kinds_of(tensors, nullptr, count),
            [&](std::vector<at::Tensor> &flat, int) { return group->value->allreduce(flat); },
            [](int) { return true; });
    });
}

lf_status lf_process_group_reduce(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count) {
    return guarded([&] {
        WithoutGrad scope;
        carry_kinds(
            kinds_of(tensors, roots, count),
            [&](std::vector<at::Tensor> &flat, int root) {
                c10d::ReduceOptions options;
                options.rootRank = root;
                return group->value->reduce(flat, options);
            },
            [&](int root) { return root == group->value->getRank(); });
    });
}

lf_status lf_process_group_broadcast(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count) {
    return guarded([&] {
        WithoutGrad scope;
        carry_kinds(
            kinds_of(tensors, roots, count),
            [&](std::vector<at::Tensor> &flat, int root) {
                c10d::BroadcastOptions options;
                options.rootRank = root;
                return group->value->broadcast(flat, options);
            },
            // The sender's own may lie on a mapped file, which is never written.
            [&](int root) { return root != group->value->getRank(); });
    });
}

lf_status lf_process_group_gather(lf_process_group_t group, lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        auto own = tensor->value.detach().contiguous();
        auto sizes = own.sizes().vec();
        sizes.insert(sizes.begin(), group->value->getSize());
        auto all = at::empty(sizes, own.options());
        auto flat = all.view({-1}), part = own.view({-1});
        group->value->_allgather_base(flat, part)->wait();
        return all;
    });
}

lf_status lf_process_group_barrier(lf_process_group_t group) {
    return guarded([&] { group->value->barrier()->wait(); });
}
