// Waits again and again in each way that C++ has; see waits.py.

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <functional>
#include <future>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using Clock = std::chrono::steady_clock;
constexpr auto PAUSE = std::chrono::milliseconds(200);

static void tick(const char *name) {
    timespec boottime;
    clock_gettime(CLOCK_BOOTTIME, &boottime);
    auto monotonic = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
    char line[128];
    int length = snprintf(line, sizeof line, "tick %s %lld %lld\n", name, static_cast<long long>(monotonic),
                          boottime.tv_sec * 1000000000LL + boottime.tv_nsec);
    if (write(1, line, length) != length)
        _exit(1);
}

static std::thread repeat(const char *name, std::function<void()> wait) {
    return std::thread([=] {
        for (;;) {
            wait();
            tick(name);
        }
    });
}

static Clock::time_point soon() { return Clock::now() + PAUSE; }

int main() {
    std::mutex mutex, other;
    std::condition_variable condition, another;
    std::timed_mutex taken;
    std::shared_timed_mutex shared;
    std::counting_semaphore<1> semaphore(0);
    std::promise<void> never;
    auto future = never.get_future().share();
    taken.lock();
    shared.lock();
    std::vector<std::thread> threads;
    threads.push_back(repeat("sleep-for", [] { std::this_thread::sleep_for(PAUSE); }));
    threads.push_back(repeat("sleep-until", [] { std::this_thread::sleep_until(soon()); }));
    threads.push_back(repeat("condition", [&] {
        std::unique_lock lock(mutex);
        condition.wait_until(lock, soon(), [] { return false; });
    }));
    threads.push_back(repeat("condition-for", [&] {
        std::unique_lock lock(other);
        another.wait_for(lock, PAUSE, [] { return false; });
    }));
    threads.push_back(repeat("mutex", [&] { (void)taken.try_lock_until(soon()); }));
    threads.push_back(repeat("shared-mutex", [&] { (void)shared.try_lock_shared_until(soon()); }));
    threads.push_back(repeat("future", [=] { future.wait_until(soon()); }));
    threads.push_back(repeat("semaphore", [&] { (void)semaphore.try_acquire_until(soon()); }));
    for (auto &thread : threads)
        thread.join();
}
