// Several processes that train together: c10d's groups over Gloo, out of libtorch, for the CPU's tensors; for a device's, `DeviceGroup`.
#include "Processes.hpp"

#include <functional>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <unistd.h>

namespace lf {
namespace {

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

/// The store as Gloo sees it while it connects: whoever waits for a key asks for it again and again, so that others can ask meanwhile.
struct PatientStore : c10d::PrefixStore {
    PatientStore(c10::intrusive_ptr<c10d::Store> store, std::chrono::milliseconds limit)
        : PrefixStore("gloo", std::move(store)), limit(limit) {}

    const std::chrono::milliseconds limit;

    void wait(const std::vector<std::string> &keys, const std::chrono::milliseconds &limit) override {
        auto end = Clock::now() + limit;
        while (!check(keys)) {
            TORCH_CHECK(Clock::now() < end, "a process did not say where it can be reached");
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
    void wait(const std::vector<std::string> &keys) override { wait(keys, limit); }
    std::vector<uint8_t> get(const std::string &key) override {
        wait({key}, limit);
        return PrefixStore::get(key);
    }
    bool hasExtendedApi() const override { return false; }
    /// Lets the store go, which may end before Gloo's threads do.
    void release() { store_.reset(); }
};

/// Connects this process with all others.
///
/// Gloo may wait for ever for one that dies meanwhile: it gets a thread of its own, which is left behind where the connections are not made.
c10::intrusive_ptr<c10d::ProcessGroupGloo> connected_gloo(
    const c10::intrusive_ptr<c10d::Store> &run_store, const lf_process_place &place, Watch &watch) {
    using Gloo = c10d::ProcessGroupGloo;
    auto limit = std::chrono::milliseconds(int64_t(place.rendezvous_seconds * 1000));
    auto options = Gloo::Options::create(limit);
    options->threads = 2;
    if (place.network_interface) {
        options->devices.push_back(Gloo::createDeviceForInterface(place.network_interface));
    } else {
        auto address = address_towards(place.master_address, place.master_port);
        TORCH_CHECK(!address.empty(), "no route to ", place.master_address);
        options->devices.push_back(Gloo::createDeviceForHostname(address));
    }
    auto store = c10::make_intrusive<PatientStore>(run_store, limit);
    std::packaged_task<c10::intrusive_ptr<Gloo>()> task([store, options, rank = place.rank, size = place.size] {
        return c10::make_intrusive<Gloo>(c10::intrusive_ptr<c10d::Store>(store), rank, size, options);
    });
    auto group = task.get_future();
    std::thread(std::move(task)).detach();
    auto end = Clock::now() + limit;
    while (group.wait_for(slice) != std::future_status::ready) {
        watch.require_others();
        TORCH_CHECK(
            Clock::now() < end, "the processes did not connect to one another within ", int(place.rendezvous_seconds), " s");
    }
    auto result = group.get();
    store->release();
    result->setTimeout(std::chrono::milliseconds(int64_t(place.timeout_seconds * 1000)));
    return result;
}

/// Tensors of one type that travel in one flat message.
struct Message {
    std::vector<at::Tensor> flat;
    std::vector<at::Tensor> parts;
    Begun begun;
};

/// Carries tensors of one type in messages of about `bucket_bytes`, all in flight at once, and copies what has arrived back into them.
void carry(
    const std::vector<at::Tensor> &tensors, const std::function<Begun(std::vector<at::Tensor> &)> &start,
    std::vector<Message> &messages) {
    auto send = [&](std::vector<at::Tensor> parts) {
        std::vector<at::Tensor> rows;
        for (const auto &part : parts) rows.push_back(part.reshape({-1}));
        Message message{{rows.size() == 1 && parts[0].is_contiguous() ? rows[0] : at::cat(rows)}, std::move(parts), {}};
        message.begun = start(message.flat);
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
void settle(lf_process_group &group, std::vector<Message> &messages, const std::function<bool(size_t)> &takes) {
    for (size_t index = 0; index < messages.size(); ++index) {
        auto &message = messages[index];
        message.begun.attend(group);
        if (!takes(index)) continue;
        int64_t start = 0;
        for (auto &part : message.parts) {
            auto values = message.flat[0].narrow(0, start, part.numel());
            start += part.numel();
            if (values.data_ptr() != part.data_ptr()) part.copy_(values.view(part.sizes()));
        }
    }
}

/// Tensors that can share messages: of one type, in one place and, where each has a process of its own, of one process.
struct Kind {
    at::ScalarType type;
    at::Device device;
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
        auto device = plain.device();
        auto place = std::find_if(kinds.begin(), kinds.end(), [&](auto &kind) {
            return kind.type == type && kind.device == device && kind.root == root;
        });
        if (place == kinds.end()) place = kinds.insert(kinds.end(), {type, device, root, {}});
        place->tensors.push_back(plain);
    }
    return kinds;
}

/// Sends all kinds and waits for them; `takes(root)` says whether what has arrived is wanted here.
template <typename Start, typename Takes>
void carry_kinds(lf_process_group &group, const std::vector<Kind> &kinds, Start start, Takes takes) {
    std::vector<Message> messages;
    std::vector<int> roots;
    for (const auto &kind : kinds) {
        carry(kind.tensors, [&](std::vector<at::Tensor> &flat) { return start(flat, kind.root); }, messages);
        roots.resize(messages.size(), kind.root);
    }
    settle(group, messages, [&](size_t index) { return takes(roots[index]); });
}

}  // namespace
}  // namespace lf

using namespace lf;

lf_status lf_process_group_join(lf_store_t store, const lf_process_place *place, lf_process_group_t *out) {
    return guarded([&] {
        auto gloo = connected_gloo(store->value, *place, *store->watch);
        auto group = c10::make_intrusive<c10d::ProcessGroup>(place->rank, place->size);
        group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
        group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
        group->setGroupName("default");
        std::unique_ptr<DeviceGroup> devices;
        if (place->device != LF_CPU)
            devices = std::make_unique<DeviceGroup>(store->value, *place, device(place->device), *store->watch);
        *out = new lf_process_group{std::move(group), std::move(gloo), std::move(devices), store->watch};
    });
}

void lf_process_group_free(lf_process_group_t group) { delete group; }

void lf_process_group_sever(lf_process_group_t group) { group->sever(); }

lf_status lf_process_group_sum(lf_process_group_t group, const lf_tensor_t *tensors, size_t count) {
    return exchanging(group, [&] {
        carry_kinds(
            *group, kinds_of(tensors, nullptr, count),
            [&](std::vector<at::Tensor> &flat, int) { return begin_sum(*group, flat); },
            [](int) { return true; });
    });
}

lf_status lf_process_group_reduce(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count) {
    return exchanging(group, [&] {
        carry_kinds(
            *group, kinds_of(tensors, roots, count),
            [&](std::vector<at::Tensor> &flat, int root) {
                c10d::ReduceOptions options;
                options.rootRank = root;
                return begin(
                    *group, flat[0], [&] { return group->value->reduce(flat, options); },
                    [&](DeviceGroup &devices) { devices.reduce(flat[0], root); });
            },
            [&](int root) { return root == group->value->getRank(); });
    });
}

lf_status lf_process_group_broadcast(
    lf_process_group_t group, const lf_tensor_t *tensors, const int32_t *roots, size_t count) {
    return exchanging(group, [&] {
        carry_kinds(
            *group, kinds_of(tensors, roots, count),
            [&](std::vector<at::Tensor> &flat, int root) {
                c10d::BroadcastOptions options;
                options.rootRank = root;
                return begin(
                    *group, flat[0], [&] { return group->value->broadcast(flat, options); },
                    [&](DeviceGroup &devices) { devices.broadcast(flat[0], root); });
            },
            // The sender's own may lie on a mapped file, which is never written.
            [&](int root) { return root != group->value->getRank(); });
    });
}

lf_status lf_process_group_gather(lf_process_group_t group, lf_tensor_t tensor, lf_tensor_t *out) {
    return exchanging(group, [&] {
        auto own = tensor->value.detach().contiguous();
        auto sizes = own.sizes().vec();
        sizes.insert(sizes.begin(), group->value->getSize());
        auto all = at::empty(sizes, own.options());
        auto flat = all.view({-1}), part = own.view({-1});
        begin(
            *group, part, [&] { return group->value->_allgather_base(flat, part); },
            [&](DeviceGroup &devices) { devices.gather(flat, part); })
            .attend(*group);
        *out = adopt(std::move(all));
    });
}

lf_status lf_process_group_barrier(lf_process_group_t group) {
    return exchanging(group, [&] { attend_gloo(group->value->barrier(), *group->watch); });
}
