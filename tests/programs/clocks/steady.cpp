// Waits by the C++ library's steady clock, in each way that it has. Prints a line each: its name and for how many milliseconds.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <thread>

using steady = std::chrono::steady_clock;
using namespace std::chrono_literals;

template <class F> static void way(const char *name, F wait) {
    auto began = std::chrono::system_clock::now();
    wait(steady::now() + 300ms);
    auto took = std::chrono::system_clock::now() - began;
    std::printf("%s %ld\n", name, long(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
}

int main() {
    std::mutex mutex;
    std::condition_variable condition;
    std::unique_lock<std::mutex> lock(mutex);
    way("wait_until", [&](auto until) { condition.wait_until(lock, until, [] { return false; }); });
    way("wait_for", [&](auto) { condition.wait_for(lock, 300ms, [] { return false; }); });
    way("sleep_until", [&](auto until) { std::this_thread::sleep_until(until); });
    way("sleep_for", [&](auto) { std::this_thread::sleep_for(300ms); });
    std::promise<void> promise;
    auto future = promise.get_future();
    way("future", [&](auto until) { future.wait_until(until); });
    std::timed_mutex held;
    held.lock();
    way("timed_mutex", [&](auto until) { std::thread([&] { held.try_lock_until(until); }).join(); });
}
