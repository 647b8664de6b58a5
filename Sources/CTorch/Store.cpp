// Texts and counters that the processes of a run share: c10d's TCPStore, out of libtorch.
#include "Store.hpp"

#include <csignal>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

using namespace lf;

/// Opens the run's store, or connects to it.
static c10::intrusive_ptr<c10d::Store> connected_store(const lf_process_place &place) {
    c10d::TCPStoreOptions options;
    options.port = uint16_t(place.master_port);
    options.isServer = place.rank == 0 && place.serves_store;
    options.numWorkers = place.size;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(int64_t(place.rendezvous_seconds * 1000));
    auto store = c10::make_intrusive<c10d::TCPStore>(place.master_address, options);
    return c10::make_intrusive<c10d::PrefixStore>(place.run_name, store);
}

lf_status lf_store_open(const lf_process_place *place, lf_store_t *out) {
    return guarded([&] {
        auto result = std::make_unique<lf_store>();
        // Gloo writes to connections that another process may just have closed, which must be an error and not the end of this one.
        struct sigaction now;
        if (sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
        // One connection for all: the store looks up the name of each, and answers nobody meanwhile.
        result->value = connected_store(*place);
        result->watch = std::make_shared<Watch>(result->value, *place);
        std::thread([watch = result->watch] { watch->run(); }).detach();
        *out = result.release();
    });
}

void lf_store_free(lf_store_t store) { delete store; }

lf_status lf_store_add(lf_store_t store, const char *key, int64_t amount, int64_t *total) {
    return guarded([&] {
        *total = store->ask([key = std::string(key), amount](c10d::Store &store) { return store.add(key, amount); });
    });
}

lf_status lf_store_set(lf_store_t store, const char *key, const char *text) {
    return guarded([&] {
        store->ask([key = std::string(key), text = std::string(text)](c10d::Store &store) { store.set(key, text); });
    });
}

lf_status lf_store_get(lf_store_t store, const char *key, char *text, size_t capacity, size_t *length) {
    return guarded([&] {
        auto bytes = store->ask([key = std::string(key)](c10d::Store &store) {
            return store.check({key}) ? store.get(key) : std::vector<uint8_t>();
        });
        *length = std::min(bytes.size(), capacity);
        std::copy_n(bytes.begin(), *length, text);
    });
}

lf_watch lf_store_watch(lf_store_t store) { return store->watch->seen(); }

void lf_store_fall_silent(lf_store_t store) { store->watch->mute(); }
