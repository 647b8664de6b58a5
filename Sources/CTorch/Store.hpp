// The store that the processes of a run share, and who watches it (`Store.cpp`, `Processes.cpp`).
#pragma once
#include "Internal.hpp"

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace lf {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// What a process sees of the others in the store. A thread of its own gives this process's signs of life and reads theirs, and notices when
/// one tells of a failure: whoever waits in an exchange looks here and asks nobody, since an answer may never come.
struct Watch {
    Watch(c10::intrusive_ptr<c10d::Store> store, const lf_process_place &place)
        : rank(place.rank), interval(place.heartbeat_seconds), silence(place.silence_seconds),
          patience(std::max(place.silence_seconds, 5.0)), store(std::move(store)), others(place.size) {}

    const int rank;
    const Seconds interval, silence;
    /// How long an answer of the store may take.
    const Seconds patience;

    void run() {
        auto next = Clock::now();
        std::unique_lock<std::mutex> lock(mutex);
        while (!stops) {
            bool is_due = Clock::now() >= next;
            if (is_due) next = Clock::now() + std::chrono::duration_cast<Clock::duration>(interval);
            bool gives_sign = is_due && !is_mute;
            is_asking = true;
            asked = Clock::now();
            lock.unlock();
            bool answers = look(is_due, gives_sign);
            lock.lock();
            is_asking = false;
            if (!answers) {
                is_cut = true;
                break;
            }
            changed.wait_for(lock, std::min(interval, Seconds(1)), [&] { return stops; });
        }
        store.reset();
        has_ended = true;
        changed.notify_all();
    }

    void stop() {
        std::unique_lock<std::mutex> lock(mutex);
        stops = true;
        changed.notify_all();
        changed.wait_for(lock, std::chrono::seconds(1), [&] { return has_ended; });
    }

    void mute() {
        std::lock_guard<std::mutex> lock(mutex);
        is_mute = true;
    }

    lf_watch seen() {
        std::lock_guard<std::mutex> lock(mutex);
        Seconds unanswered = is_asking ? Clock::now() - asked : Clock::duration(0);
        lf_watch result{-1, 0, is_cut || unanswered > patience, failures > 0};
        for (size_t other = 0; other < others.size(); ++other)
            if (others[other].silent > silence.count() && others[other].silent > result.silent_seconds) {
                result.silent_rank = int(other);
                result.silent_seconds = others[other].silent;
            }
        return result;
    }

    /// Throws where an exchange would wait for somebody who is gone.
    void require_others() {
        auto state = seen();
        if (state.is_cut) throw std::runtime_error("the store of process 0 cannot be reached");
        if (state.silent_rank >= 0) throw std::runtime_error("a process gives no sign of life");
        if (state.has_failures) throw std::runtime_error("another process has failed");
    }

private:
    struct Other {
        int64_t beats = 0;
        Clock::time_point changed;
        double silent = 0;
    };

    /// Asks the store; false where it is gone.
    bool look(bool is_due, bool gives_sign) {
        try {
            if (gives_sign) store->add("heartbeat/" + std::to_string(rank), 1);
            auto count = store->add("failures", 0);
            std::vector<int64_t> beats;
            for (size_t other = 0; is_due && other < others.size(); ++other)
                beats.push_back(int(other) == rank ? 0 : store->add("heartbeat/" + std::to_string(other), 0));
            std::lock_guard<std::mutex> lock(mutex);
            failures = count;
            auto now = Clock::now();
            for (size_t other = 0; other < beats.size(); ++other) {
                auto &known = others[other];
                // Whoever has not joined yet has no heartbeat; joining has a limit of its own.
                if (beats[other] == 0) continue;
                if (beats[other] != known.beats) known.changed = now;
                known.beats = beats[other];
                known.silent = Seconds(now - known.changed).count();
            }
            return true;
        } catch (...) { return false; }
    }

    c10::intrusive_ptr<c10d::Store> store;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Other> others;
    Clock::time_point asked;
    int64_t failures = 0;
    bool is_asking = false, stops = false, has_ended = false, is_mute = false, is_cut = false;
};

}  // namespace lf

struct lf_store {
    c10::intrusive_ptr<c10d::Store> value;
    std::shared_ptr<lf::Watch> watch;

    /// Asks the store on a thread of its own: where its machine is gone, an answer may never come.
    template <typename Question> auto ask(Question question) -> decltype(question(*value)) {
        TORCH_CHECK(!watch->seen().is_cut, "the store of process 0 cannot be reached");
        std::packaged_task<decltype(question(*value))()> task([store = value, question]() mutable {
            // Given back before the answer is there, so that the last owner is the one who asks.
            auto own = std::move(store);
            return question(*own);
        });
        auto answer = task.get_future();
        std::thread(std::move(task)).detach();
        TORCH_CHECK(
            answer.wait_for(watch->patience) == std::future_status::ready, "the store of process 0 has not answered for ",
            int(watch->patience.count()), " s");
        return answer.get();
    }

    ~lf_store() {
        // There is none where no connection was made.
        if (watch) watch->stop();
    }
};
